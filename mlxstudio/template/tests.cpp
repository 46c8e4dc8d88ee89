// What stands behind `is`, in the order of the table at the end.
#include <fmt/format.h>

#include <algorithm>

#include "mlxstudio/template/runtime.h"
#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

Result<std::int64_t> remainder(Runtime& run, const Value& in, const Value& by) {
  const Value rest = TRY(operate(run, Operator::modulo, in, by));
  std::int64_t room = 0;
  const std::int64_t* i = rest.whole(room);
  return i != nullptr ? *i : (rest.as_double() == 0 ? 0 : (rest.as_double() == 1 ? 1 : 2));
}

bool is_sequence(const Value& in) {
  const Sequence* s = in.if_sequence();
  return in.if_string() != nullptr || in.if_dict() != nullptr || in.is_undefined() ||
         (s != nullptr && (s->kind == Sequence::Kind::list || s->kind == Sequence::Kind::tuple || s->kind == Sequence::Kind::range));
}

/// Whether all letters are of one case, and there is one at all.
bool all_of_case(const Value& in, bool upper_case) {
  const std::string text = to_text(in);
  bool any = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t point = next_point(text, i);
    if (upper_case ? is_lower(point) : is_upper(point)) return false;
    any = any || (upper_case ? is_upper(point) : is_lower(point));
  }
  return any;
}

const Value kNone;
const Value& first(const Bound& args) { return args[0] == nullptr ? kNone : *args[0]; }

Result<bool> boolean(Runtime&, const Value& in, const Bound&) { return in.if_bool() != nullptr; }
Result<bool> callable(Runtime&, const Value& in, const Bound&) { return in.if_object() != nullptr && in.if_object()->callable(); }
Result<bool> defined(Runtime&, const Value& in, const Bound&) { return !in.is_undefined(); }
Result<bool> divisibleby(Runtime& run, const Value& in, const Bound& args) { return TRY(remainder(run, in, first(args))) == 0; }
Result<bool> eq(Runtime&, const Value& in, const Bound& args) { return equal(in, first(args)); }
Result<bool> escaped(Runtime&, const Value& in, const Bound&) { return in.is_markup(); }
Result<bool> even(Runtime& run, const Value& in, const Bound&) { return TRY(remainder(run, in, std::int64_t{2})) == 0; }
Result<bool> is_false(Runtime&, const Value& in, const Bound&) { return in.if_bool() != nullptr && !*in.if_bool(); }
Result<bool> filter(Runtime&, const Value& in, const Bound&) {
  return in.if_string() != nullptr && find_filter(*in.if_string()) != nullptr;
}
Result<bool> is_float(Runtime&, const Value& in, const Bound&) { return in.if_float() != nullptr; }
Result<bool> ge(Runtime&, const Value& in, const Bound& args) { return TRY(compare(in, first(args), ">=")) >= 0; }
Result<bool> gt(Runtime&, const Value& in, const Bound& args) { return TRY(compare(in, first(args), ">")) > 0; }
Result<bool> le(Runtime&, const Value& in, const Bound& args) { return TRY(compare(in, first(args), "<=")) <= 0; }
Result<bool> lt(Runtime&, const Value& in, const Bound& args) { return TRY(compare(in, first(args), "<")) < 0; }
Result<bool> in(Runtime& run, const Value& value, const Bound& args) { return contains(run, first(args), value); }
Result<bool> integer(Runtime&, const Value& value, const Bound&) { return value.if_int() != nullptr; }
Result<bool> iterable(Runtime&, const Value& value, const Bound&) {
  return value.if_string() != nullptr || value.if_sequence() != nullptr || value.if_dict() != nullptr || value.is_undefined() ||
         (value.if_object() != nullptr && value.if_object()->type() == "LoopContext");
}
Result<bool> is_lower_(Runtime&, const Value& value, const Bound&) { return all_of_case(value, false); }
Result<bool> is_upper_(Runtime&, const Value& value, const Bound&) { return all_of_case(value, true); }
Result<bool> mapping(Runtime&, const Value& value, const Bound&) { return value.if_dict() != nullptr; }
Result<bool> ne(Runtime&, const Value& value, const Bound& args) { return !equal(value, first(args)); }
Result<bool> none(Runtime&, const Value& value, const Bound&) { return value.is_none(); }
Result<bool> number(Runtime&, const Value& value, const Bound&) { return value.is_number(); }
Result<bool> odd(Runtime& run, const Value& value, const Bound&) { return TRY(remainder(run, value, std::int64_t{2})) == 1; }
Result<bool> sameas(Runtime&, const Value& value, const Bound& args) { return value.same_object(first(args)); }
Result<bool> sequence(Runtime&, const Value& value, const Bound&) { return is_sequence(value); }
Result<bool> string(Runtime&, const Value& value, const Bound&) { return value.if_string() != nullptr; }
Result<bool> test(Runtime&, const Value& value, const Bound&) {
  return value.if_string() != nullptr && find_test(*value.if_string()) != nullptr;
}
Result<bool> is_true(Runtime&, const Value& value, const Bound&) { return value.if_bool() != nullptr && *value.if_bool(); }
Result<bool> undefined_(Runtime&, const Value& value, const Bound&) { return value.is_undefined(); }

constexpr Test kTests[] = {
    {"!=", "other", &ne},
    {"<", "other", &lt},
    {"<=", "other", &le},
    {"==", "other", &eq},
    {">", "other", &gt},
    {">=", "other", &ge},
    {"boolean", "", &boolean},
    {"callable", "", &callable},
    {"defined", "", &defined},
    {"divisibleby", "num", &divisibleby},
    {"eq", "other", &eq},
    {"equalto", "other", &eq},
    {"escaped", "", &escaped},
    {"even", "", &even},
    {"false", "", &is_false},
    {"filter", "", &filter},
    {"float", "", &is_float},
    {"ge", "other", &ge},
    {"greaterthan", "other", &gt},
    {"gt", "other", &gt},
    {"in", "seq", &in},
    {"integer", "", &integer},
    {"iterable", "", &iterable},
    {"le", "other", &le},
    {"lessthan", "other", &lt},
    {"lower", "", &is_lower_},
    {"lt", "other", &lt},
    {"mapping", "", &mapping},
    {"ne", "other", &ne},
    {"none", "", &none},
    {"number", "", &number},
    {"odd", "", &odd},
    {"sameas", "other", &sameas},
    {"sequence", "", &sequence},
    {"string", "", &string},
    {"test", "", &test},
    {"true", "", &is_true},
    {"undefined", "", &undefined_},
    {"upper", "", &is_upper_},
};

}  // namespace

const Test* find_test(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests), [&](const Test& t) { return t.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace mlxstudio::jinja
