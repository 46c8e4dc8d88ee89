#include "mlxbase/format/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "mlxbase/core/printable.h"

namespace mlxbase::json {
namespace {

const Value kNull;
const Array kNoArray;
const Object kNoObject;

/// Builds a Value from parser events: the parser itself does not recurse, and depth is cut here.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(int depth, Value& root) : depth_(static_cast<std::size_t>(depth)), root_(root) {}
  std::string error;

  bool null() override { return put(Value()); }
  bool boolean(bool b) override { return put(Value(b)); }
  bool number_integer(number_integer_t i) override { return put(Value(i)); }
  bool number_unsigned(number_unsigned_t u) override { return put(Value(u)); }
  bool number_float(number_float_t d, const string_t&) override { return put(Value(static_cast<double>(d))); }
  bool string(string_t& s) override { return put(Value(std::move(s))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Value(Object{})); }
  bool start_array(std::size_t) override { return open(Value(Array{})); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    stack_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    error = fmt::format("not JSON at byte {}", position);
    return false;
  }

 private:
  struct Level {
    Value value;
    std::string key;
    std::unordered_map<std::string, std::size_t> seen;  // only filled for large objects, where a search would be quadratic
  };

  bool open(Value empty) {
    if (stack_.size() >= depth_) {
      error = fmt::format("nested deeper than {} levels", depth_);
      return false;
    }
    stack_.push_back({std::move(empty), {}, {}});
    return true;
  }
  bool close() {
    Value done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }
  bool put(Value value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = stack_.back();
    if (level.value.is_array()) {
      level.value.push(std::move(value));
      return true;
    }
    auto& object = const_cast<Object&>(level.value.object());
    constexpr std::size_t kSearchLimit = 16;
    if (object.size() < kSearchLimit) {
      level.value.set(level.key, std::move(value));
    } else {
      if (level.seen.empty()) {
        for (std::size_t i = 0; i < object.size(); ++i) level.seen.emplace(object[i].first, i);
      }
      const auto [it, added] = level.seen.emplace(level.key, object.size());
      if (added) {
        object.emplace_back(level.key, std::move(value));
      } else {
        object[it->second].second = std::move(value);
      }
    }
    return true;
  }

  std::size_t depth_;
  Value& root_;
  std::vector<Level> stack_;
};

void write_string(std::string& out, std::string_view s) {
  out.push_back('"');
  std::string mended;
  if (!is_utf8(s)) s = mended = to_utf8(s);
  const auto plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\' && c != 0x7F; };
  while (!s.empty()) {
    // Mostly all of it goes out as it is.
    const auto stop = static_cast<std::size_t>(std::find_if_not(s.begin(), s.end(), plain) - s.begin());
    out.append(s.substr(0, stop));
    s.remove_prefix(stop);
    if (s.empty()) break;
    const char c = s.front();
    s.remove_prefix(1);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default: out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    }
  }
  out.push_back('"');
}

}  // namespace

struct Writer {
  std::string out;
  int indent;

  void line(int level) {
    if (indent < 0) return;
    out.push_back('\n');
    out.append(static_cast<std::size_t>(indent * level), ' ');
  }

  void write(const Value& v, int level) {
    if (v.is_null()) {
      out += "null";
    } else if (const auto* b = std::get_if<bool>(&v.data_)) {
      out += *b ? "true" : "false";
    } else if (const auto* i = std::get_if<std::int64_t>(&v.data_)) {
      out += fmt::format("{}", *i);
    } else if (const auto* u = std::get_if<std::uint64_t>(&v.data_)) {
      out += fmt::format("{}", *u);
    } else if (const auto* d = std::get_if<double>(&v.data_)) {
      out += std::isfinite(*d) ? fmt::format("{}", *d) : "null";
    } else if (const auto* s = std::get_if<std::string>(&v.data_)) {
      write_string(out, *s);
    } else if (const auto* a = std::get_if<Array>(&v.data_)) {
      out.push_back('[');
      for (std::size_t k = 0; k < a->size(); ++k) {
        if (k > 0) out.push_back(',');
        line(level + 1);
        write((*a)[k], level + 1);
      }
      if (!a->empty()) line(level);
      out.push_back(']');
    } else {
      const Object& o = v.object();
      out.push_back('{');
      for (std::size_t k = 0; k < o.size(); ++k) {
        if (k > 0) out.push_back(',');
        line(level + 1);
        write_string(out, o[k].first);
        out += indent < 0 ? ":" : ": ";
        write(o[k].second, level + 1);
      }
      if (!o.empty()) line(level);
      out.push_back('}');
    }
  }
};

bool Value::is_number() const {
  return std::holds_alternative<std::int64_t>(data_) || std::holds_alternative<std::uint64_t>(data_) || std::holds_alternative<double>(data_);
}

const Value& Value::operator[](std::string_view name) const {
  if (const auto* o = std::get_if<Object>(&data_)) {
    for (const Member& m : *o) {
      if (m.first == name) return m.second;
    }
  }
  return kNull;
}

const Array& Value::array() const {
  const auto* a = std::get_if<Array>(&data_);
  return a != nullptr ? *a : kNoArray;
}

const Object& Value::object() const {
  const auto* o = std::get_if<Object>(&data_);
  return o != nullptr ? *o : kNoObject;
}

std::string Value::string(std::string_view otherwise) const {
  const auto* s = std::get_if<std::string>(&data_);
  return s != nullptr ? *s : std::string(otherwise);
}

std::uint64_t Value::u64(std::uint64_t otherwise) const {
  if (const auto* u = std::get_if<std::uint64_t>(&data_)) return *u;
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i >= 0 ? static_cast<std::uint64_t>(*i) : otherwise;
  return otherwise;
}

std::int64_t Value::i64(std::int64_t otherwise) const {
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i;
  if (const auto* u = std::get_if<std::uint64_t>(&data_)) {
    return *u <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) ? static_cast<std::int64_t>(*u) : otherwise;
  }
  return otherwise;
}

double Value::number(double otherwise) const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  if (const auto* u = std::get_if<std::uint64_t>(&data_)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*i);
  return otherwise;
}

bool Value::boolean(bool otherwise) const {
  const auto* b = std::get_if<bool>(&data_);
  return b != nullptr ? *b : otherwise;
}

Value& Value::set(std::string_view name, Value value) {
  if (is_null()) data_ = Object{};
  assert(is_object());
  auto& object = std::get<Object>(data_);
  for (Member& m : object) {
    if (m.first == name) {
      m.second = std::move(value);
      return *this;
    }
  }
  object.emplace_back(std::string(name), std::move(value));
  return *this;
}

Value& Value::push(Value value) {
  if (is_null()) data_ = Array{};
  assert(is_array());
  std::get<Array>(data_).push_back(std::move(value));
  return *this;
}

Result<Value> parse(std::string_view text, Limits limits) {
  if (text.size() > limits.bytes) {
    return fail(Code::invalid, fmt::format("JSON of {} bytes, and more than {} are not expected here", text.size(), limits.bytes));
  }
  if (!is_utf8(text)) return fail(Code::corrupt, "JSON that is not UTF-8");
  Value root;
  Builder builder(limits.depth, root);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return fail(Code::corrupt, builder.error.empty() ? "not JSON" : builder.error);
  }
  return root;
}

std::string dump(const Value& value, int indent) {
  Writer writer{{}, indent};
  writer.write(value, 0);
  return std::move(writer.out);
}

}  // namespace mlxbase::json
