#include "mlxstudio/template/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <optional>
#include <unordered_map>

#include "mlxstudio/template/lexer.h"

namespace mlxstudio::jinja {
namespace {

using TokenKind = Token::Kind;
using Words = std::initializer_list<std::string_view>;

constexpr int kChain = 500;  // operators one after the other: they nest to the left

class Parser {
 public:
  Parser(std::vector<Token> tokens, int depth) : tokens_(std::move(tokens)), depth_left_(depth) {}

  Result<Tree> run() {
    tree_.body = TRY(statements({}));
    return std::move(tree_);
  }

 private:
  // ---- tokens
  const Token& now() const { return tokens_[at_]; }
  const Token& after() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  void next() {
    if (at_ + 1 < tokens_.size()) ++at_;
  }
  bool is_op(std::string_view op) const { return now().kind == TokenKind::op && now().value == op; }
  bool is_name(std::string_view name) const { return now().kind == TokenKind::name && now().value == name; }
  bool is_name_of(Words names) const {
    return now().kind == TokenKind::name && std::find(names.begin(), names.end(), now().value) != names.end();
  }
  bool skip_op(std::string_view op) {
    const bool found = is_op(op);
    if (found) next();
    return found;
  }
  bool skip_name(std::string_view name) {
    const bool found = is_name(name);
    if (found) next();
    return found;
  }
  std::unexpected<Error> wrong(std::string message, int line = 0) const {
    return fail(Code::corrupt, fmt::format("line {}: {}", line > 0 ? line : now().line, message));
  }
  std::string described() const {
    switch (now().kind) {
      case TokenKind::block_begin:
        return "begin of statement block";
      case TokenKind::block_end:
        return "end of statement block";
      case TokenKind::variable_begin:
        return "begin of print statement";
      case TokenKind::variable_end:
        return "end of print statement";
      case TokenKind::end:
        return "end of template";
      case TokenKind::data:
        return "template data / text";
      default:
        return now().value;
    }
  }
  Status expect_op(std::string_view op) {
    if (!skip_op(op)) return wrong(fmt::format("expected token '{}', got '{}'", op, described()));
    return {};
  }
  Status expect_name(std::string_view name) {
    if (!skip_name(name)) return wrong(fmt::format("expected token '{}', got '{}'", name, described()));
    return {};
  }
  Result<std::string> any_name() {
    if (now().kind != TokenKind::name) return wrong(fmt::format("expected token 'name', got '{}'", described()));
    std::string name = now().value;
    next();
    return name;
  }
  NameId id_of(const std::string& name) {
    const auto [found, made] = ids_.emplace(name, static_cast<NameId>(tree_.names.size()));
    if (made) tree_.names.push_back(name);
    return found->second;
  }

  struct Level {  // one deeper, while it lives
    explicit Level(int& left) : left_(left) { --left_; }
    ~Level() { ++left_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    int& left_;
  };
  Status not_too_deep() const {
    if (depth_left_ <= 0) return fail(Code::unsupported, "the template is nested too deeply");
    return {};
  }

  ExprPtr make(Expr::Kind kind, int line, ExprPtr a = nullptr, ExprPtr b = nullptr, ExprPtr c = nullptr) {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->line = line;
    expr->a = std::move(a);
    expr->b = std::move(b);
    expr->c = std::move(c);
    return expr;
  }
  ExprPtr constant(int line, Value value) {
    ExprPtr expr = make(Expr::Kind::constant, line);
    expr->constant = std::move(value);
    return expr;
  }

