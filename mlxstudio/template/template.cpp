#include "mlxstudio/template/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "mlxstudio/template/ast.h"
#include "mlxstudio/template/parser.h"
#include "mlxstudio/template/runtime.h"
#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

/// Variables of a loop's pass, a macro's call, a block. Macros keep a pointer to the one they were made in, so scopes live as long as the
/// run once a macro may have seen them.
struct Scope {
  Scope* outer = nullptr;
  std::vector<std::pair<NameId, Value>> variables;
  bool seen = false;  // by a macro

  Value* find(NameId id) {
    for (auto& [name, value] : variables) {
      if (name == id) return &value;
    }
    return nullptr;
  }
  void set(NameId id, Value value) {
    if (Value* there = find(id)) {
      *there = std::move(value);
    } else {
      variables.emplace_back(id, std::move(value));
    }
  }
};

class Macro : public Object {
 public:
  Macro(const Stmt& stmt, Scope* scope) : stmt_(stmt), scope_(scope) {}
  std::string_view type() const override { return "Macro"; }
  std::string full_type() const override { return "jinja2.runtime.Macro"; }
  bool callable() const override { return true; }
  const Stmt& stmt() const { return stmt_; }
  Scope* scope() const { return scope_; }

 private:
  const Stmt& stmt_;
  Scope* scope_;
};

/// The variable `loop`. Its condition is asked one item ahead at most, as Python's generators do.
class Loop : public Object {
 public:
  std::string_view type() const override { return "LoopContext"; }
  std::string full_type() const override { return "jinja2.runtime.LoopContext"; }
  bool callable() const override { return true; }

  SequencePtr source;
  std::size_t next_source = 0;
  std::vector<Value> passed;  // items that met the condition so far; unused without one
  bool filtered = false;
  std::int64_t index0 = -1;
  std::int64_t depth0 = 0;
  std::optional<std::vector<Value>> last_changed;
  const Stmt* stmt = nullptr;
  Scope* scope = nullptr;
  bool running = true;  // the run is still inside it

  const std::vector<Value>& items() const { return filtered ? passed : source->items; }
};

enum class Flow { normal, break_loop, next_pass };

std::string member_missing(const Value& of, const std::string& name) {
  std::string type;
  if (of.is_none()) {
    type = "None";
  } else {
    type = (of.if_object() != nullptr ? of.if_object()->full_type() : type_name(of)) + " object";
  }
  return fmt::format("{} has no attribute {}", repr_text(type), repr_text(name));
}

