#pragma once
// What a template computes with: Python's values as far as chat templates meet them, with Python's texts and its words for what is wrong.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxstudio::jinja {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

class Value;
struct Sequence;
struct Dict;
class Object;

/// A name or member that is not there. Using it for more than printing, looping or asking is an error with this message.
struct Undefined {
  std::shared_ptr<const std::string> message;
};
struct None {};

using Text = std::shared_ptr<const std::string>;
using SequencePtr = std::shared_ptr<const Sequence>;
using DictPtr = std::shared_ptr<const Dict>;
using ObjectPtr = std::shared_ptr<Object>;

class Value {
 public:
  Value() : data_(None{}) {}
  Value(None) : data_(None{}) {}
  Value(Undefined u) : data_(std::move(u)) {}
  Value(bool b) : data_(b) {}
  Value(std::int64_t i) : data_(i) {}
  Value(double d) : data_(d) {}
  Value(std::string s) : data_(std::make_shared<const std::string>(std::move(s))) {}
  Value(const char* s) : Value(std::string(s)) {}
  Value(Text t) : data_(std::move(t)) {}
  Value(SequencePtr s) : data_(std::move(s)) {}
  Value(DictPtr d) : data_(std::move(d)) {}
  Value(ObjectPtr o) : data_(std::move(o)) {}

  /// markupsafe's Markup: a text that is taken as escaped, so that what is joined to it gets escaped. `safe` and `escape` make it.
  static Value markup(std::string s) {
    Value value;
    value.data_ = Safe{std::make_shared<const std::string>(std::move(s))};
    return value;
  }
  bool is_markup() const { return std::holds_alternative<Safe>(data_); }
  /// Of a text made from `like`: markup if that is.
  static Value text_like(const Value& like, std::string s) { return like.is_markup() ? markup(std::move(s)) : Value(std::move(s)); }

  bool is_none() const { return std::holds_alternative<None>(data_); }
  const Undefined* if_undefined() const { return std::get_if<Undefined>(&data_); }
  bool is_undefined() const { return if_undefined() != nullptr; }
  const bool* if_bool() const { return std::get_if<bool>(&data_); }
  const std::int64_t* if_int() const { return std::get_if<std::int64_t>(&data_); }  // a bool is none
  const double* if_float() const { return std::get_if<double>(&data_); }
  const std::string* if_string() const {
    if (const auto* t = std::get_if<Text>(&data_)) return t->get();
    const auto* safe = std::get_if<Safe>(&data_);
    return safe == nullptr ? nullptr : safe->text.get();
  }
  const Sequence* if_sequence() const {
    const auto* s = std::get_if<SequencePtr>(&data_);
    return s == nullptr ? nullptr : s->get();
  }
  SequencePtr sequence() const {
    const auto* s = std::get_if<SequencePtr>(&data_);
    return s == nullptr ? nullptr : *s;
  }
  const Dict* if_dict() const {
    const auto* d = std::get_if<DictPtr>(&data_);
    return d == nullptr ? nullptr : d->get();
  }
  Object* if_object() const {
    const auto* o = std::get_if<ObjectPtr>(&data_);
    return o == nullptr ? nullptr : o->get();
  }
  ObjectPtr object() const {
    const auto* o = std::get_if<ObjectPtr>(&data_);
    return o == nullptr ? nullptr : *o;
  }
  /// The number of an int or a bool.
  const std::int64_t* whole(std::int64_t& room) const {
    if (const bool* b = if_bool()) {
      room = *b ? 1 : 0;
      return &room;
    }
    return if_int();
  }
  bool is_number() const { return if_bool() != nullptr || if_int() != nullptr || if_float() != nullptr; }
  double as_double() const;                    // of a number
  bool same_object(const Value& other) const;  // Python's `is`, as far as it can be told

 private:
  struct Safe {
    Text text;
  };
  std::variant<None, Undefined, bool, std::int64_t, double, Text, SequencePtr, DictPtr, ObjectPtr, Safe> data_;
};

struct Sequence {
  enum class Kind : std::uint8_t { list, tuple, range, generator, keys, values, items, reversed };
  Kind kind = Kind::list;
  bool group = false;  // of groupby: a tuple whose parts are also .grouper and .list
  std::vector<Value> items;
};

/// Keeps the order of insertion. Keys: text, numbers, None, tuples of those.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;

  const Value* find(std::string_view key) const;
  const Value* find(const Value& key) const;
  void set(Value key, Value value);

 private:
  std::unordered_map<std::string_view, std::size_t> by_name_;  // of text keys, once there are more than a few
};

/// What has members or can be called: namespaces, macros, functions, loops.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string_view type() const = 0;                             // "Macro"
  virtual std::string full_type() const { return std::string(type()); }  // "jinja2.runtime.Macro"
  virtual bool callable() const { return false; }
};

class Namespace : public Object {
 public:
  std::vector<std::pair<std::string, Value>> members;
  std::string_view type() const override { return "Namespace"; }
  std::string full_type() const override { return "jinja2.utils.Namespace"; }
  Value* find(std::string_view name);
};

Value make_list(std::vector<Value> items, Sequence::Kind kind = Sequence::Kind::list);
Value make_dict(Dict dict);
Value undefined(std::string message);
/// A copy of the JSON document.
Value from_json(const mlxbase::json::Value& value);

bool truthy(const Value& value);
bool equal(const Value& a, const Value& b);
/// -1, 0, 1; Errors: invalid ("'<' not supported between instances of 'str' and 'int'").
Result<int> compare(const Value& a, const Value& b, std::string_view op);
/// type(value).__name__
std::string type_name(const Value& value);
std::string to_text(const Value& value);  // str(value)
std::string repr(const Value& value);     // repr(value)
std::string repr_text(std::string_view text);
std::string float_text(double number);
std::string html_escape(std::string_view text);
/// The text as markup has it: escaped unless it is markup itself.
std::string escaped(const Value& value);

struct JsonStyle {
  bool ascii = false;
  int indent = -1;          // none
  std::string indent_text;  // used if it is not empty
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};
/// json.dumps(value). Errors: invalid ("Object of type Undefined is not JSON serializable"), unsupported (too deep).
Result<std::string> to_json(const Value& value, const JsonStyle& style);

}  // namespace mlxstudio::jinja