  // ---- statements
  Result<Body> statements(Words ends) {
    TRY(not_too_deep());
    const Level level(depth_left_);
    Body body;
    while (now().kind != TokenKind::end) {
      if (now().kind == TokenKind::data) {
        Stmt& stmt = body.emplace_back();
        stmt.kind = Stmt::Kind::data;
        stmt.text = now().value;
        next();
      } else if (now().kind == TokenKind::variable_begin) {
        const int line = now().line;
        next();
        ExprPtr value = TRY(tuple(Mode::full));
        if (now().kind != TokenKind::variable_end)
          return wrong(fmt::format("expected token 'end of print statement', got '{}'", described()));
        next();
        Stmt& stmt = body.emplace_back();
        stmt.kind = Stmt::Kind::print;
        stmt.line = line;
        stmt.a = std::move(value);
      } else {
        next();  // block_begin
        if (is_name_of(ends)) return body;
        TRY(statement(body));
        TRY(block_end());
      }
    }
    if (ends.size() > 0)
      return wrong(fmt::format("Unexpected end of template. Jinja was looking for the following tags: '{}'.", *(ends.end() - 1)));
    return body;
  }
  Status block_end() {
    if (now().kind != TokenKind::block_end) return wrong(fmt::format("expected token 'end of statement block', got '{}'", described()));
    next();
    return {};
  }
  /// Statements up to one of `ends`, which is left for the caller, or taken along if there is just one.
  Result<Body> body_until(Words ends) {
    if (is_op(":")) next();  // for people from Python
    TRY(block_end());
    Body body = TRY(statements(ends));
    if (ends.size() == 1) next();
    return body;
  }

  Status statement(Body& body) {
    if (now().kind != TokenKind::name) return wrong("tag name expected");
    Stmt stmt;
    stmt.line = now().line;
    const std::string tag = now().value;
    if (tag == "for") {
      TRY(parse_for(stmt));
    } else if (tag == "if") {
      TRY(parse_if(stmt));
    } else if (tag == "set") {
      TRY(parse_set(stmt));
    } else if (tag == "macro") {
      TRY(parse_macro(stmt));
    } else if (tag == "call") {
      TRY(parse_call_block(stmt));
    } else if (tag == "filter") {
      next();
      stmt.kind = Stmt::Kind::filter;
      stmt.a = TRY(filters(nullptr, true));
      stmt.body = TRY(body_until({"endfilter"}));
    } else if (tag == "with") {
      TRY(parse_with(stmt));
    } else if (tag == "generation") {
      next();
      stmt.kind = Stmt::Kind::scope;
      stmt.body = TRY(body_until({"endgeneration"}));
    } else if (tag == "autoescape") {
      next();
      const ExprPtr on = TRY(expression());
      stmt.kind = Stmt::Kind::scope;
      stmt.body = TRY(body_until({"endautoescape"}));
      if (on->kind != Expr::Kind::constant || truthy(on->constant)) {
        stmt.kind = Stmt::Kind::refused;
        stmt.text = "autoescape is not supported in chat templates";
      }
    } else if (tag == "block") {
      next();
      const std::string name = TRY(any_name());
      stmt.kind = Stmt::Kind::scope;
      while (skip_name("scoped") || skip_name("required")) {
      }
      stmt.body = TRY(body_until({"endblock"}));
      skip_name(name);
    } else if (tag == "break" || tag == "continue") {
      next();
      stmt.kind = tag == "break" ? Stmt::Kind::break_ : Stmt::Kind::continue_;
      if (loops_ == 0) return wrong(fmt::format("'{}' outside loop", tag), stmt.line);
    } else if (tag == "print") {
      next();
      while (now().kind != TokenKind::block_end) {
        Stmt print;
        print.kind = Stmt::Kind::print;
        print.line = stmt.line;
        print.a = TRY(expression());
        body.push_back(std::move(print));
        if (now().kind != TokenKind::block_end) TRY(expect_op(","));
      }
      return {};
    } else if (tag == "include" || tag == "import" || tag == "extends" || tag == "from") {
      while (now().kind != TokenKind::block_end && now().kind != TokenKind::end) next();
      stmt.kind = Stmt::Kind::refused;
      stmt.text = "no loader for this environment specified";
    } else {
      return wrong(fmt::format("Encountered unknown tag '{}'.", tag));
    }
    body.push_back(std::move(stmt));
    return {};
  }

