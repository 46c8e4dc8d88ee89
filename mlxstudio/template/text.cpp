#include "mlxstudio/template/text.h"

#include <utf8proc.h>

#include <algorithm>

namespace mlxstudio::jinja {
namespace {

utf8proc_category_t category(std::uint32_t point) { return utf8proc_category(static_cast<utf8proc_int32_t>(point)); }

template <class Map>
std::string mapped(std::string_view text, Map map) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    const std::uint32_t point = next_point(text, i);
    if (point == 0xFFFD) {
      out.append(text.substr(begin, i - begin));
    } else {
      map(out, point);
    }
  }
  return out;
}

void append_upper(std::string& out, std::uint32_t point) {
  if (point == 0xDF) {  // ß: the one letter of everyday texts whose capital is two
    out += "SS";
  } else {
    append_point(out, static_cast<std::uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(point))));
  }
}
void append_title(std::string& out, std::uint32_t point) {
  if (point == 0xDF) {
    out += "Ss";
  } else {
    append_point(out, static_cast<std::uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(point))));
  }
}
void append_lower(std::string& out, std::uint32_t point) {
  if (point == 0x130) {
    out += "i\xCC\x87";
  } else {
    append_point(out, static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
  }
}

bool is_line_end(std::uint32_t point) {
  return point == '\n' || point == '\r' || point == 0x0B || point == 0x0C || (point >= 0x1C && point <= 0x1E) || point == 0x85 ||
         point == 0x2028 || point == 0x2029;
}

std::string_view strip_left(std::string_view text, const std::string* characters) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t next = at;
    const std::uint32_t point = next_point(text, next);
    const bool strips = characters == nullptr ? is_space(point) : characters->find(text.substr(at, next - at)) != std::string::npos;
    if (!strips) break;
    at = next;
  }
  return text.substr(at);
}

std::string_view strip_right(std::string_view text, const std::string* characters) {
  while (!text.empty()) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) --begin;
    std::size_t end = begin;
    const std::uint32_t point = next_point(text, end);
    if (end != text.size()) begin = text.size() - 1;  // not UTF-8: byte by byte
    const bool strips =
        characters == nullptr ? end == text.size() && is_space(point) : characters->find(text.substr(begin)) != std::string::npos;
    if (!strips) break;
    text = text.substr(0, begin);
  }
  return text;
}

}  // namespace

std::uint32_t next_point(std::string_view text, std::size_t& at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) {
    ++at;
    return first;
  }
  utf8proc_int32_t point = 0;
  const auto taken = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                      static_cast<utf8proc_ssize_t>(text.size() - at), &point);
  if (taken <= 0) {
    ++at;
    return 0xFFFD;
  }
  at += static_cast<std::size_t>(taken);
  return static_cast<std::uint32_t>(point);
}

void append_point(std::string& out, std::uint32_t point) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), n > 0 ? static_cast<std::size_t>(n) : 0);
}

std::size_t length(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

std::size_t offset_of(std::string_view text, std::size_t n) {
  std::size_t at = 0;
  while (at < text.size()) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80 && n-- == 0) break;
    ++at;
  }
  return at;
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at++;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) ++at;
    out.push_back(text.substr(begin, at - begin));
  }
  return out;
}

bool is_printable(std::uint32_t point) {
  if (point < 0x7F) return point >= 0x20;
  switch (category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}
bool is_space(std::uint32_t point) {
  if (point < 0x80) return (point >= 9 && point <= 13) || (point >= 0x1C && point <= 0x20);
  return point == 0x85 || category(point) == UTF8PROC_CATEGORY_ZS || point == 0x2028 || point == 0x2029;
}
bool is_alpha(std::uint32_t point) {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT || c == UTF8PROC_CATEGORY_LM ||
         c == UTF8PROC_CATEGORY_LO;
}
bool is_digit(std::uint32_t point) {
  return (point >= '0' && point <= '9') || (point >= 0x80 && category(point) == UTF8PROC_CATEGORY_ND) || point == 0xB2 || point == 0xB3 ||
         point == 0xB9;
}
bool is_word(std::uint32_t point) {
  const auto c = category(point);
  return point == '_' || is_alpha(point) || c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}
bool is_upper(std::uint32_t point) { return category(point) == UTF8PROC_CATEGORY_LU; }
bool is_lower(std::uint32_t point) { return category(point) == UTF8PROC_CATEGORY_LL; }

std::string upper(std::string_view text) { return mapped(text, append_upper); }
std::string lower(std::string_view text) { return mapped(text, append_lower); }
std::string title(std::string_view text) {
  bool inside = false;
  return mapped(text, [&](std::string& out, std::uint32_t point) {
    if (inside) {
      append_lower(out, point);
    } else {
      append_title(out, point);
    }
    inside = is_upper(point) || is_lower(point) || category(point) == UTF8PROC_CATEGORY_LT;
  });
}
std::string capitalize(std::string_view text) {
  bool first = true;
  return mapped(text, [&](std::string& out, std::uint32_t point) {
    if (first) {
      append_title(out, point);
    } else {
      append_lower(out, point);
    }
    first = false;
  });
}

std::string_view strip(std::string_view text, const std::string* characters, bool left, bool right) {
  if (left) text = strip_left(text, characters);
  if (right) text = strip_right(text, characters);
  return text;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count) {
  std::string out;
  if (from.empty()) {  // between all characters
    const auto all = characters(text);
    for (std::size_t i = 0; i <= all.size(); ++i) {
      if (count != 0) {
        out += to;
        if (count > 0) --count;
      }
      if (i < all.size()) out += all[i];
    }
    return out;
  }
  std::size_t at = 0;
  while (count != 0) {
    const std::size_t found = text.find(from, at);
    if (found == std::string_view::npos) break;
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
    if (count > 0) --count;
  }
  out += text.substr(at);
  return out;
}

std::vector<std::string_view> split_space(std::string_view text, std::int64_t limit) {
  std::vector<std::string_view> out;
  text = strip(text, nullptr, true, false);
  while (!text.empty()) {
    if (limit == 0) {
      out.push_back(strip(text, nullptr, false, true));
      return out;
    }
    std::size_t at = 0;
    while (at < text.size()) {
      std::size_t next = at;
      if (is_space(next_point(text, next))) break;
      at = next;
    }
    out.push_back(text.substr(0, at));
    if (limit > 0) --limit;
    text = strip(text.substr(at), nullptr, true, false);
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator, std::int64_t limit) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  while (limit != 0) {
    const std::size_t found = text.find(separator, at);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(at, found - at));
    at = found + separator.size();
    if (limit > 0) --limit;
  }
  out.push_back(text.substr(at));
  return out;
}

std::vector<std::string_view> split_right(std::string_view text, std::string_view separator, std::int64_t limit) {
  std::vector<std::string_view> out;
  while (limit != 0) {
    const std::size_t found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
    if (limit > 0) --limit;
  }
  out.push_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const std::uint32_t point = next_point(text, at);
    if (!is_line_end(point)) continue;
    if (point == '\r' && at < text.size() && text[at] == '\n') ++at;
    out.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

}  // namespace mlxstudio::jinja
