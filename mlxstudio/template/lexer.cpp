#include "mlxstudio/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using Kind = Token::Kind;

constexpr std::array<std::string_view, 25> kOperators{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                                      "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ","};

/// All line ends become "\n", and one at the very end goes.
std::string normal_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_name_byte(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
}
bool is_decimal(char c) { return c >= '0' && c <= '9'; }

std::uint32_t hex_value(std::string_view digits, bool& good) {
  std::uint32_t value = 0;
  for (const char c : digits) {
    const int digit = is_decimal(c) ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : (c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1));
    if (digit < 0) good = false;
    value = value * 16 + static_cast<std::uint32_t>(digit);
  }
  return value;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normal_lines(source)), rest_(source_) {}

  Result<std::vector<Token>> run() {
    while (at_ < rest_.size()) TRY(data());
    push(Kind::end, {});
    return std::move(tokens_);
  }

 private:
  std::unexpected<mlxbase::Error> wrong(std::string message) const {
    return fail(Code::corrupt, fmt::format("line {}: {}", line_, message));
  }
  void push(Kind kind, std::string value) { tokens_.push_back({kind, std::move(value), line_}); }
  bool next_is(std::string_view text) const { return rest_.substr(at_).starts_with(text); }
  void skip(std::size_t bytes) {
    bytes = std::min(bytes, rest_.size() - at_);
    line_ += static_cast<int>(
        std::count(rest_.begin() + static_cast<std::ptrdiff_t>(at_), rest_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }
  void skip_space() {
    while (at_ < rest_.size()) {
      std::size_t next = at_;
      if (!is_space(next_point(rest_, next))) break;
      skip(next - at_);
    }
  }

  /// Text up to the next tag, and the tag.
  Status data() {
    std::size_t tag = at_;
    while (true) {
      tag = rest_.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= rest_.size()) {
        push(Kind::data, std::string(rest_.substr(at_)));
        at_ = rest_.size();
        return {};
      }
      const char second = rest_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
      ++tag;
    }
    const char kind = rest_[tag + 1];
    std::size_t open = 2;
    const char sign = tag + 2 < rest_.size() ? rest_[tag + 2] : ' ';
    if (sign == '-' || sign == '+') ++open;
    push_data(rest_.substr(at_, tag - at_), sign, kind);
    skip(tag + open - at_);
    if (kind == '#') return comment();
    if (kind == '{') return inside(Kind::variable_begin, Kind::variable_end, "}}");
    if (raw_begins()) return raw();
    return inside(Kind::block_begin, Kind::block_end, "%}");
  }

  void push_data(std::string_view text, char sign, char kind) {
    if (sign == '-') {
      text = strip(text, nullptr, false, true);
    } else if (sign != '+' && kind != '{') {  // lstrip_blocks
      const std::size_t line = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
      if ((line > 0 || line_starting_) && line < text.size() && strip(text.substr(line), nullptr, true, false).empty())
        text = text.substr(0, line);
    }
    if (!text.empty()) push(Kind::data, std::string(text));
  }

  /// Behind a tag's sign: "-%}" takes all white space along, "%}" one line end, "+%}" nothing.
  void behind_tag(char sign, bool trims) {
    const std::size_t before = at_;
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && trims && at_ < rest_.size() && rest_[at_] == '\n') {
      skip(1);
    }
    line_starting_ = at_ > before && rest_[at_ - 1] == '\n';
  }

  Status comment() {
    const std::size_t end = rest_.find("#}", at_);
    if (end == std::string_view::npos) return wrong("Missing end of comment tag");
    const char sign = end > at_ ? rest_[end - 1] : ' ';
    skip(end + 2 - at_);
    behind_tag(sign, true);
    return {};
  }

  bool raw_begins() const {
    std::string_view text = strip(rest_.substr(at_), nullptr, true, false);
    if (!text.starts_with("raw")) return false;
    text = strip(text.substr(3), nullptr, true, false);
    return text.starts_with("%}") || text.starts_with("-%}");
  }
  Status raw() {
    const std::size_t close = rest_.find("%}", at_);
    const char sign = rest_[close - 1];
    skip(close + 2 - at_);
    behind_tag(sign, true);
    for (std::size_t tag = rest_.find("{%", at_); tag != std::string_view::npos; tag = rest_.find("{%", tag + 1)) {
      std::string_view text = rest_.substr(tag + 2);
      const char before = text.empty() ? ' ' : text.front();
      if (before == '-' || before == '+') text.remove_prefix(1);
      text = strip(text, nullptr, true, false);
      if (!text.starts_with("endraw")) continue;
      text = strip(text.substr(6), nullptr, true, false);
      const char after = text.empty() ? ' ' : text.front();
      if (after == '-' || after == '+') text.remove_prefix(1);
      if (!text.starts_with("%}")) continue;
      push_data(rest_.substr(at_, tag - at_), before, '%');
      skip(static_cast<std::size_t>(text.data() - rest_.data()) + 2 - at_);
      behind_tag(after, true);
      return {};
    }
    return wrong("Missing end of raw directive");
  }

  Status inside(Kind begin, Kind end, std::string_view close) {
    push(begin, {});
    std::vector<char> open;  // brackets: a "}}" that closes two of them is no end
    while (true) {
      if (open.empty()) {
        const bool sign = next_is("-") || (end == Kind::block_end && next_is("+"));
        if (rest_.substr(std::min(rest_.size(), at_ + (sign ? 1 : 0))).starts_with(close)) {
          const char mark = sign ? rest_[at_] : ' ';
          push(end, {});
          skip(close.size() + (sign ? 1 : 0));
          behind_tag(mark, end == Kind::block_end);
          return {};
        }
      }
      if (at_ >= rest_.size()) return wrong("unexpected end of template");
      const char c = rest_[at_];
      if (c == '"' || c == '\'') {
        TRY(text(c));
      } else if (is_decimal(c)) {
        number();
      } else if (std::size_t next = at_; is_space(next_point(rest_, next))) {
        skip(next - at_);
      } else if (is_name_byte(c)) {
        TRY(name());
      } else {
        TRY(op(open));
      }
    }
  }

  Status name() {
    std::size_t end = at_;
    while (end < rest_.size()) {
      std::size_t next = end;
      if (!is_word(next_point(rest_, next))) break;
      end = next;
    }
    if (end == at_) return wrong(fmt::format("unexpected char {} at {}", "'\xEF\xBF\xBD'", at_));
    push(Kind::name, std::string(rest_.substr(at_, end - at_)));
    skip(end - at_);
    return {};
  }

  std::size_t digits(std::size_t from) const {  // digits with single underscores between them
    while (from < rest_.size() &&
           (is_decimal(rest_[from]) || (rest_[from] == '_' && from + 1 < rest_.size() && is_decimal(rest_[from + 1]))))
      ++from;
    return from;
  }
  void number() {
    std::size_t end = at_;
    bool real = false;
    const char kind = rest_.size() > at_ + 2 && rest_[at_] == '0' ? static_cast<char>(rest_[at_ + 1] | 0x20) : ' ';
    if (kind == 'x' || kind == 'o' || kind == 'b') {
      end = at_ + 2;
      while (end < rest_.size() && is_name_byte(rest_[end]) && static_cast<unsigned char>(rest_[end]) < 0x80) ++end;
    } else {
      end = digits(at_);
      const bool after_dot = at_ > 0 && rest_[at_ - 1] == '.';
      if (!after_dot && end + 1 < rest_.size() && rest_[end] == '.' && is_decimal(rest_[end + 1])) {
        real = true;
        end = digits(end + 1);
      }
      if (!after_dot && end < rest_.size() && (rest_[end] | 0x20) == 'e') {
        std::size_t exponent = end + 1;
        if (exponent < rest_.size() && (rest_[exponent] == '+' || rest_[exponent] == '-')) ++exponent;
        if (exponent < rest_.size() && is_decimal(rest_[exponent])) {
          real = true;
          end = digits(exponent);
        }
      }
    }
    std::string value(rest_.substr(at_, end - at_));
    std::erase(value, '_');
    push(real ? Kind::real : Kind::integer, std::move(value));
    skip(end - at_);
  }

  Status text(char quote) {
    std::string value;
    std::size_t i = at_ + 1;
    for (; i < rest_.size() && rest_[i] != quote; ++i) {
      if (rest_[i] != '\\' || i + 1 >= rest_.size()) {
        value += rest_[i];
        continue;
      }
      const char c = rest_[++i];
      switch (c) {
        case '\n':
          break;
        case 'n':
          value += '\n';
          break;
        case 't':
          value += '\t';
          break;
        case 'r':
          value += '\r';
          break;
        case 'a':
          value += '\a';
          break;
        case 'b':
          value += '\b';
          break;
        case 'f':
          value += '\f';
          break;
        case 'v':
          value += '\v';
          break;
        case '\\':
        case '\'':
        case '"':
          value += c;
          break;
        case 'x':
        case 'u':
        case 'U': {
          const std::size_t n = c == 'x' ? 2 : (c == 'u' ? 4 : 8);
          bool good = i + n < rest_.size();
          const std::uint32_t point = good ? hex_value(rest_.substr(i + 1, n), good) : 0;
          if (!good || point > 0x10FFFF) return wrong("a string ends within an escape");
          append_point(value, point);
          i += n;
          break;
        }
        default:
          if (c >= '0' && c <= '7') {
            std::uint32_t point = 0;
            std::size_t n = 0;
            while (n < 3 && i + n < rest_.size() && rest_[i + n] >= '0' && rest_[i + n] <= '7')
              point = point * 8 + static_cast<std::uint32_t>(rest_[i + n++] - '0');
            append_point(value, point);
            i += n - 1;
          } else {
            value += '\\';
            value += c;
          }
      }
    }
    if (i >= rest_.size()) return wrong(fmt::format("unexpected char {} at {}", repr_quote(quote), at_));
    push(Kind::text, std::move(value));
    skip(i + 1 - at_);
    return {};
  }
  static std::string repr_quote(char quote) { return quote == '\'' ? "\"'\"" : "'\"'"; }

  Status op(std::vector<char>& open) {
    const auto found = std::find_if(kOperators.begin(), kOperators.end(), [&](std::string_view o) { return next_is(o); });
    if (found == kOperators.end()) return wrong(fmt::format("unexpected char '{}' at {}", rest_[at_], at_));
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : (c == '[' ? ']' : '}'));
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) return wrong(fmt::format("unexpected '{}'", c));
      if (open.back() != c) return wrong(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    push(Kind::op, std::string(*found));
    skip(found->size());
    return {};
  }

  std::string source_;
  std::string_view rest_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenise(std::string_view source) { return Lexer(source).run(); }

}  // namespace mlxstudio::jinja
