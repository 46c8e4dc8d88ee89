#include "mlxbase/format/yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <limits>
#include <locale>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "mlxbase/core/printable.h"

namespace mlxbase::yaml {
namespace {

using json::Array;
using json::Object;
using json::Value;

constexpr std::size_t kMaxValues = 1'000'000;

bool all_of(std::string_view text, bool (*wanted)(char)) {
  for (const char c : text) {
    if (!wanted(c)) return false;
  }
  return !text.empty();
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::optional<std::uint64_t> digits(std::string_view text, unsigned base) {
  std::uint64_t value = 0;
  for (const char c : text) {
    const unsigned d = is_digit(c) ? static_cast<unsigned>(c - '0') : (static_cast<unsigned>(c | 0x20) - 'a' + 10U);
    if (value > (std::numeric_limits<std::uint64_t>::max() - d) / base) return std::nullopt;
    value = value * base + d;
  }
  return value;
}

/// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool is_float(std::string_view s) {
  if (s.starts_with('-') || s.starts_with('+')) s.remove_prefix(1);
  std::size_t at = 0;
  while (at < s.size() && is_digit(s[at])) ++at;
  const bool whole = at > 0;
  std::size_t fraction = 0;
  if (at < s.size() && s[at] == '.') {
    ++at;
    while (at < s.size() && is_digit(s[at])) ++at, ++fraction;
  }
  if (!whole && fraction == 0) return false;
  if (at < s.size() && (s[at] == 'e' || s[at] == 'E')) {
    ++at;
    if (at < s.size() && (s[at] == '-' || s[at] == '+')) ++at;
    return all_of(s.substr(at), is_digit);
  }
  return at == s.size();
}

/// The core schema of YAML 1.2 (§10.3.2).
Value plain(std::string_view s) {
  if (s.empty() || s == "~" || s == "null" || s == "Null" || s == "NULL") return {};
  if (s == "true" || s == "True" || s == "TRUE") return Value(true);
  if (s == "false" || s == "False" || s == "FALSE") return Value(false);
  if (s.starts_with("0o") && all_of(s.substr(2), is_octal)) {
    if (const auto v = digits(s.substr(2), 8)) return Value(*v);
    return Value(s);
  }
  if (s.starts_with("0x") && all_of(s.substr(2), is_hex)) {
    if (const auto v = digits(s.substr(2), 16)) return Value(*v);
    return Value(s);
  }
  const bool negative = s.starts_with('-');
  const std::string_view unsigned_part = negative || s.starts_with('+') ? s.substr(1) : s;
  if (all_of(unsigned_part, is_digit)) {
    constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const auto v = digits(unsigned_part, 10);
    if (v && !negative) return Value(*v);
    if (v && *v <= kMax) return Value(-static_cast<std::int64_t>(*v));
    if (v && *v == kMax + 1) return Value(std::numeric_limits<std::int64_t>::min());
    return Value(s);
  }
  if (unsigned_part == ".inf" || unsigned_part == ".Inf" || unsigned_part == ".INF") {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return Value(negative ? -kInfinity : kInfinity);
  }
  if (s == ".nan" || s == ".NaN" || s == ".NAN") return Value(std::numeric_limits<double>::quiet_NaN());
  if (is_float(s)) {
    // Not strtod: it reads by the locale of the program, in which "1.5" may be 1.
    std::istringstream in{std::string(s)};
    in.imbue(std::locale::classic());
    double d = 0;
    if (in >> d && in.peek() == std::char_traits<char>::eof()) return Value(d);
  }
  return Value(s);
}

/// How much of the budget a value is: its nodes and its text.
struct Weight {
  std::size_t values = 0;
  std::size_t bytes = 0;
};
Weight weight_of(const Value& value) {
  Weight w{1, 0};
  if (const std::string* s = value.if_string()) w.bytes = s->size();
  for (const Value& v : value.array()) {
    const Weight inner = weight_of(v);
    w.values += inner.values, w.bytes += inner.bytes;
  }
  for (const auto& [name, v] : value.object()) {
    const Weight inner = weight_of(v);
    w.values += inner.values, w.bytes += inner.bytes + name.size();
  }
  return w;
}
int depth_of(const Value& value) {
  int deepest = 0;
  for (const Value& v : value.array()) deepest = std::max(deepest, 1 + depth_of(v));
  for (const auto& member : value.object()) deepest = std::max(deepest, 1 + depth_of(member.second));
  return deepest;
}

class Loader {
 public:
  Loader(std::string_view text, json::Limits limits) : limits_(limits) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    const char* bytes = text.empty() ? "" : text.data();  // it asserts on null
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(bytes), text.size());
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<Value> run() {
    if (!ready_) return fail(Code::out_of_memory, "YAML: no memory for the parser");
    while (!done_) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) != 1) {
        return fail(Code::corrupt, fmt::format("not YAML at line {}", parser_.problem_mark.line + 1));
      }
      const Status status = take(event);
      yaml_event_delete(&event);
      if (!status) return fail(status.error());
    }
    return std::move(root_);
  }

 private:
  struct Level {
    Value value;
    std::string anchor;
    std::optional<std::string> key;  // of a mapping: read, and its value not yet
    bool merge = false;              // the key is a plain <<
    std::vector<Value> merged;
    std::unordered_map<std::string, std::size_t> seen;  // member → index: keys may be many
  };

  static std::string text_of(const yaml_char_t* s) { return s == nullptr ? std::string() : reinterpret_cast<const char*>(s); }

  Status take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_STREAM_END_EVENT:
      case YAML_DOCUMENT_END_EVENT: done_ = true; return {};
      case YAML_SCALAR_EVENT: return scalar(event);
      case YAML_SEQUENCE_START_EVENT: return open(Value(Array{}), text_of(event.data.sequence_start.anchor));
      case YAML_MAPPING_START_EVENT: return open(Value(Object{}), text_of(event.data.mapping_start.anchor));
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT: return close();
      case YAML_ALIAS_EVENT: return alias(text_of(event.data.alias.anchor));
      default: return {};
    }
  }

  Status scalar(const yaml_event_t& event) {
    const auto& s = event.data.scalar;
    const std::string text(reinterpret_cast<const char*>(s.value), s.length);
    if (expects_key()) {
      Level& level = stack_.back();
      level.merge = text == "<<" && s.style == YAML_PLAIN_SCALAR_STYLE;
      level.key = text;
      return spend({0, text.size()});
    }
    const std::string tag = text_of(s.tag);
    const bool resolve = tag.empty() ? s.plain_implicit != 0 && s.style == YAML_PLAIN_SCALAR_STYLE
                                     : tag == YAML_INT_TAG || tag == YAML_FLOAT_TAG || tag == YAML_BOOL_TAG || tag == YAML_NULL_TAG;
    return put(resolve ? plain(text) : Value(text), text_of(s.anchor), {1, text.size()});
  }

  Status open(Value empty, std::string anchor) {
    if (expects_key()) return fail(Code::corrupt, "YAML with a key that is no scalar");
    if (stack_.size() >= static_cast<std::size_t>(limits_.depth)) {
      return fail(Code::corrupt, fmt::format("YAML nested deeper than {} levels", limits_.depth));
    }
    stack_.push_back({.value = std::move(empty), .anchor = std::move(anchor), .key = {}, .merged = {}, .seen = {}});
    return {};
  }

  Status close() {
    Level level = std::move(stack_.back());
    stack_.pop_back();
    auto& object = const_cast<Object&>(level.value.object());
    for (const Value& other : level.merged) {
      for (const auto& [name, value] : other.object()) {
        if (!level.seen.emplace(name, object.size()).second) continue;
        object.emplace_back(name, value);
      }
    }
    return put(std::move(level.value), level.anchor, {1, 0});
  }

  Status alias(const std::string& name) {
    const auto it = anchors_.find(name);
    // Also an alias inside its own anchor: it is not closed yet, so not known.
    if (it == anchors_.end()) return fail(Code::corrupt, "YAML with an alias of nothing");
    if (expects_key()) {
      const std::string* text = it->second.if_string();
      if (text == nullptr) return fail(Code::corrupt, "YAML with a key that is no text");
      stack_.back().key = *text;
      stack_.back().merge = false;
      return spend({0, text->size()});
    }
    const Weight weight = weight_of(it->second);
    if (Status s = spend(weight); !s) return s;
    if (static_cast<int>(stack_.size()) + depth_of(it->second) > limits_.depth) {
      return fail(Code::corrupt, fmt::format("YAML nested deeper than {} levels", limits_.depth));
    }
    return put(it->second, {}, {});
  }

  bool expects_key() const { return !stack_.empty() && stack_.back().value.is_object() && !stack_.back().key; }

  Status spend(Weight w) {
    values_ += w.values;
    bytes_ += w.bytes;
    if (values_ > kMaxValues || bytes_ > limits_.bytes) return fail(Code::corrupt, "YAML that unfolds to more than is expected here");
    return {};
  }

  Status put(Value value, const std::string& anchor, Weight weight) {
    if (Status s = spend(weight); !s) return s;
    if (!anchor.empty()) {
      if (Status s = spend(weight_of(value)); !s) return s;
      anchors_[anchor] = value;
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return {};
    }
    Level& level = stack_.back();
    if (level.value.is_array()) {
      level.value.push(std::move(value));
      return {};
    }
    const std::string key = *std::exchange(level.key, std::nullopt);
    if (level.merge && (value.is_object() || value.is_array())) {
      if (value.is_object()) level.merged.push_back(std::move(value));
      for (const Value& one : value.array()) level.merged.push_back(one);
      return {};
    }
    auto& object = const_cast<Object&>(level.value.object());
    const auto [it, added] = level.seen.emplace(key, object.size());
    if (added) {
      object.emplace_back(key, std::move(value));
    } else {
      object[it->second].second = std::move(value);
    }
    return {};
  }

  yaml_parser_t parser_{};
  bool ready_ = false;
  bool done_ = false;
  json::Limits limits_;
  std::size_t values_ = 0;
  std::size_t bytes_ = 0;
  Value root_;
  std::vector<Level> stack_;
  std::unordered_map<std::string, Value> anchors_;
};

}  // namespace

Result<Value> parse(std::string_view text, json::Limits limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::invalid, fmt::format("YAML of {} bytes, and more than {} are not expected here", text.size(), limits.bytes));
  }
  if (!is_utf8(text)) return fail(Code::corrupt, "YAML that is not UTF-8");
  return Loader(text, limits).run();
}

}  // namespace mlxbase::yaml
