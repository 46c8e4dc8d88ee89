#pragma once
// A bounded JSON document. Other people's files are read with a size and a depth that cannot be exceeded; integers keep
// their 64 bits; objects keep the order of their members.
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxbase::json {

class Value;
using Array = std::vector<Value>;
using Member = std::pair<std::string, Value>;
using Object = std::vector<Member>;  // insertion order; a repeated name replaces the earlier value when parsed

class Value {
 public:
  Value() = default;  // null
  Value(std::nullptr_t) {}
  Value(bool b) : data_(b) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && std::is_signed_v<T>)
  Value(T i) : data_(static_cast<std::int64_t>(i)) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && std::is_unsigned_v<T>)
  Value(T i) : data_(static_cast<std::uint64_t>(i)) {}
  Value(double d) : data_(d) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(Array a) : data_(std::move(a)) {}
  Value(Object o) : data_(std::move(o)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_number() const;
  /// Whether it was written as a whole number: 1 is, 1.0 is not.
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_) || std::holds_alternative<std::uint64_t>(data_); }

  /// The member, or a null value if this is no object or has none of that name: `v["a"]["b"].string()` never fails.
  const Value& operator[](std::string_view name) const;
  const Array& array() const;    // empty if it is none
  const Object& object() const;  // empty if it is none
  const std::string* if_string() const { return std::get_if<std::string>(&data_); }
  std::string string(std::string_view otherwise = {}) const;  // the text, or `otherwise` if it is none
  /// The number if it is a whole one that fits, else `otherwise`.
  std::uint64_t u64(std::uint64_t otherwise = 0) const;
  std::int64_t i64(std::int64_t otherwise = 0) const;
  double number(double otherwise = 0) const;
  bool boolean(bool otherwise = false) const;

  /// Adds or replaces a member (turns null into an object; asserts that it is one).
  Value& set(std::string_view name, Value value);
  /// Appends to an array (turns null into one).
  Value& push(Value value);

  friend bool operator==(const Value&, const Value&) = default;

 private:
  friend std::string dump(const Value&, int);
  friend struct Writer;
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> data_;
};

struct Limits {
  std::size_t bytes = std::size_t{64} << 20U;
  int depth = 64;
};

/// Parses one document. Errors: corrupt (not JSON, not UTF-8, too deep), invalid (larger than limits.bytes).
Result<Value> parse(std::string_view text, Limits limits = {});

/// Writes it: on one line for indent < 0, else with that indent. Strings that are not UTF-8 get U+FFFD; a double that is
/// not finite becomes null.
std::string dump(const Value& value, int indent = -1);

}  // namespace mlxbase::json
