#include "mlxbase/format/ini.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>
#include <utility>

#include "mlxbase/core/printable.h"

// The rules are those of qtbase/src/corelib/io/qsettings.cpp: readIniLine, iniUnescapedKey, iniUnescapedStringList.
namespace mlxbase::ini {
namespace {

using json::Array;
using json::Object;
using json::Value;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_utf8(std::string& out, std::uint32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

/// Escapes name UTF-16 units one by one: two of them may be one character.
class Text {
 public:
  void byte(char c) {
    flush();
    out_.push_back(c);
  }
  void unit(std::uint32_t u) {
    if (high_ != 0 && u >= 0xDC00 && u <= 0xDFFF) {
      append_utf8(out_, 0x10000 + ((high_ - 0xD800) << 10) + (u - 0xDC00));
      high_ = 0;
      return;
    }
    flush();
    if (u >= 0xD800 && u <= 0xDBFF) {
      high_ = u;
    } else {
      append_utf8(out_, u);
    }
  }
  void trim_from(std::size_t keep) {
    flush();
    while (out_.size() > keep && (out_.back() == ' ' || out_.back() == '\t')) out_.pop_back();
  }
  /// A lone first half that waits for its second counts as the replacement character that it else becomes.
  std::size_t size() const { return out_.size() + (high_ != 0 ? 3 : 0); }
  std::string take() {
    flush();
    return std::exchange(out_, {});
  }

 private:
  void flush() {
    if (high_ != 0) append_utf8(out_, std::exchange(high_, 0));
  }
  std::string out_;
  std::uint32_t high_ = 0;
};

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::string key_text(std::string_view s) {
  Text out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '\\') {
      out.byte('/');
      continue;
    }
    const bool wide = s[i] == '%' && i + 1 < s.size() && s[i + 1] == 'U';
    const std::size_t from = i + (wide ? 2 : 1);
    const std::size_t count = wide ? 4 : 2;
    bool valid = s[i] == '%' && from + count <= s.size();
    std::uint32_t unit = 0;
    for (std::size_t k = 0; valid && k < count; ++k) {
      const int d = hex_digit(s[from + k]);
      valid = d >= 0;
      unit = unit * 16 + static_cast<std::uint32_t>(d);
    }
    if (!valid) {
      out.byte(s[i]);
      continue;
    }
    out.unit(unit);
    i = from + count - 1;
  }
  return out.take();
}

/// "@@x" is the text "@x", "@String(x)" is x; other typed values (@Variant, @ByteArray, …) stay as written.
std::string untyped(std::string s) {
  if (s.starts_with("@@")) return s.substr(1);
  constexpr std::string_view kString = "@String(";
  if (s.starts_with(kString) && s.ends_with(')')) return s.substr(kString.size(), s.size() - kString.size() - 1);
  return s;
}

Value value_of(std::string_view s) {
  Text text;
  Array list;
  bool quoted = false;
  bool is_list = false;
  std::size_t keep = 0;  // spaces before this came from quotes or escapes and stay
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (c == '"') {
      if (!quoted) text.trim_from(keep);
      quoted = !quoted;
      keep = text.size();
    } else if (c == ',' && !quoted) {
      text.trim_from(keep);
      list.emplace_back(untyped(text.take()));
      is_list = true;
      keep = 0;
    } else if ((c == ' ' || c == '\t') && !quoted && text.size() == 0) {
      continue;
    } else if (c == '\\' && i + 1 < s.size()) {
      const char e = s[++i];
      constexpr std::string_view kNames = "abfnrtv\"?'\\";
      constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\"?'\\";
      if (const auto k = kNames.find(e); k != std::string_view::npos) {
        text.byte(kMeanings[k]);
      } else if (e == 'x' || (e >= '0' && e <= '7')) {
        const std::uint32_t base = e == 'x' ? 16 : 8;
        std::uint32_t unit = e == 'x' ? 0 : static_cast<std::uint32_t>(e - '0');
        while (i + 1 < s.size()) {
          const int d = hex_digit(s[i + 1]);
          if (d < 0 || static_cast<std::uint32_t>(d) >= base) break;
          unit = (unit * base + static_cast<std::uint32_t>(d)) & 0xFFFFU;
          ++i;
        }
        text.unit(unit);
      }  // an unknown escape stands for nothing
      keep = text.size();
    } else {
      text.byte(c);
      if (quoted) keep = text.size();
    }
  }
  text.trim_from(keep);
  std::string last = untyped(text.take());
  if (!is_list) return Value(std::move(last));
  list.emplace_back(std::move(last));
  return Value(std::move(list));
}

