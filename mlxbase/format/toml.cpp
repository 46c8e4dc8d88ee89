#include "mlxbase/format/toml.h"

#include <fmt/format.h>

#include <sstream>

// Header-only on purpose: Debian's shared library is built against libstdc++ and does not link with libc++.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 64
#define TOML_UNRELEASED_FEATURES 0
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#include <toml++/toml.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include "mlxbase/core/printable.h"

namespace mlxbase::toml {
namespace {

namespace lib = ::toml;
using json::Value;

bool is_key_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == ' ' || c == '\t';
}

/// Skips the string that begins at `at` (a quote); returns the place after it. A one-line string ends with its line.
std::size_t after_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const bool escapes = quote == '"';
  const std::string_view three = escapes ? R"(""")" : "'''";
  const bool long_form = text.substr(at).starts_with(three);
  at += long_form ? 3 : 1;
  while (at < text.size()) {
    if (escapes && text[at] == '\\') {
      at += 2;
    } else if (long_form && text.substr(at).starts_with(three)) {
      return at + 3;
    } else if (!long_form && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    } else {
      ++at;
    }
  }
  return text.size();
}

/// toml++ 3.3 bounds nested values but not dotted keys, and takes a table apart recursively: "a.a.a…" of a megabyte would
/// exhaust the stack. Outside strings a chain of dots is a key (or one float), so the longest chain is looked for first.
bool has_long_key(std::string_view text, int limit) {
  int dots = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '"' || c == '\'') {
      at = after_string(text, at);
      continue;
    }
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (c == '.') {
      if (++dots >= limit) return true;
    } else if (!is_key_character(c)) {
      dots = 0;
    }
    ++at;
  }
  return false;
}

template <class T>
std::string as_text(const T& value) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << value;
  return out.str();
}

Result<Value> value_of(const lib::node& node, int depth) {
  if (depth < 0) return fail(Code::corrupt, "TOML nested deeper than is expected here");
  switch (node.type()) {
    case lib::node_type::table: {
      json::Object object;  // tables are ordered and have each name once: no search needed
      for (const auto& [name, inner] : *node.as_table()) object.emplace_back(std::string(name.str()), TRY(value_of(inner, depth - 1)));
      return Value(std::move(object));
    }
    case lib::node_type::array: {
      json::Array array;
      for (const auto& inner : *node.as_array()) array.push_back(TRY(value_of(inner, depth - 1)));
      return Value(std::move(array));
    }
    case lib::node_type::string: return Value(node.as_string()->get());
    case lib::node_type::integer: return Value(node.as_integer()->get());
    case lib::node_type::floating_point: return Value(node.as_floating_point()->get());
    case lib::node_type::boolean: return Value(node.as_boolean()->get());
    case lib::node_type::date: return Value(as_text(node.as_date()->get()));
    case lib::node_type::time: return Value(as_text(node.as_time()->get()));
    case lib::node_type::date_time: return Value(as_text(node.as_date_time()->get()));
    default: return Value();
  }
}

}  // namespace

Result<Value> parse(std::string_view text, json::Limits limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::invalid, fmt::format("TOML of {} bytes, and more than {} are not expected here", text.size(), limits.bytes));
  }
  if (!is_utf8(text)) return fail(Code::corrupt, "TOML that is not UTF-8");
  if (has_long_key(text, limits.depth)) return fail(Code::corrupt, fmt::format("TOML with a key of more than {} parts", limits.depth));
  const lib::parse_result parsed = lib::parse(text);
  if (!parsed) return fail(Code::corrupt, fmt::format("not TOML at line {}", parsed.error().source().begin.line));
  return value_of(parsed.table(), limits.depth);
}

}  // namespace mlxbase::toml