bool is_internal(std::string_view name) {  // what every object of Python has
  static constexpr std::string_view kNames[] = {
      "__class__", "__init__", "__doc__", "__dict__", "__getattribute__", "__subclasshook__", "__reduce__", "__new__",
      "__repr__",  "__str__",  "__eq__",  "__hash__", "__dir__",          "__format__",       "__sizeof__", "__module__"};
  return name.starts_with("__") && std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

class Run final : public Runtime {
 public:
  Run(const Tree& tree, const Limits& limits, const Context& context)
      : tree_(tree), limits_(limits), context_(context), work_left_(limits.work), depth_left_(limits.depth) {}
  ~Run() override {
    for (const auto& space : spaces_) space->members.clear();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Result<std::string> render() {
    root_.resize(tree_.names.size());
    for (std::size_t i = 0; i < tree_.names.size(); ++i) {
      const std::string& name = tree_.names[i];
      if (const Function* function = find_function(name)) root_[i] = Value(ObjectPtr(std::make_shared<FunctionObject>(*function)));
    }
    for (const auto& [name, value] : context_.variables.object()) {
      const auto found = std::find(tree_.names.begin(), tree_.names.end(), name);  // what the template does not name it cannot read
      if (found != tree_.names.end()) root_[static_cast<std::size_t>(found - tree_.names.begin())] = from_json(value);
    }
    TRY(execute(tree_.body));
    return std::move(out_);
  }

  // ---- Runtime
  Status charge(std::uint64_t steps) override {
    if (steps >= work_left_) {
      work_left_ = 0;
      return fail(Code::unsupported, "the template does too much work");
    }
    work_left_ -= steps;
    return {};
  }
  Status charge_text(std::size_t bytes) override {
    if (bytes > limits_.text_bytes)
      return fail(Code::unsupported, fmt::format("the template makes a text of more than {} bytes", limits_.text_bytes));
    return charge(bytes / 16 + 1);
  }
  const std::tm& now() const override { return context_.now; }
  void own(std::shared_ptr<Namespace> space) override { spaces_.push_back(std::move(space)); }

  Result<Value> member(const Value& of, const std::string& name) override {
    if (const Undefined* u = of.if_undefined()) return fail(Code::invalid, *u->message);
    if (Object* object = of.if_object()) return object_member(*object, of, name);
    if (const Method* method = find_method(of, name)) return method_value(of, *method);
    if (const Dict* dict = of.if_dict()) {
      if (is_internal(name)) return unsafe(of, name);
      const Value* found = dict->find(std::string_view(name));
      return found != nullptr ? *found : undefined(member_missing(of, name));
    }
    if (const Sequence* s = of.if_sequence(); s != nullptr && s->group) {
      if (name == "grouper") return s->items[0];
      if (name == "list") return s->items[1];
    }
    if (is_internal(name)) return unsafe(of, name);
    return undefined(member_missing(of, name));
  }

  Result<Value> item(const Value& of, const Value& index) override {
    if (const Undefined* u = of.if_undefined()) return fail(Code::invalid, *u->message);
    if (const Dict* dict = of.if_dict()) {
      if (const Value* found = dict->find(index)) return *found;
    } else if (std::int64_t room = 0; const std::int64_t* at = index.whole(room)) {
      if (const std::string* text = of.if_string()) {
        const auto n = static_cast<std::int64_t>(length(*text));
        TRY(charge(text->size() / 64));
        const std::int64_t i = *at < 0 ? *at + n : *at;
        if (i >= 0 && i < n) {
          const std::size_t begin = offset_of(*text, static_cast<std::size_t>(i));
          return text->substr(begin, offset_of(std::string_view(*text).substr(begin), 1));
        }
      } else if (const Sequence* list = of.if_sequence(); list != nullptr && list->kind <= Sequence::Kind::range) {
        const auto n = static_cast<std::int64_t>(list->items.size());
        const std::int64_t i = *at < 0 ? *at + n : *at;
        if (i >= 0 && i < n) return list->items[static_cast<std::size_t>(i)];
      }
    }
    if (const std::string* name = index.if_string()) {
      if (Object* object = of.if_object()) return object_member(*object, of, *name);
      if (const Method* method = find_method(of, *name)) return method_value(of, *method);
      if (is_internal(*name)) return unsafe(of, *name);
      return undefined(member_missing(of, *name));
    }
    return undefined(fmt::format(
        "{} has no element {}",
        of.is_none() ? "None" : (of.if_object() != nullptr ? of.if_object()->full_type() : type_name(of)) + " object", repr(index)));
  }

  Result<Value> call(const Value& callee, Args args) override {
    if (const Undefined* u = callee.if_undefined()) return fail(Code::invalid, *u->message);
    Object* object = callee.if_object();
    if (object == nullptr || !object->callable()) {
      return fail(Code::invalid, fmt::format("'{}' object is not callable", type_name(callee)));
    }
    TRY(charge(1));
    if (const auto* function = dynamic_cast<const FunctionObject*>(object)) return function->row().run(*this, args);
    if (const auto* method = dynamic_cast<const MethodObject*>(object)) return call_method(method->self(), method->row(), args);
    if (const auto* macro = dynamic_cast<const Macro*>(object)) return call_macro(*macro, std::move(args));
    if (auto* loop = dynamic_cast<Loop*>(object)) return call_loop(*loop, args);
    return fail(Code::invalid, fmt::format("'{}' object is not callable", object->type()));
  }

  Result<Value> filter(std::string_view name, const Value& input, const Args& args) override {
    const Filter* row = find_filter(name);
    if (row == nullptr) return fail(Code::invalid, fmt::format("No filter named {} found.", repr_text(name)));
    TRY(charge(1));
    const Bound bound = TRY(Bound::bind(row->name, row->parameters, args));
    return row->run(*this, input, bound, args);
  }
  Result<bool> test(std::string_view name, const Value& input, const Args& args) override {
    const Test* row = find_test(name);
    if (row == nullptr) return fail(Code::invalid, fmt::format("No test named {} found.", repr_text(name)));
    TRY(charge(1));
    const Bound bound = TRY(Bound::bind(row->name, row->parameters, args));
    return row->run(*this, input, bound);
  }

  Result<SequencePtr> iterate(const Value& value) override {
    if (SequencePtr there = value.sequence()) return there;
    auto list = std::make_shared<Sequence>();
    if (const std::string* text = value.if_string()) {
      TRY(charge_text(text->size()));
      TRY(charge(text->size()));
      for (const std::string_view one : characters(*text)) list->items.emplace_back(std::string(one));
    } else if (const Dict* dict = value.if_dict()) {
      TRY(charge(dict->entries.size()));
      for (const auto& entry : dict->entries) list->items.push_back(entry.first);
    } else if (!value.is_undefined()) {
      return fail(Code::invalid, fmt::format("'{}' object is not iterable", type_name(value)));
    }
    return SequencePtr(std::move(list));
  }

 private:
  struct Level {
    explicit Level(int& left) : left_(left) { --left_; }
    ~Level() { ++left_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    int& left_;
  };
  Status step() {
    if (depth_left_ <= 0) return fail(Code::unsupported, "the template calls itself too deeply");
    return charge(1);
  }

  /// Puts a scope on top while it lives.
  class Inside {
   public:
    Inside(Run& run, Scope* outer) : run_(run), before_(run.scope_) {
      if (run.spare_.empty()) {
        run.scopes_.push_back(std::make_unique<Scope>());
        scope_ = run.scopes_.back().get();
      } else {
        scope_ = run.spare_.back();
        run.spare_.pop_back();
      }
      scope_->outer = outer;
      run.scope_ = scope_;
    }
    ~Inside() {
      run_.scope_ = before_;
      if (scope_->seen) return;
      scope_->variables.clear();
      run_.spare_.push_back(scope_);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    Run& run_;
    Scope* before_;
    Scope* scope_;
  };
  void keep_scopes() {
    for (Scope* s = scope_; s != nullptr && !s->seen; s = s->outer) s->seen = true;
  }

  // ---- members
  static Value unsafe(const Value& of, const std::string& name) {
    return undefined(fmt::format("access to attribute {} of '{}' object is unsafe.", repr_text(name), type_name(of)));
  }
  static Value method_value(const Value& of, const Method& method) {
    if (method.run == nullptr) return unsafe(of, std::string(method.name));
    return ObjectPtr(std::make_shared<MethodObject>(of, method));
  }
  Result<Value> call_method(const Value& self, const Method& row, const Args& args) {
    const Bound bound = TRY(Bound::bind(row.name, row.parameters, args));
    return row.run(*this, self, bound, args);
  }
  Result<Value> object_member(Object& object, const Value& of, const std::string& name) {
    if (auto* space = dynamic_cast<Namespace*>(&object)) {
      if (const Value* found = space->find(name)) return *found;
    } else if (auto* loop = dynamic_cast<Loop*>(&object)) {
      return loop_member(*loop, of, name);
    } else if (const auto* macro = dynamic_cast<const Macro*>(&object)) {
      if (name == "name") return macro->stmt().text;
      if (name == "arguments") {
        std::vector<Value> names;
        for (const Parameter& parameter : macro->stmt().parameters) names.emplace_back(parameter.name);
        return make_list(std::move(names), Sequence::Kind::tuple);
      }
    }
    if (is_internal(name)) return unsafe(of, name);
    return undefined(member_missing(of, name));
  }

  // ---- loops
  /// Makes item `n` of the loop known if there is one.
  Result<bool> has_item(Loop& loop, std::size_t n) {
    if (!loop.filtered) return n < loop.source->items.size();
    while (loop.passed.size() <= n) {
      if (loop.next_source >= loop.source->items.size()) return false;
      const Value& item = loop.source->items[loop.next_source++];
      const Inside inside(*this, loop.scope);
      TRY(assign(*loop.stmt->target, item));
      if (truthy(TRY(eval(*loop.stmt->b)))) loop.passed.push_back(item);
    }
    return true;
  }
  Result<Value> loop_member(Loop& loop, const Value& of, const std::string& name) {
    const auto at = static_cast<std::size_t>(std::max<std::int64_t>(loop.index0, 0));
    if (name == "index") return loop.index0 + 1;
    if (name == "index0") return loop.index0;
    if (name == "first") return loop.index0 == 0;
    if (name == "last") return !TRY(has_item(loop, at + 1));
    if (name == "length" || name == "revindex" || name == "revindex0") {
      TRY(has_item(loop, SIZE_MAX - 1));
      const auto n = static_cast<std::int64_t>(loop.items().size());
      return name == "length" ? n : (name == "revindex" ? n - loop.index0 : n - loop.index0 - 1);
    }
    if (name == "depth") return loop.depth0 + 1;
    if (name == "depth0") return loop.depth0;
    if (name == "previtem") return loop.index0 <= 0 ? undefined("there is no previous item") : loop.items()[at - 1];
    if (name == "nextitem") {
      if (!TRY(has_item(loop, at + 1))) return undefined("there is no next item");
      return loop.items()[at + 1];
    }
    if (name == "cycle") return method_value(of, kCycle);
    if (name == "changed") return method_value(of, kChanged);
    return undefined(member_missing(of, name));
  }
  static Result<Value> cycle(Runtime&, const Value& self, const Bound&, const Args& args) {
    if (args.positional.empty()) return fail(Code::invalid, "no items for cycling given");
    const auto& loop = dynamic_cast<const Loop&>(*self.if_object());
    return args.positional[static_cast<std::size_t>(std::max<std::int64_t>(loop.index0, 0)) % args.positional.size()];
  }
  static Result<Value> changed(Runtime&, const Value& self, const Bound&, const Args& args) {
    auto& loop = dynamic_cast<Loop&>(*self.if_object());
    const bool same = loop.last_changed && loop.last_changed->size() == args.positional.size() &&
                      std::equal(args.positional.begin(), args.positional.end(), loop.last_changed->begin(), &equal);
    if (!same) loop.last_changed = args.positional;
    return !same;
  }
  static constexpr Method kCycle{"cycle", "*", &cycle};
  static constexpr Method kChanged{"changed", "*", &changed};

  Result<Value> call_loop(Loop& loop, const Args& args) {
    if (!loop.stmt->recursive) {
      return fail(Code::invalid, "The loop must have the 'recursive' marker to be called recursively.");
    }
    if (!loop.running) return fail(Code::unsupported, "a loop called after its end");
    if (args.positional.size() != 1) return fail(Code::invalid, "loop() takes one argument");
    const Captured captured(*this);
    TRY(run_loop(*loop.stmt, TRY(iterate(args.positional.front())), loop.scope, loop.depth0 + 1));
    return std::move(out_);
  }

  /// What is printed while it lives goes to a text of its own.
  class Captured {
   public:
    explicit Captured(Run& run) : run_(run) { std::swap(run.out_, before_); }
    ~Captured() { std::swap(run_.out_, before_); }
    Captured(const Captured&) = delete;
    Captured& operator=(const Captured&) = delete;

   private:
    Run& run_;
    std::string before_;
  };

  Status run_loop(const Stmt& stmt, SequencePtr source, Scope* scope, std::int64_t depth) {
    auto loop = std::make_shared<Loop>();
    struct Ended {
      Loop& loop;
      ~Ended() { loop.running = false; }
    };
    const Ended ended{*loop};
    loop->source = std::move(source);
    loop->filtered = stmt.b != nullptr;
    loop->stmt = &stmt;
    loop->scope = scope;
    loop->depth0 = depth;
    bool any = false;
    while (TRY(has_item(*loop, static_cast<std::size_t>(loop->index0 + 1)))) {
      any = true;
      ++loop->index0;
      TRY(charge(1));
      const Inside inside(*this, scope);
      scope_->set(loop_id(), ObjectPtr(loop));
      const Value item = loop->items()[static_cast<std::size_t>(loop->index0)];
      TRY(assign(*stmt.target, item));
      if (TRY(execute(stmt.body)) == Flow::break_loop) break;
    }
    if (!any && !stmt.otherwise.empty()) {
      const Inside inside(*this, scope);
      TRY(execute(stmt.otherwise));
    }
    return {};
  }
  NameId loop_id() {
    if (!loop_id_) {
      const auto found = std::find(tree_.names.begin(), tree_.names.end(), "loop");
      loop_id_ = static_cast<NameId>(found - tree_.names.begin());  // one past the names if nobody asks for it
    }
    return *loop_id_;
  }
  NameId id_of(std::string_view name) const {
    return static_cast<NameId>(std::find(tree_.names.begin(), tree_.names.end(), name) - tree_.names.begin());
  }

  // ---- macros
  Result<Value> call_macro(const Macro& macro, Args args) {
    const Stmt& stmt = macro.stmt();
    TRY(step());
    const Level level(depth_left_);
    const Inside inside(*this, macro.scope());
    std::size_t given = std::min(args.positional.size(), stmt.parameters.size());
    for (std::size_t i = 0; i < given; ++i) scope_->set(stmt.parameters[i].id, std::move(args.positional[i]));
    for (; given < stmt.parameters.size(); ++given) {
      const Parameter& parameter = stmt.parameters[given];
      const auto named = std::find_if(args.named.begin(), args.named.end(), [&](const auto& n) { return n.first == parameter.name; });
      if (named != args.named.end()) {
        scope_->set(parameter.id, std::move(named->second));
        args.named.erase(named);
      } else if (parameter.otherwise) {
        scope_->set(parameter.id, TRY(eval(*parameter.otherwise)));
      } else {
        scope_->set(parameter.id, undefined(fmt::format("parameter {} was not provided", repr_text(parameter.name))));
      }
    }
    if (stmt.uses_caller) {
      const auto named = std::find_if(args.named.begin(), args.named.end(), [](const auto& n) { return n.first == "caller"; });
      scope_->set(id_of("caller"), named != args.named.end() ? std::move(named->second) : undefined("No caller defined"));
      if (named != args.named.end()) args.named.erase(named);
    }
    if (stmt.uses_kwargs) {
      Dict rest;
      for (auto& [name, value] : args.named) rest.set(name, std::move(value));
      scope_->set(id_of("kwargs"), make_dict(std::move(rest)));
    } else if (!args.named.empty()) {
      if (args.named.front().first == "caller") {
        return fail(Code::invalid,
                    fmt::format("macro {} was invoked with two values for the special caller argument. This is most likely a bug.",
                                repr_text(stmt.text)));
      }
      return fail(Code::invalid,
                  fmt::format("macro {} takes no keyword argument {}", repr_text(stmt.text), repr_text(args.named.front().first)));
    }
    if (stmt.uses_varargs) {
      std::vector<Value> rest;
      if (args.positional.size() > stmt.parameters.size())
        rest.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(stmt.parameters.size()), args.positional.end());
      scope_->set(id_of("varargs"), make_list(std::move(rest), Sequence::Kind::tuple));
    } else if (args.positional.size() > stmt.parameters.size()) {
      return fail(Code::invalid, fmt::format("macro {} takes not more than {} argument(s)", repr_text(stmt.text), stmt.parameters.size()));
    }
    const Captured captured(*this);
    TRY(execute(stmt.body));
    return std::move(out_);
  }
  Value make_macro(const Stmt& stmt) {
    keep_scopes();
    return ObjectPtr(std::make_shared<Macro>(stmt, scope_));
  }

  // ---- statements
  Status print(std::string_view text) {
    if (out_.size() + text.size() > limits_.text_bytes) {
      return fail(Code::unsupported, fmt::format("the template makes a text of more than {} bytes", limits_.text_bytes));
    }
    TRY(charge(text.size() / 16 + 1));
    out_ += text;
    return {};
  }

  Result<Flow> execute(const Body& body) {
    TRY(step());
    const Level level(depth_left_);
    for (const Stmt& stmt : body) {
      const Flow flow = TRY(execute(stmt));
      if (flow != Flow::normal) return flow;
    }
    return Flow::normal;
  }
  Result<Flow> execute(const Stmt& stmt) {
    TRY(charge(1));
    switch (stmt.kind) {
      case Stmt::Kind::data:
        TRY(print(stmt.text));
        return Flow::normal;
      case Stmt::Kind::print:
        TRY(print_value(stmt));
        return Flow::normal;
      case Stmt::Kind::set:
        TRY(assign(*stmt.target, TRY(eval(*stmt.a))));
        return Flow::normal;
      case Stmt::Kind::set_block:
        TRY(set_block(stmt));
        return Flow::normal;
      case Stmt::Kind::if_:
        return execute(truthy(TRY(eval(*stmt.a))) ? stmt.body : stmt.otherwise);
      case Stmt::Kind::for_:
        TRY(loop_over(stmt));
        return Flow::normal;
      case Stmt::Kind::macro:
        set(stmt.id, make_macro(stmt));
        return Flow::normal;
      case Stmt::Kind::call:
        TRY(call_block(stmt));
        return Flow::normal;
      case Stmt::Kind::filter: {
        const Value text = TRY(captured_body(stmt.body));
        TRY(print(to_text(TRY(apply_filters(*stmt.a, text)))));
        return Flow::normal;
      }
      case Stmt::Kind::with:
        TRY(with(stmt));
        return Flow::normal;
      case Stmt::Kind::scope: {
        const Inside inside(*this, scope_);
        return execute(stmt.body);
      }
      case Stmt::Kind::break_:
        return Flow::break_loop;
      case Stmt::Kind::continue_:
        return Flow::next_pass;
      case Stmt::Kind::refused:
        break;
    }
    return fail(Code::invalid, stmt.text);
  }
  Status print_value(const Stmt& stmt) {
    const Value value = TRY(eval(*stmt.a));
    if (const std::string* text = value.if_string()) return print(*text);
    return print(to_text(value));
  }
  Status loop_over(const Stmt& stmt) {
    const Value over = TRY(eval(*stmt.a));
    return run_loop(stmt, TRY(iterate(over)), scope_, 0);
  }
  Status call_block(const Stmt& stmt) {
    Args args = TRY(arguments(stmt.a->arguments.get()));
    args.named.emplace_back("caller", make_macro(stmt));
    const Value callee = TRY(eval(*stmt.a->a));
    return print(to_text(TRY(call(callee, std::move(args)))));
  }
  Status set_block(const Stmt& stmt) {
    Value text = TRY(captured_body(stmt.body));
    if (stmt.a) text = TRY(apply_filters(*stmt.a, text));
    return assign(*stmt.target, std::move(text));
  }
  Status with(const Stmt& stmt) {
    std::vector<Value> values;
    for (const Parameter& parameter : stmt.parameters) values.push_back(TRY(eval(*parameter.otherwise)));
    const Inside inside(*this, scope_);
    for (std::size_t i = 0; i < values.size(); ++i) scope_->set(stmt.parameters[i].id, std::move(values[i]));
    TRY(execute(stmt.body));
    return {};
  }
  Result<Value> captured_body(const Body& body) {
    const Inside inside(*this, scope_);
    const Captured captured(*this);
    TRY(execute(body));
    return Value(std::move(out_));
  }

  void set(NameId id, Value value) {
    if (scope_ != nullptr) {
      scope_->set(id, std::move(value));
    } else {
      root_[id] = std::move(value);
    }
  }
  Status assign(const Expr& target, Value value) {
    if (target.kind == Expr::Kind::name) {
      set(target.id, std::move(value));
      return {};
    }
    if (target.kind == Expr::Kind::ns_member) {
      Value* there = lookup(target.id);
      auto* space = there == nullptr ? nullptr : dynamic_cast<Namespace*>(there->if_object());
      if (space == nullptr) return fail(Code::invalid, "cannot assign attribute on non-namespace object");
      if (target.text.starts_with('_')) {
        return fail(
            Code::invalid,
            fmt::format(
                "Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}. Please rename the attribute.",
                repr_text(target.text)));
      }
      if (Value* member_value = space->find(target.text)) {
        *member_value = std::move(value);
      } else {
        space->members.emplace_back(target.text, std::move(value));
      }
      return {};
    }
    if (value.is_number() || value.is_none())
      return fail(Code::invalid, fmt::format("cannot unpack non-iterable {} object", type_name(value)));
    const SequencePtr parts = TRY(iterate(value));
    if (parts->items.size() < target.items.size()) {
      return fail(Code::invalid,
                  fmt::format("not enough values to unpack (expected {}, got {})", target.items.size(), parts->items.size()));
    }
    if (parts->items.size() > target.items.size())
      return fail(Code::invalid, fmt::format("too many values to unpack (expected {})", target.items.size()));
    for (std::size_t i = 0; i < target.items.size(); ++i) TRY(assign(*target.items[i], parts->items[i]));
    return {};
  }

  // ---- expressions
  Value* lookup(NameId id) {
    for (Scope* s = scope_; s != nullptr; s = s->outer) {
      if (Value* found = s->find(id)) return found;
    }
    return id < root_.size() && root_[id] ? &*root_[id] : nullptr;
  }

  Result<Args> arguments(const Arguments* from) {
    Args out;
    if (from == nullptr) return out;
    out.positional.reserve(from->positional.size());
    for (const ExprPtr& expr : from->positional) out.positional.push_back(TRY(eval(*expr)));
    for (const auto& [name, expr] : from->named) out.named.emplace_back(name, TRY(eval(*expr)));
    if (from->list) {
      const SequencePtr rest = TRY(iterate(TRY(eval(*from->list))));
      TRY(charge(rest->items.size()));
      out.positional.insert(out.positional.end(), rest->items.begin(), rest->items.end());
    }
    if (from->dict) {
      const Value rest = TRY(eval(*from->dict));
      const Dict* dict = rest.if_dict();
      if (dict == nullptr) return fail(Code::invalid, fmt::format("argument after ** must be a mapping, not {}", type_name(rest)));
      TRY(charge(dict->entries.size()));
      for (const auto& [key, value] : dict->entries) out.named.emplace_back(to_text(key), value);
    }
    return out;
  }

  Result<Value> eval(const Expr& expr) {
    TRY(step());
    const Level level(depth_left_);
    using Kind = Expr::Kind;
    switch (expr.kind) {
      case Kind::constant:
        return expr.constant;
      case Kind::name:
        return name(expr);
      case Kind::member:
        return member(TRY(eval(*expr.a)), expr.text);
      case Kind::item:
        return eval_item(expr);
      case Kind::call:
        return eval_call(expr);
      case Kind::filter:
        return eval_filter(expr);
      case Kind::test:
        return eval_test(expr);
      case Kind::list:
        return make_list(TRY(all(expr.items)));
      case Kind::tuple:
        return make_list(TRY(all(expr.items)), Sequence::Kind::tuple);
      case Kind::dict:
        return eval_dict(expr);
      case Kind::negate:
      case Kind::plus:
        return eval_sign(expr);
      case Kind::logical_not:
        return !truthy(TRY(eval(*expr.a)));
      case Kind::logical_and: {
        Value left = TRY(eval(*expr.a));
        return truthy(left) ? eval(*expr.b) : Result<Value>(std::move(left));
      }
      case Kind::logical_or: {
        Value left = TRY(eval(*expr.a));
        return truthy(left) ? Result<Value>(std::move(left)) : eval(*expr.b);
      }
      case Kind::add:
        return binary(Operator::add, expr);
      case Kind::subtract:
        return binary(Operator::subtract, expr);
      case Kind::multiply:
        return binary(Operator::multiply, expr);
      case Kind::divide:
        return binary(Operator::divide, expr);
      case Kind::floor_divide:
        return binary(Operator::floor_divide, expr);
      case Kind::modulo:
        return binary(Operator::modulo, expr);
      case Kind::power:
        return binary(Operator::power, expr);
      case Kind::concat:
        return eval_concat(expr);
      case Kind::compare:
        return eval_compare(expr);
      case Kind::condition:
        if (truthy(TRY(eval(*expr.b)))) return eval(*expr.a);
        if (expr.c) return eval(*expr.c);
        return undefined(fmt::format("the inline if-expression on line {} evaluated to false and no else section was defined.", expr.line));
      case Kind::slice:
      case Kind::ns_member:
        break;
    }
    return fail(Code::invalid, "a slice outside of brackets");
  }

  Result<Value> name(const Expr& expr) {
    if (const Value* found = lookup(expr.id)) return *found;
    return undefined(fmt::format("{} is undefined", repr_text(expr.text)));
  }
  Result<std::vector<Value>> all(const std::vector<ExprPtr>& items) {
    std::vector<Value> out;
    out.reserve(items.size());
    for (const ExprPtr& item : items) out.push_back(TRY(eval(*item)));
    return out;
  }
  Result<Value> eval_dict(const Expr& expr) {
    Dict dict;
    for (std::size_t i = 0; i + 1 < expr.items.size(); i += 2) {
      Value key = TRY(eval(*expr.items[i]));
      if (key.if_dict() != nullptr || (key.if_sequence() != nullptr && key.if_sequence()->kind == Sequence::Kind::list)) {
        return fail(Code::invalid, fmt::format("unhashable type: '{}'", type_name(key)));
      }
      dict.set(std::move(key), TRY(eval(*expr.items[i + 1])));
    }
    return make_dict(std::move(dict));
  }
  Result<Value> eval_sign(const Expr& expr) {
    const Value value = TRY(eval(*expr.a));
    const bool minus = expr.kind == Expr::Kind::negate;
    if (const Undefined* u = value.if_undefined()) return fail(Code::invalid, *u->message);
    if (!value.is_number())
      return fail(Code::invalid, fmt::format("bad operand type for unary {}: '{}'", minus ? '-' : '+', type_name(value)));
    if (value.if_float() != nullptr) return minus ? -*value.if_float() : *value.if_float();
    return operate(*this, minus ? Operator::subtract : Operator::add, std::int64_t{0}, value);
  }
  Result<Value> binary(Operator op, const Expr& expr) {
    const Value left = TRY(eval(*expr.a));
    const Value right = TRY(eval(*expr.b));
    return operate(*this, op, left, right);
  }
  Result<Value> eval_concat(const Expr& expr) {
    std::string out;
    for (const ExprPtr& item : expr.items) {
      const Value value = TRY(eval(*item));
      const std::string* text = value.if_string();
      const std::string made = text != nullptr ? std::string() : to_text(value);
      TRY(charge_text(out.size() + (text != nullptr ? text->size() : made.size())));
      out += text != nullptr ? *text : made;
    }
    return Value(std::move(out));
  }
  Result<bool> holds(const std::string& op, const Value& left, const Value& right) {
    if (op == "==") return equal(left, right);
    if (op == "!=") return !equal(left, right);
    if (op == "in") return contains(*this, right, left);
    if (op == "not in") return !TRY(contains(*this, right, left));
    const int order = TRY(compare(left, right, op));
    if (op == "<") return order < 0;
    if (op == "<=") return order <= 0;
    return op == ">" ? order > 0 : order >= 0;
  }
  Result<Value> eval_compare(const Expr& expr) {
    Value left = TRY(eval(*expr.a));
    for (std::size_t i = 0; i < expr.ops.size(); ++i) {
      Value right = TRY(eval(*expr.items[i]));
      if (!TRY(holds(expr.ops[i], left, right))) return false;
      left = std::move(right);
    }
    return true;
  }
  Result<Value> eval_call(const Expr& expr) {
    const Value callee = TRY(eval(*expr.a));
    return call(callee, TRY(arguments(expr.arguments.get())));
  }
  Result<Value> apply_filters(const Expr& expr, const Value& input) {
    Value value = input;
    if (expr.a) value = TRY(apply_filters(*expr.a, input));
    return filter(expr.text, value, TRY(arguments(expr.arguments.get())));
  }
  Result<Value> eval_filter(const Expr& expr) {
    const Value input = TRY(eval(*expr.a));
    if (expr.arguments == nullptr) return filter(expr.text, input, {});
    return filter(expr.text, input, TRY(arguments(expr.arguments.get())));
  }
  Result<Value> eval_test(const Expr& expr) {
    const Value input = TRY(eval(*expr.a));
    if (expr.arguments == nullptr) return TRY(test(expr.text, input, {}));
    return TRY(test(expr.text, input, TRY(arguments(expr.arguments.get()))));
  }
  Result<Value> eval_item(const Expr& expr) {
    const Value of = TRY(eval(*expr.a));
    if (expr.b->kind == Expr::Kind::slice) return slice(of, *expr.b);
    return item(of, TRY(eval(*expr.b)));
  }
  /// Python's a[start:stop:step].
  Result<Value> slice(const Value& of, const Expr& expr) {
    std::optional<std::int64_t> bounds[3];
    for (std::size_t i = 0; i < 3; ++i) {
      if (!expr.items[i]) continue;
      const Value value = TRY(eval(*expr.items[i]));
      std::int64_t room = 0;
      if (const std::int64_t* n = value.whole(room)) {
        bounds[i] = *n;
      } else if (!value.is_none()) {
        return fail(Code::invalid, "slice indices must be integers or None or have an __index__ method");
      }
    }
    if (const Undefined* u = of.if_undefined()) return fail(Code::invalid, *u->message);
    const std::string* text = of.if_string();
    const Sequence* list = of.if_sequence();
    if (text == nullptr && (list == nullptr || list->kind > Sequence::Kind::range)) {
      return undefined(fmt::format("{} object has no element slice({}, {}, {})", type_name(of), bound_text(bounds[0]),
                                   bound_text(bounds[1]), bound_text(bounds[2])));
    }
    const std::int64_t step_size = bounds[2].value_or(1);
    if (step_size == 0) return fail(Code::invalid, "slice step cannot be zero");
    const auto n = static_cast<std::int64_t>(text != nullptr ? length(*text) : list->items.size());
    const std::int64_t low = step_size > 0 ? 0 : -1, high = step_size > 0 ? n : n - 1;
    const auto place = [&](std::optional<std::int64_t> bound, std::int64_t otherwise) {
      return !bound ? otherwise : std::clamp(*bound < 0 ? *bound + n : *bound, low, high);
    };
    const std::int64_t start = place(bounds[0], step_size > 0 ? 0 : n - 1), stop = place(bounds[1], step_size > 0 ? n : -1);
    if (text != nullptr && step_size == 1) {
      TRY(charge_text(text->size()));
      if (stop <= start) return Value("");
      const std::size_t begin = offset_of(*text, static_cast<std::size_t>(start));
      return text->substr(begin, offset_of(std::string_view(*text).substr(begin), static_cast<std::size_t>(stop - start)));
    }
    const SequencePtr source = TRY(iterate(of));
    TRY(charge(static_cast<std::uint64_t>(n)));
    std::vector<Value> items;
    std::string joined;
    for (std::int64_t i = start; step_size > 0 ? i < stop : i > stop;) {
      const Value& one = source->items[static_cast<std::size_t>(i)];
      if (text != nullptr) {
        joined += *one.if_string();
      } else {
        items.push_back(one);
      }
      if (__builtin_add_overflow(i, step_size, &i)) break;
    }
    return text != nullptr ? Value(std::move(joined)) : make_list(std::move(items), list->kind);
  }
  static std::string bound_text(std::optional<std::int64_t> bound) { return bound ? fmt::format("{}", *bound) : "None"; }

  const Tree& tree_;
  const Limits& limits_;
  const Context& context_;
  std::uint64_t work_left_;
  int depth_left_;
  std::string out_;
  std::vector<std::shared_ptr<Namespace>> spaces_;
  std::vector<std::optional<Value>> root_;  // by NameId: what is set outside of all scopes
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> spare_;
  Scope* scope_ = nullptr;
  std::optional<NameId> loop_id_;
};

}  // namespace

struct Template::Compiled {
  Tree tree;
  Limits limits;
};

Template::Template(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::compile(std::string_view source, const Limits& limits) {
  if (source.size() > limits.source_bytes) return fail(Code::unsupported, fmt::format("a template of {} bytes", source.size()));
  auto compiled = std::make_unique<Compiled>();
  compiled->tree = TRY(parse(source, limits.nesting));
  compiled->limits = limits;
  return Template(std::move(compiled));
}

Result<std::string> Template::render(const Context& context) const { return Run(compiled_->tree, compiled_->limits, context).render(); }

}  // namespace mlxstudio::jinja
