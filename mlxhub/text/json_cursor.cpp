#include "mlxhub/text/json_cursor.h"

#include <cstdlib>

#include "mlxhub/text/unicode.h"

namespace mlxhub::text {
namespace {
constexpr int kDepth = 64;
}

void JsonCursor::space() {
  while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
}

char JsonCursor::peek() {
  space();
  if (at_ >= text_.size()) return 0;
  return text_[at_];
}

void JsonCursor::expect(char c) {
  if (peek() != c) {
    wrong();
    at_ = text_.size();
  } else {
    ++at_;
  }
}

bool JsonCursor::begin(char open) {
  expect(open);
  const char close = open == '{' ? '}' : ']';
  if (!ok_ || peek() == close) {
    expect(close);
    return false;
  }
  return true;
}

bool JsonCursor::more(char close) {
  if (!ok_) return false;
  if (peek() == ',') {
    ++at_;
    return true;
  }
  expect(close);
  return false;
}

std::uint32_t JsonCursor::hex4() {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = at_ < text_.size() ? text_[at_++] : 0;
    const int digit = c >= '0' && c <= '9' ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : (c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1));
    if (digit < 0) wrong();
    value = value * 16 + static_cast<std::uint32_t>(digit < 0 ? 0 : digit);
  }
  return value;
}

void JsonCursor::escape() {
  const char c = at_ < text_.size() ? text_[at_++] : 0;
  switch (c) {
    case 'n':
      made_ += '\n';
      return;
    case 't':
      made_ += '\t';
      return;
    case 'r':
      made_ += '\r';
      return;
    case 'b':
      made_ += '\b';
      return;
    case 'f':
      made_ += '\f';
      return;
    case '"':
    case '\\':
    case '/':
      made_ += c;
      return;
    case 'u':
      break;
    default:
      wrong();
      return;
  }
  std::uint32_t point = hex4();
  if (point >= 0xD800 && point < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
    at_ += 2;
    const std::uint32_t low = hex4();
    if (low < 0xDC00 || low > 0xDFFF) wrong();
    point = 0x10000 + ((point - 0xD800) << 10U) + (low - 0xDC00);
  } else if (point >= 0xD800 && point < 0xE000) {
    wrong();
  }
  if (ok_) append_point(made_, point);
}

std::string_view JsonCursor::text() {
  expect('"');
  const std::size_t begin = at_;
  const std::size_t stop = text_.find_first_of("\"\\", at_);
  if (!ok_ || stop == std::string_view::npos) {
    wrong();
    at_ = text_.size();
    return {};
  }
  at_ = stop + 1;
  if (text_[stop] == '"') return text_.substr(begin, stop - begin);
  made_.assign(text_.substr(begin, stop - begin));
  --at_;
  while (ok_ && at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      ++at_;
      escape();
    } else {
      made_ += text_[at_++];
    }
  }
  if (at_ >= text_.size()) wrong();
  ++at_;
  return made_;
}

std::string_view JsonCursor::name() {
  const std::string_view name = text();
  expect(':');
  return name;
}

double JsonCursor::number() {
  space();
  char digits[64];
  std::size_t n = 0;
  while (at_ < text_.size() && n + 1 < sizeof digits) {
    const char c = text_[at_];
    if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E')) break;
    digits[n++] = c;
    ++at_;
  }
  digits[n] = 0;
  char* end = nullptr;
  const double value = std::strtod(digits, &end);
  if (n == 0 || end != digits + n) wrong();
  return value;
}

std::string_view JsonCursor::skip() {
  space();
  const std::size_t begin = at_;
  int depth = 0;
  do {
    const char c = peek();
    if (c == 0 || depth > kDepth) {
      wrong();
      return {};
    }
    if (c == '"') {
      ++at_;
      while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
      if (at_ >= text_.size()) {
        wrong();
        return {};
      }
      ++at_;
    } else {
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
      if (depth == 0 && c != '}' && c != ']') {  // a number, true, false, null
        while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}' && text_[at_] != ']' &&
               static_cast<unsigned char>(text_[at_]) > ' ')
          ++at_;
      }
    }
  } while (depth > 0);
  return text_.substr(begin, at_ - begin);
}

}  // namespace mlxhub::text
