#pragma once
// What filters, tests and methods may ask of a run, and the tables they stand in.
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxstudio/template/value.h"

namespace mlxstudio::jinja {

/// Arguments of a call.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Arguments by the place that their names have in a row of a table.
class Bound {
 public:
  static constexpr std::size_t kMost = 6;
  const Value* operator[](std::size_t i) const { return values_[i]; }
  std::int64_t integer(std::size_t i, std::int64_t otherwise) const;
  bool flag(std::size_t i, bool otherwise) const { return values_[i] == nullptr ? otherwise : truthy(*values_[i]); }
  const std::string* text(std::size_t i) const { return values_[i] == nullptr ? nullptr : values_[i]->if_string(); }

  /// `names` separated by spaces. Errors: invalid (too many, or of another name).
  static Result<Bound> bind(std::string_view function, std::string_view names, const Args& args);

 private:
  const Value* values_[kMost] = {};
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  /// Counts work. Errors: unsupported (the run has had its share).
  virtual Status charge(std::uint64_t steps) = 0;
  /// Counts a text that was or will be made. Errors: unsupported (too long, or too much).
  virtual Status charge_text(std::size_t bytes) = 0;
  virtual Result<Value> member(const Value& of, const std::string& name) = 0;  // a.name
  virtual Result<Value> item(const Value& of, const Value& index) = 0;         // a[index]
  virtual Result<Value> call(const Value& callee, Args args) = 0;
  virtual Result<Value> filter(std::string_view name, const Value& input, const Args& args) = 0;
  virtual Result<bool> test(std::string_view name, const Value& input, const Args& args) = 0;
  virtual Result<SequencePtr> iterate(const Value& value) = 0;
  virtual const std::tm& now() const = 0;
  virtual void own(std::shared_ptr<Namespace> space) = 0;  // emptied when the run ends: a namespace may hold itself
};

struct Filter {
  std::string_view name;
  std::string_view parameters;  // "*": takes what it is given
  Result<Value> (*run)(Runtime&, const Value& input, const Bound& bound, const Args& args);
};
struct Test {
  std::string_view name;
  std::string_view parameters;
  Result<bool> (*run)(Runtime&, const Value& input, const Bound& bound);
};
struct Method {
  std::string_view name;
  std::string_view parameters;  // null: exists, but changes its object, which the sandbox forbids
  Result<Value> (*run)(Runtime&, const Value& self, const Bound& bound, const Args& args);
};
struct Function {
  std::string_view name;
  Result<Value> (*run)(Runtime&, const Args& args);
};

const Filter* find_filter(std::string_view name);
const Test* find_test(std::string_view name);
/// A method of this value's type, by name; null if the type has none of that name.
const Method* find_method(const Value& value, std::string_view name);
const Function* find_function(std::string_view name);

/// The binary operators of the language on values.
enum class Operator : std::uint8_t { add, subtract, multiply, divide, floor_divide, modulo, power };
Result<Value> operate(Runtime& run, Operator op, const Value& a, const Value& b);
Result<bool> contains(Runtime& run, const Value& inside, const Value& value);
/// text % values. Errors: invalid (as Python), unsupported (a conversion that is not built).
Result<std::string> percent_format(const std::string& text, const Value& values);

class FunctionObject : public Object {
 public:
  explicit FunctionObject(const Function& row) : row_(row) {}
  std::string_view type() const override { return "function"; }
  bool callable() const override { return true; }
  const Function& row() const { return row_; }

 private:
  const Function& row_;
};
class MethodObject : public Object {
 public:
  MethodObject(Value self, const Method& row) : self_(std::move(self)), row_(row) {}
  std::string_view type() const override { return "builtin_function_or_method"; }
  bool callable() const override { return true; }
  const Value& self() const { return self_; }
  const Method& row() const { return row_; }

 private:
  Value self_;
  const Method& row_;
};

}  // namespace mlxstudio::jinja
