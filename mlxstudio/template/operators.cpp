#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "mlxstudio/template/runtime.h"

namespace mlxstudio::jinja {
namespace {

constexpr std::string_view kSigns[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

std::unexpected<Error> too_large() { return fail(Code::unsupported, "a number of more than 63 bits"); }

std::unexpected<Error> not_defined_for(Operator op, const Value& a, const Value& b) {
  const std::string_view sign = kSigns[static_cast<std::size_t>(op)];
  return fail(Code::invalid, fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", sign, type_name(a), type_name(b)));
}

Result<Value> whole_numbers(Operator op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  switch (op) {
    case Operator::add:
      if (__builtin_add_overflow(a, b, &out)) return too_large();
      return out;
    case Operator::subtract:
      if (__builtin_sub_overflow(a, b, &out)) return too_large();
      return out;
    case Operator::multiply:
      if (__builtin_mul_overflow(a, b, &out)) return too_large();
      return out;
    case Operator::divide:
      if (b == 0) return fail(Code::invalid, "division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    case Operator::floor_divide:
      if (b == 0) return fail(Code::invalid, "integer division or modulo by zero");
      if (b == -1) return whole_numbers(Operator::subtract, 0, a);
      return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
    case Operator::modulo:
      if (b == 0) return fail(Code::invalid, "integer modulo by zero");
      if (b == -1) return std::int64_t{0};
      out = a % b;
      return out != 0 && (out < 0) != (b < 0) ? out + b : out;
    case Operator::power:
      break;
  }
  if (b < 0) {
    if (a == 0) return fail(Code::invalid, "0.0 cannot be raised to a negative power");
    return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  if (a >= -1 && a <= 1) return b == 0 || (a == -1 && b % 2 == 0) ? std::int64_t{1} : a;
  out = 1;
  for (std::int64_t i = 0; i < b; ++i) {  // 63 times at most
    if (__builtin_mul_overflow(out, a, &out)) return too_large();
  }
  return out;
}

Result<Value> real_numbers(Operator op, double a, double b) {
  switch (op) {
    case Operator::add:
      return a + b;
    case Operator::subtract:
      return a - b;
    case Operator::multiply:
      return a * b;
    case Operator::power:
      return std::pow(a, b);
    case Operator::divide:
      if (b == 0) return fail(Code::invalid, "float division by zero");
      return a / b;
    case Operator::floor_divide:
      if (b == 0) return fail(Code::invalid, "float floor division by zero");
      return std::floor(a / b);
    case Operator::modulo:
      break;
  }
  if (b == 0) return fail(Code::invalid, "float modulo");
  const double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Result<Value> repeat(Runtime& run, const Value& what, std::int64_t times) {
  const auto n = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  if (const std::string* text = what.if_string()) {
    if (n > 0 && text->size() > SIZE_MAX / n) return fail(Code::unsupported, "a text that is too long");
    TRY(run.charge_text(text->size() * n));
    std::string out;
    out.reserve(text->size() * n);
    for (std::uint64_t i = 0; i < n; ++i) out += *text;
    return Value::text_like(what, std::move(out));
  }
  const Sequence& list = *what.if_sequence();
  if (n > 0 && list.items.size() > UINT32_MAX / n) return fail(Code::unsupported, "a list that is too long");
  TRY(run.charge(list.items.size() * n));
  std::vector<Value> items;
  items.reserve(list.items.size() * n);
  for (std::uint64_t i = 0; i < n; ++i) items.insert(items.end(), list.items.begin(), list.items.end());
  return make_list(std::move(items), list.kind);
}

bool is_list_or_tuple(const Value& value) {
  const Sequence* s = value.if_sequence();
  return s != nullptr && (s->kind == Sequence::Kind::list || s->kind == Sequence::Kind::tuple);
}

Result<Value> add(Runtime& run, const Value& a, const Value& b) {
  if (const std::string* left = a.if_string()) {
    const std::string* right = b.if_string();
    if (right == nullptr) return fail(Code::invalid, fmt::format("can only concatenate str (not \"{}\") to str", type_name(b)));
    TRY(run.charge_text(left->size() + right->size()));
    if (a.is_markup() || b.is_markup()) {
      std::string out = escaped(a) + escaped(b);
      TRY(run.charge_text(out.size()));
      return Value::markup(std::move(out));
    }
    return *left + *right;
  }
  if (is_list_or_tuple(a)) {
    const Sequence& left = *a.if_sequence();
    const Sequence* right = b.if_sequence();
    if (right == nullptr || right->kind != left.kind) {
      return fail(Code::invalid, fmt::format("can only concatenate {0} (not \"{1}\") to {0}", type_name(a), type_name(b)));
    }
    TRY(run.charge(left.items.size() + right->items.size()));
    std::vector<Value> items = left.items;
    items.insert(items.end(), right->items.begin(), right->items.end());
    return make_list(std::move(items), left.kind);
  }
  return not_defined_for(Operator::add, a, b);
}

Result<Value> multiply(Runtime& run, const Value& a, const Value& b) {
  std::int64_t room = 0;
  const bool left = a.if_string() != nullptr || is_list_or_tuple(a);
  const bool right = b.if_string() != nullptr || is_list_or_tuple(b);
  if (left || right) {
    const std::int64_t* times = (left ? b : a).whole(room);
    if (times != nullptr) return repeat(run, left ? a : b, *times);
    return fail(Code::invalid, fmt::format("can't multiply sequence by non-int of type '{}'", type_name(left ? b : a)));
  }
  return not_defined_for(Operator::multiply, a, b);
}

/// One conversion of percent_format: flags, width, precision and letter.
struct Conversion {
  bool left = false, zero = false, plus = false, space = false, alternate = false;
  int width = 0, precision = -1;
  char letter = 0;
};

Result<std::string> convert(const Conversion& c, const Value& value) {
  std::string text, sign;
  bool number = false;
  if (c.letter == 's' || c.letter == 'r') {
    text = c.letter == 's' ? to_text(value) : repr(value);
    if (c.precision >= 0) text = text.substr(0, static_cast<std::size_t>(c.precision));
  } else {
    number = true;
    if (!value.is_number()) {
      const std::string_view what = c.letter == 'd' || c.letter == 'i'
                                        ? "a real number is required"
                                        : (c.letter == 'x' || c.letter == 'X' || c.letter == 'o' ? "an integer is required" : "");
      if (what.empty()) return fail(Code::invalid, fmt::format("must be real number, not {}", type_name(value)));
      return fail(Code::invalid, fmt::format("%{} format: {}, not {}", c.letter, what, type_name(value)));
    }
    const double d = value.as_double();
    std::int64_t room = 0;
    const std::int64_t* whole = value.whole(room);
    if (c.letter == 'd' || c.letter == 'i' || c.letter == 'x' || c.letter == 'X' || c.letter == 'o') {
      if (whole == nullptr && !(std::abs(d) < 9e18)) return too_large();
      const std::int64_t i = whole != nullptr ? *whole : static_cast<std::int64_t>(d);
      const std::uint64_t size = i < 0 ? 0 - static_cast<std::uint64_t>(i) : static_cast<std::uint64_t>(i);
      if (i < 0) sign = "-";
      text = c.letter == 'x'
                 ? fmt::format("{:x}", size)
                 : (c.letter == 'X' ? fmt::format("{:X}", size) : (c.letter == 'o' ? fmt::format("{:o}", size) : fmt::format("{}", size)));
    } else {
      if (std::signbit(d)) sign = "-";
      const int precision = std::min(c.precision < 0 ? 6 : c.precision, 100);
      const double size = std::abs(d);
      text = c.letter == 'f' || c.letter == 'F'
                 ? fmt::format("{:.{}f}", size, precision)
                 : (c.letter == 'e' ? fmt::format("{:.{}e}", size, precision) : fmt::format("{:.{}g}", size, precision));
    }
    if (sign.empty() && c.plus) sign = "+";
    if (sign.empty() && c.space) sign = " ";
  }
  const std::size_t length = sign.size() + text.size();
  const std::size_t fill = static_cast<std::size_t>(c.width) > length ? static_cast<std::size_t>(c.width) - length : 0;
  if (c.left) return sign + text + std::string(fill, ' ');
  if (c.zero && number) return sign + std::string(fill, '0') + text;
  return std::string(fill, ' ') + sign + text;
}

}  // namespace

Result<std::string> percent_format(const std::string& text, const Value& values) {
  const Sequence* tuple = values.if_sequence();
  if (tuple != nullptr && tuple->kind != Sequence::Kind::tuple) tuple = nullptr;
  std::size_t used = 0;
  const auto next = [&]() -> const Value* {
    if (tuple == nullptr) return used++ == 0 ? &values : nullptr;
    return used < tuple->items.size() ? &tuple->items[used++] : nullptr;
  };
  std::string out;
  bool by_name = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    Conversion c;
    const Value* value = nullptr;
    if (++i < text.size() && text[i] == '(') {
      const std::size_t end = text.find(')', i);
      if (end == std::string::npos) return fail(Code::invalid, "incomplete format key");
      const Dict* dict = values.if_dict();
      if (dict == nullptr) return fail(Code::invalid, "format requires a mapping");
      const std::string key = text.substr(i + 1, end - i - 1);
      value = dict->find(std::string_view(key));
      if (value == nullptr) return fail(Code::invalid, repr_text(key));
      by_name = true;
      i = end + 1;
    }
    for (; i < text.size() && std::string_view("-0+ #").find(text[i]) != std::string_view::npos; ++i) {
      (text[i] == '-' ? c.left : text[i] == '0' ? c.zero : text[i] == '+' ? c.plus : text[i] == ' ' ? c.space : c.alternate) = true;
    }
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) c.width = std::min(c.width * 10 + (text[i] - '0'), 100'000);
    if (i < text.size() && text[i] == '.') {
      c.precision = 0;
      for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
        c.precision = std::min(c.precision * 10 + (text[i] - '0'), 100'000);
    }
    if (i >= text.size()) return fail(Code::invalid, "incomplete format");
    c.letter = text[i];
    if (c.letter == '%') {
      out += '%';
      continue;
    }
    if (c.alternate || std::string_view("sdifFeegGxXor").find(c.letter) == std::string_view::npos) {
      return fail(Code::unsupported, fmt::format("the conversion %{}", c.letter));
    }
    if (value == nullptr) value = next();
    if (value == nullptr) return fail(Code::invalid, "not enough arguments for format string");
    if (out.size() > (std::size_t{256} << 20U)) return fail(Code::unsupported, "a text that is too long");
    out += TRY(convert(c, *value));
  }
  const bool left_over =
      tuple != nullptr ? used < tuple->items.size() : used == 0 && values.if_dict() == nullptr && values.if_sequence() == nullptr;
  if (left_over && !by_name) return fail(Code::invalid, "not all arguments converted during string formatting");
  return out;
}

Result<Value> operate(Runtime& run, Operator op, const Value& a, const Value& b) {
  if (const Undefined* u = a.if_undefined()) return fail(Code::invalid, *u->message);
  if (op == Operator::modulo) {
    if (const std::string* text = a.if_string()) {
      if (a.is_markup()) return fail(Code::unsupported, "% on markup");
      std::string out = TRY(percent_format(*text, b));
      TRY(run.charge_text(out.size()));
      return Value(std::move(out));
    }
  }
  if (const Undefined* u = b.if_undefined()) return fail(Code::invalid, *u->message);
  std::int64_t left_room = 0, right_room = 0;
  const std::int64_t* left = a.whole(left_room);
  const std::int64_t* right = b.whole(right_room);
  if (left != nullptr && right != nullptr) return whole_numbers(op, *left, *right);
  if (a.is_number() && b.is_number()) return real_numbers(op, a.as_double(), b.as_double());
  if (op == Operator::add) return add(run, a, b);
  if (op == Operator::multiply) return multiply(run, a, b);
  return not_defined_for(op, a, b);
}

Result<bool> contains(Runtime& run, const Value& inside, const Value& value) {
  if (const std::string* text = inside.if_string()) {
    const std::string* part = value.if_string();
    if (part == nullptr) return fail(Code::invalid, fmt::format("'in <string>' requires string as left operand, not {}", type_name(value)));
    TRY(run.charge(text->size() / 16));
    return text->find(*part) != std::string::npos;
  }
  if (const Dict* dict = inside.if_dict()) {
    if (value.if_dict() != nullptr || (value.if_sequence() != nullptr && value.if_sequence()->kind == Sequence::Kind::list)) {
      return fail(Code::invalid, fmt::format("unhashable type: '{}'", type_name(value)));
    }
    return dict->find(value) != nullptr;
  }
  if (const Sequence* list = inside.if_sequence()) {
    TRY(run.charge(list->items.size()));
    return std::any_of(list->items.begin(), list->items.end(), [&](const Value& item) { return equal(item, value); });
  }
  if (inside.is_undefined()) return false;
  if (const Object* object = inside.if_object())
    return fail(Code::invalid, fmt::format("argument of type '{}' is not iterable", object->type()));
  return fail(Code::invalid, fmt::format("argument of type '{}' is not iterable", type_name(inside)));
}

}  // namespace mlxstudio::jinja