  Status parse_for(Stmt& stmt) {
    next();
    stmt.kind = Stmt::Kind::for_;
    stmt.target = TRY(target({"in"}, false));
    TRY(expect_name("in"));
    stmt.a = TRY(tuple(Mode::no_condition, {"recursive"}));
    if (skip_name("if")) stmt.b = TRY(expression());
    stmt.recursive = skip_name("recursive");
    ++loops_;
    auto body = body_until({"endfor", "else"});
    --loops_;
    stmt.body = TRY(std::move(body));
    const bool otherwise = is_name("else");
    next();
    if (otherwise) stmt.otherwise = TRY(body_until({"endfor"}));
    return {};
  }

  Status parse_if(Stmt& stmt) {
    TRY(not_too_deep());
    const Level level(depth_left_);
    next();
    stmt.kind = Stmt::Kind::if_;
    stmt.a = TRY(tuple(Mode::no_condition));
    stmt.body = TRY(body_until({"elif", "else", "endif"}));
    if (is_name("elif")) {
      Stmt& other = stmt.otherwise.emplace_back();
      other.line = now().line;
      return parse_if(other);
    }
    const bool otherwise = is_name("else");
    next();
    if (otherwise) stmt.otherwise = TRY(body_until({"endif"}));
    return {};
  }

  Status parse_set(Stmt& stmt) {
    next();
    stmt.target = TRY(target({}, true));
    if (skip_op("=")) {
      stmt.kind = Stmt::Kind::set;
      stmt.a = TRY(tuple(Mode::full));
      return {};
    }
    stmt.kind = Stmt::Kind::set_block;
    stmt.a = TRY(filters(nullptr, false));
    stmt.body = TRY(body_until({"endset"}));
    return {};
  }

  Status parse_signature(Stmt& stmt) {
    TRY(expect_op("("));
    bool defaults = false;
    while (!is_op(")")) {
      if (!stmt.parameters.empty()) TRY(expect_op(","));
      Parameter parameter;
      parameter.name = TRY(any_name());
      parameter.id = id_of(parameter.name);
      if (skip_op("=")) {
        parameter.otherwise = TRY(expression());
        defaults = true;
      } else if (defaults) {
        return wrong("non-default argument follows default argument");
      }
      stmt.parameters.push_back(std::move(parameter));
    }
    next();
    return {};
  }

  Status macro_body(Stmt& stmt, Words ends) {
    const int loops = std::exchange(loops_, 0);
    const bool caller = std::exchange(uses_caller_, false), varargs = std::exchange(uses_varargs_, false),
               kwargs = std::exchange(uses_kwargs_, false);
    auto body = body_until(ends);
    stmt.uses_caller = std::exchange(uses_caller_, caller);
    stmt.uses_varargs = std::exchange(uses_varargs_, varargs);
    stmt.uses_kwargs = std::exchange(uses_kwargs_, kwargs);
    loops_ = loops;
    stmt.body = TRY(std::move(body));
    return {};
  }
  Status parse_macro(Stmt& stmt) {
    next();
    stmt.kind = Stmt::Kind::macro;
    stmt.text = TRY(any_name());
    stmt.id = id_of(stmt.text);
    TRY(parse_signature(stmt));
    return macro_body(stmt, {"endmacro"});
  }
  Status parse_call_block(Stmt& stmt) {
    next();
    stmt.kind = Stmt::Kind::call;
    stmt.text = "caller";
    if (is_op("(")) TRY(parse_signature(stmt));
    stmt.a = TRY(expression());
    if (stmt.a->kind != Expr::Kind::call) return wrong("expected call", stmt.line);
    return macro_body(stmt, {"endcall"});
  }
  Status parse_with(Stmt& stmt) {
    next();
    stmt.kind = Stmt::Kind::with;
    while (now().kind != TokenKind::block_end) {
      if (!stmt.parameters.empty()) TRY(expect_op(","));
      Parameter parameter;
      parameter.name = TRY(any_name());
      parameter.id = id_of(parameter.name);
      TRY(expect_op("="));
      parameter.otherwise = TRY(expression());
      stmt.parameters.push_back(std::move(parameter));
    }
    stmt.body = TRY(body_until({"endwith"}));
    return {};
  }