/// Takes one logical line off the front: it ends at a newline outside quotes that no backslash precedes, or before a ';'
/// outside quotes.
std::string take_line(std::string_view& text) {
  std::string line;
  bool quoted = false;
  bool blank = true;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '\\' && text.size() > 1) {
      const char next = text[1];
      if (next == '\n' || next == '\r') {  // the line goes on
        text.remove_prefix(text.starts_with("\\\r\n") ? 3 : 2);
        continue;
      }
      line.append(text.substr(0, 2));
      text.remove_prefix(2);
      blank = false;
      continue;
    }
    if (c == ';' && !quoted) {
      if (!blank) return line;
      text.remove_prefix(std::min(text.find('\n'), text.size()));
      continue;
    }
    text.remove_prefix(1);
    if (c == '"') quoted = !quoted;
    if ((c == '\n' || c == '\r') && !quoted) {
      if (!blank) return line;
      line.clear();
      continue;
    }
    if (c != ' ' && c != '\t') blank = false;
    line.push_back(c);
  }
  return line;
}

}  // namespace

Result<Value> parse(std::string_view text, json::Limits limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::invalid, fmt::format("an INI file of {} bytes, and more than {} are not expected here", text.size(), limits.bytes));
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (!is_utf8(text)) return fail(Code::corrupt, "an INI file that is not UTF-8");

  struct Section {
    std::string name;
    Object keys;
    std::unordered_map<std::string, std::size_t> seen;
  };
  std::vector<Section> sections;
  std::unordered_map<std::string, std::size_t> by_name;
  const auto section = [&](std::string name) {
    const auto [it, added] = by_name.emplace(name, sections.size());
    if (added) sections.push_back({std::move(name), {}, {}});
    return it->second;
  };
  std::optional<std::size_t> current;
  while (!text.empty()) {
    const std::string line = take_line(text);
    std::string_view rest = trimmed(line);
    if (rest.empty()) continue;
    if (rest.front() == '[') {
      const std::string_view inside = trimmed(rest.substr(1, std::min(rest.find(']'), rest.size()) - 1));
      // "[%General]" is a group that is really called General; here both may share one object.
      current = section(inside == "%General" ? "General" : key_text(inside));
      continue;
    }
    // The first '=' outside quotes ends the key; Qt writes none of its own in keys.
    const auto equals = rest.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    if (!current) current = section("General");
    Section& into = sections[*current];
    std::string key = key_text(trimmed(rest.substr(0, equals)));
    Value value = value_of(rest.substr(equals + 1));
    const auto [it, added] = into.seen.emplace(key, into.keys.size());
    if (added) {
      into.keys.emplace_back(std::move(key), std::move(value));
    } else {
      into.keys[it->second].second = std::move(value);
    }
  }
  Object out;
  for (Section& s : sections) out.emplace_back(std::move(s.name), Value(std::move(s.keys)));
  return Value(std::move(out));
}

std::string escaped(std::string_view value) {
  std::string out;
  bool quotes = value.empty() || value.front() == ' ' || value.back() == ' ' || value.front() == '\t' || value.back() == '\t';
  if (value.starts_with('@')) out = "@";
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    switch (c) {
      case ';':
      case ',':
      case '=': quotes = true; out.push_back(c); break;
      case '"':
      case '\\': out.push_back('\\'); out.push_back(c); break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += fmt::format("\\x{:x}", static_cast<unsigned char>(c));
          // The reader takes every hex digit that follows, so a digit must be written as an escape itself.
          if (i + 1 < value.size() && hex_digit(value[i + 1]) >= 0) out += fmt::format("\\x{:x}", static_cast<unsigned char>(value[++i]));
          while (i + 1 < value.size() && hex_digit(value[i + 1]) >= 0) out += fmt::format("\\x{:x}", static_cast<unsigned char>(value[++i]));
        } else {
          out.push_back(c);
        }
    }
  }
  return quotes ? "\"" + out + "\"" : out;
}

}  // namespace mlxbase::ini