  // ---- expressions
  enum class Mode { full, no_condition, simple, simple_or_member };

  /// One expression, or several with commas as a tuple.
  Result<ExprPtr> tuple(Mode mode, Words ends = {}, bool parentheses = false) {
    const int line = now().line;
    std::vector<ExprPtr> items;
    bool is_tuple = false;
    while (true) {
      if (!items.empty()) TRY(expect_op(","));
      if (now().kind == TokenKind::variable_end || now().kind == TokenKind::block_end || is_op(")") || is_name_of(ends)) break;
      items.push_back(TRY(item_of(mode)));
      if (!is_op(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && !items.empty()) return std::move(items.front());
    if (!is_tuple && !parentheses) return wrong(fmt::format("Expected an expression, got '{}'", described()));
    ExprPtr expr = make(Expr::Kind::tuple, line);
    expr->items = std::move(items);
    return expr;
  }
  Result<ExprPtr> item_of(Mode mode) {
    switch (mode) {
      case Mode::full:
        return expression();
      case Mode::no_condition:
        return logical_or();
      case Mode::simple:
        return primary(false);
      case Mode::simple_or_member:
        return primary(true);
    }
    return expression();
  }
  Result<ExprPtr> target(Words ends, bool member) {
    const int line = now().line;
    ExprPtr expr = TRY(tuple(member ? Mode::simple_or_member : Mode::simple, ends));
    TRY(assignable(*expr, line));
    return expr;
  }
  Status assignable(const Expr& expr, int line) const {
    if (expr.kind == Expr::Kind::name || expr.kind == Expr::Kind::ns_member) return {};
    if (expr.kind != Expr::Kind::tuple) return wrong("can't assign to 'const'", line);
    for (const ExprPtr& item : expr.items) TRY(assignable(*item, line));
    return {};
  }

  Result<ExprPtr> expression() {
    TRY(not_too_deep());
    const Level level(depth_left_);
    ExprPtr value = TRY(logical_or());
    for (int chain = 0; is_name("if"); ++chain) {
      if (chain > kChain) return fail(Code::unsupported, "the template is nested too deeply");
      const int line = now().line;
      next();
      ExprPtr test = TRY(logical_or());
      ExprPtr otherwise;
      if (skip_name("else")) otherwise = TRY(expression());
      value = make(Expr::Kind::condition, line, std::move(value), std::move(test), std::move(otherwise));
    }
    return value;
  }

  using Part = Result<ExprPtr> (Parser::*)();
  /// Left to right: a op b op c.
  template <class KindOf>
  Result<ExprPtr> chain(Part part, KindOf kind_of) {
    ExprPtr left = TRY((this->*part)());
    for (int links = 0;; ++links) {
      const auto kind = kind_of();
      if (!kind) return left;
      if (links > kChain) return fail(Code::unsupported, "the template is nested too deeply");
      const int line = now().line;
      next();
      ExprPtr right = TRY((this->*part)());
      left = make(*kind, line, std::move(left), std::move(right));
    }
  }
  using MaybeKind = std::optional<Expr::Kind>;

  Result<ExprPtr> logical_or() {
    return chain(&Parser::logical_and, [this] { return is_name("or") ? MaybeKind(Expr::Kind::logical_or) : std::nullopt; });
  }
  Result<ExprPtr> logical_and() {
    return chain(&Parser::logical_not, [this] { return is_name("and") ? MaybeKind(Expr::Kind::logical_and) : std::nullopt; });
  }
  Result<ExprPtr> logical_not() {
    if (!is_name("not")) return comparison();
    TRY(not_too_deep());
    const Level level(depth_left_);
    const int line = now().line;
    next();
    ExprPtr value = TRY(logical_not());
    return make(Expr::Kind::logical_not, line, std::move(value));
  }
  Result<ExprPtr> comparison() {
    const int line = now().line;
    ExprPtr first = TRY(sum());
    ExprPtr expr;
    while (true) {
      std::string op;
      if (is_op("==") || is_op("!=") || is_op("<") || is_op("<=") || is_op(">") || is_op(">=")) {
        op = now().value;
      } else if (is_name("in")) {
        op = "in";
      } else if (is_name("not") && after().kind == TokenKind::name && after().value == "in") {
        op = "not in";
        next();
      } else {
        break;
      }
      next();
      if (!expr) expr = make(Expr::Kind::compare, line, std::move(first));
      expr->ops.push_back(std::move(op));
      expr->items.push_back(TRY(sum()));
    }
    return expr ? std::move(expr) : std::move(first);
  }
  Result<ExprPtr> sum() {
    return chain(&Parser::concat, [this] {
      return is_op("+") ? MaybeKind(Expr::Kind::add) : (is_op("-") ? MaybeKind(Expr::Kind::subtract) : std::nullopt);
    });
  }
  Result<ExprPtr> concat() {
    const int line = now().line;
    ExprPtr first = TRY(product());
    if (!is_op("~")) return first;
    ExprPtr expr = make(Expr::Kind::concat, line);
    expr->items.push_back(std::move(first));
    while (skip_op("~")) expr->items.push_back(TRY(product()));
    return expr;
  }
  Result<ExprPtr> product() {
    return chain(&Parser::power, [this] {
      if (is_op("*")) return MaybeKind(Expr::Kind::multiply);
      if (is_op("/")) return MaybeKind(Expr::Kind::divide);
      if (is_op("//")) return MaybeKind(Expr::Kind::floor_divide);
      return is_op("%") ? MaybeKind(Expr::Kind::modulo) : std::nullopt;
    });
  }
  Result<ExprPtr> power() {
    return chain(&Parser::unary_with_filters, [this] { return is_op("**") ? MaybeKind(Expr::Kind::power) : std::nullopt; });
  }
  Result<ExprPtr> unary_with_filters() { return unary(true); }
  Result<ExprPtr> unary(bool with_filters) {
    const int line = now().line;
    ExprPtr expr;
    if (is_op("-") || is_op("+")) {
      TRY(not_too_deep());
      const Level level(depth_left_);
      const auto kind = is_op("-") ? Expr::Kind::negate : Expr::Kind::plus;
      next();
      ExprPtr value = TRY(unary(false));
      expr = make(kind, line, std::move(value));
    } else {
      expr = TRY(primary(false));
    }
    expr = TRY(postfix(std::move(expr)));
    return with_filters ? filter_expression(std::move(expr)) : Result<ExprPtr>(std::move(expr));
  }

  Result<ExprPtr> primary(bool member) {
    const Token& token = now();
    const int line = token.line;
    switch (token.kind) {
      case TokenKind::name:
        return name_or_constant(member);
      case TokenKind::text: {
        std::string text;
        for (; now().kind == TokenKind::text; next()) text += now().value;
        return constant(line, std::move(text));
      }
      case TokenKind::integer:
        return integer();
      case TokenKind::real: {
        const double value = std::strtod(token.value.c_str(), nullptr);
        next();
        return constant(line, value);
      }
      default:
        break;
    }
    if (is_op("(")) {
      TRY(not_too_deep());
      const Level level(depth_left_);
      next();
      ExprPtr expr = TRY(tuple(Mode::full, {}, true));
      TRY(expect_op(")"));
      return expr;
    }
    if (is_op("[")) return list();
    if (is_op("{")) return dict();
    return wrong(fmt::format("unexpected '{}'", described()));
  }
  Result<ExprPtr> name_or_constant(bool member) {
    const int line = now().line;
    const std::string name = now().value;
    next();
    if (name == "true" || name == "True") return constant(line, true);
    if (name == "false" || name == "False") return constant(line, false);
    if (name == "none" || name == "None") return constant(line, None{});
    if (name == "caller") uses_caller_ = true;
    if (name == "varargs") uses_varargs_ = true;
    if (name == "kwargs") uses_kwargs_ = true;
    ExprPtr expr = make(Expr::Kind::name, line);
    expr->id = id_of(name);
    expr->text = name;
    if (member && skip_op(".")) {
      expr->kind = Expr::Kind::ns_member;
      expr->text = TRY(any_name());
    }
    return expr;
  }
  Result<ExprPtr> integer() {
    const Token& token = now();
    int base = 10;
    std::string_view digits = token.value;
    if (digits.size() > 2 && digits[0] == '0') {
      const char kind = static_cast<char>(digits[1] | 0x20);
      base = kind == 'x' ? 16 : (kind == 'o' ? 8 : (kind == 'b' ? 2 : 10));
      if (base != 10) digits.remove_prefix(2);
    }
    std::int64_t value = 0;
    for (const char c : digits) {
      const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
      if (digit < 0 || digit >= base) return wrong(fmt::format("unexpected '{}'", token.value));
      if (value > (std::numeric_limits<std::int64_t>::max() - digit) / base)
        return fail(Code::unsupported, "a number of more than 63 bits");
      value = value * base + digit;
    }
    const int line = token.line;
    next();
    return constant(line, value);
  }
  Result<ExprPtr> list() {
    TRY(not_too_deep());
    const Level level(depth_left_);
    ExprPtr expr = make(Expr::Kind::list, now().line);
    next();
    while (!is_op("]")) {
      if (!expr->items.empty()) TRY(expect_op(","));
      if (is_op("]")) break;
      expr->items.push_back(TRY(expression()));
    }
    next();
    return expr;
  }
  Result<ExprPtr> dict() {
    TRY(not_too_deep());
    const Level level(depth_left_);
    ExprPtr expr = make(Expr::Kind::dict, now().line);
    next();
    while (!is_op("}")) {
      if (!expr->items.empty()) TRY(expect_op(","));
      if (is_op("}")) break;
      expr->items.push_back(TRY(expression()));
      TRY(expect_op(":"));
      expr->items.push_back(TRY(expression()));
    }
    next();
    return expr;
  }

  Result<ExprPtr> postfix(ExprPtr expr) {
    for (int links = 0; is_op(".") || is_op("[") || is_op("("); ++links) {
      if (links > kChain) return fail(Code::unsupported, "the template is nested too deeply");
      expr = TRY(is_op("(") ? call(std::move(expr)) : subscript(std::move(expr)));
    }
    return expr;
  }
  Result<ExprPtr> filter_expression(ExprPtr expr) {
    for (int links = 0;; ++links) {
      if (links > kChain) return fail(Code::unsupported, "the template is nested too deeply");
      if (is_op("|")) {
        expr = TRY(filters(std::move(expr), false));
      } else if (is_name("is")) {
        expr = TRY(test(std::move(expr)));
      } else if (is_op("(")) {
        expr = TRY(call(std::move(expr)));
      } else {
        return expr;
      }
    }
  }
  Result<ExprPtr> subscript(ExprPtr of) {
    const int line = now().line;
    if (skip_op(".")) {
      if (now().kind == TokenKind::name) {
        ExprPtr expr = make(Expr::Kind::member, line, std::move(of));
        expr->text = now().value;
        expr->constant = expr->text;
        next();
        return expr;
      }
      if (now().kind != TokenKind::integer) return wrong("expected name or number");
      ExprPtr index = TRY(integer());
      return make(Expr::Kind::item, line, std::move(of), std::move(index));
    }
    next();
    std::vector<ExprPtr> items;
    while (!is_op("]")) {
      if (!items.empty()) TRY(expect_op(","));
      items.push_back(TRY(subscribed()));
    }
    next();
    if (items.size() == 1) return make(Expr::Kind::item, line, std::move(of), std::move(items.front()));
    ExprPtr index = make(Expr::Kind::tuple, line);
    index->items = std::move(items);
    return make(Expr::Kind::item, line, std::move(of), std::move(index));
  }
  Result<ExprPtr> subscribed() {
    const int line = now().line;
    ExprPtr start;
    if (!is_op(":")) {
      start = TRY(expression());
      if (!is_op(":")) return start;
    }
    next();
    ExprPtr stop, step;
    if (!is_op(":") && !is_op("]") && !is_op(",")) stop = TRY(expression());
    if (skip_op(":") && !is_op("]") && !is_op(",")) step = TRY(expression());
    ExprPtr expr = make(Expr::Kind::slice, line);
    expr->items.push_back(std::move(start));
    expr->items.push_back(std::move(stop));
    expr->items.push_back(std::move(step));
    return expr;
  }
  Result<std::unique_ptr<Arguments>> arguments() {
    TRY(not_too_deep());
    const Level level(depth_left_);
    auto out = std::make_unique<Arguments>();
    const int line = now().line;
    const char* const kWrong = "invalid syntax for function call expression";
    TRY(expect_op("("));
    bool comma = false;
    while (!is_op(")")) {
      if (comma) {
        TRY(expect_op(","));
        if (is_op(")")) break;
      }
      if (skip_op("*")) {
        if (out->list || out->dict) return wrong(kWrong, line);
        out->list = TRY(expression());
      } else if (skip_op("**")) {
        if (out->dict) return wrong(kWrong, line);
        out->dict = TRY(expression());
      } else if (now().kind == TokenKind::name && after().kind == TokenKind::op && after().value == "=") {
        if (out->dict) return wrong(kWrong, line);
        std::string name = now().value;
        next();
        next();
        ExprPtr value = TRY(expression());
        out->named.emplace_back(std::move(name), std::move(value));
      } else {
        if (out->list || out->dict || !out->named.empty()) return wrong(kWrong, line);
        out->positional.push_back(TRY(expression()));
      }
      comma = true;
    }
    next();
    return out;
  }
  Result<ExprPtr> call(ExprPtr of) {
    ExprPtr expr = make(Expr::Kind::call, now().line, std::move(of));
    expr->arguments = TRY(arguments());
    return expr;
  }
  Result<std::string> dotted_name() {
    std::string name = TRY(any_name());
    while (skip_op(".")) {
      name += '.';
      name += TRY(any_name());
    }
    return name;
  }
  Result<ExprPtr> filters(ExprPtr of, bool inline_start) {
    for (int links = 0; inline_start || is_op("|"); ++links) {
      if (links > kChain) return fail(Code::unsupported, "the template is nested too deeply");
      if (!inline_start) next();
      inline_start = false;
      ExprPtr expr = make(Expr::Kind::filter, now().line, std::move(of));
      expr->text = TRY(dotted_name());
      if (is_op("(")) expr->arguments = TRY(arguments());
      of = std::move(expr);
    }
    return of;
  }
  Result<ExprPtr> test(ExprPtr of) {
    const int line = now().line;
    next();
    const bool negated = skip_name("not");
    ExprPtr expr = make(Expr::Kind::test, line, std::move(of));
    expr->text = TRY(dotted_name());
    const bool starts_value = now().kind == TokenKind::name || now().kind == TokenKind::text || now().kind == TokenKind::integer ||
                              now().kind == TokenKind::real || is_op("[") || is_op("{");
    if (is_op("(")) {
      expr->arguments = TRY(arguments());
    } else if (starts_value && !is_name_of({"else", "or", "and"})) {
      if (is_name("is")) return wrong("You cannot chain multiple tests with is");
      expr->arguments = std::make_unique<Arguments>();
      ExprPtr value = TRY(primary(false));
      expr->arguments->positional.push_back(TRY(postfix(std::move(value))));
    }
    return negated ? make(Expr::Kind::logical_not, line, std::move(expr)) : std::move(expr);
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_left_;
  int loops_ = 0;
  bool uses_caller_ = false, uses_varargs_ = false, uses_kwargs_ = false;
  Tree tree_;
  std::unordered_map<std::string, NameId> ids_;
};

}  // namespace

Result<Tree> parse(std::string_view source, int depth) {
  auto tokens = TRY(tokenise(source));
  return Parser(std::move(tokens), depth).run();
}

}  // namespace mlxstudio::jinja
