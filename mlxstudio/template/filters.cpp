// The filters of Jinja, in the order of the table at the end; each does what jinja2's of the same name does.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "mlxstudio/template/runtime.h"
#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

std::unexpected<Error> undefined_error(const Value& value) { return fail(Code::invalid, *value.if_undefined()->message); }

Value ignore_case(const Value& value) {
  const std::string* text = value.if_string();
  return text == nullptr ? value : Value(lower(*text));
}

/// item.a.b or item[0] by "a.b" or a number, as make_attrgetter.
Result<Value> attribute_of(Runtime& run, const Value& item, const Value& attribute, const Value* otherwise = nullptr) {
  Value value = item;
  std::vector<Value> parts;
  if (const std::string* path = attribute.if_string()) {
    for (const std::string_view part : split(*path, ".", -1)) {
      const bool number =
          !part.empty() && part.size() < 10 && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
      parts.emplace_back(number ? Value(static_cast<std::int64_t>(std::atoll(std::string(part).c_str()))) : Value(std::string(part)));
    }
  } else if (!attribute.is_none()) {
    parts.push_back(attribute);
  }
  for (const Value& part : parts) {
    value = TRY(run.item(value, part));
    if (otherwise != nullptr && value.is_undefined()) value = *otherwise;
  }
  return value;
}

struct Keyed {
  Value key, item;
};

/// A stable merge sort that can fail.
Status sort_keyed(Runtime& run, std::vector<Keyed>& items, bool reverse) {
  std::vector<Keyed> other(items.size());
  for (std::size_t width = 1; width < items.size(); width *= 2) {
    TRY(run.charge(items.size()));
    for (std::size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, items.size()), end = std::min(begin + 2 * width, items.size());
      std::size_t a = begin, b = middle;
      for (std::size_t to = begin; to < end; ++to) {
        bool second = a == middle;
        if (a < middle && b < end) {
          const int order = TRY(compare(items[b].key, items[a].key, "<"));
          second = reverse ? order > 0 : order < 0;
        }
        other[to] = std::move(second ? items[b++] : items[a++]);
      }
    }
    std::swap(items, other);
  }
  return {};
}

Result<std::vector<Keyed>> keyed(Runtime& run, const Value& input, const Value* attribute, bool case_sensitive,
                                 const Value* otherwise = nullptr) {
  const SequencePtr list = TRY(run.iterate(input));
  TRY(run.charge(list->items.size()));
  std::vector<Keyed> items;
  items.reserve(list->items.size());
  for (const Value& item : list->items) {
    Value key = item;
    if (attribute != nullptr) key = TRY(attribute_of(run, item, *attribute, otherwise));
    items.push_back({case_sensitive ? key : ignore_case(key), item});
  }
  return items;
}

Value items_of(std::vector<Keyed> list) {
  std::vector<Value> items;
  items.reserve(list.size());
  for (Keyed& entry : list) items.push_back(std::move(entry.item));
  return make_list(std::move(items));
}

Result<Value> text_result(Runtime& run, std::string text) {
  TRY(run.charge_text(text.size()));
  return Value(std::move(text));
}

Result<Value> markup_result(Runtime& run, std::string text) {
  TRY(run.charge_text(text.size()));
  return Value::markup(std::move(text));
}
Result<Value> text_like(Runtime& run, const Value& like, std::string text) {
  TRY(run.charge_text(text.size()));
  return Value::text_like(like, std::move(text));
}

// ---- the filters
Result<Value> abs_(Runtime&, const Value& in, const Bound&, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  std::int64_t room = 0;
  if (const std::int64_t* i = in.whole(room)) {
    if (*i == std::numeric_limits<std::int64_t>::min()) return fail(Code::unsupported, "a number of more than 63 bits");
    return std::int64_t{*i < 0 ? -*i : *i};
  }
  if (const double* d = in.if_float()) return std::fabs(*d);
  return fail(Code::invalid, fmt::format("bad operand type for abs(): '{}'", type_name(in)));
}

Result<Value> attr(Runtime& run, const Value& in, const Bound& args, const Args&) {
  if (in.if_dict() != nullptr && args.text(0) != nullptr && find_method(in, *args.text(0)) == nullptr) {
    return undefined(fmt::format("'dict object' has no attribute {}", repr_text(*args.text(0))));
  }
  return run.member(in, args[0] == nullptr ? std::string() : to_text(*args[0]));
}

Result<Value> batch(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const SequencePtr list = TRY(run.iterate(in));
  TRY(run.charge(list->items.size()));
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(args.integer(0, 1), 1));
  TRY(run.charge(size));
  std::vector<Value> out, part;
  for (const Value& item : list->items) {
    if (part.size() == size) out.push_back(make_list(std::exchange(part, {})));
    part.push_back(item);
  }
  if (!part.empty()) {
    if (args[1] != nullptr && !args[1]->is_none()) {
      while (part.size() < size) part.push_back(*args[1]);
    }
    out.push_back(make_list(std::move(part)));
  }
  return make_list(std::move(out), Sequence::Kind::generator);
}

Result<Value> capitalize_(Runtime& run, const Value& in, const Bound&, const Args&) { return text_like(run, in, capitalize(to_text(in))); }

Result<Value> center(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const std::string text = to_text(in);
  const std::size_t n = length(text), width = static_cast<std::size_t>(
                                          std::clamp<std::int64_t>(args.integer(0, 80), 0, std::numeric_limits<std::int32_t>::max()));
  if (width <= n) return Value(text);
  TRY(run.charge_text(width));
  const std::size_t pad = width - n, left = pad / 2 + (pad & width & 1U);
  return std::string(left, ' ') + text + std::string(pad - left, ' ');
}

Result<Value> count(Runtime&, const Value& in, const Bound&, const Args&) {
  if (const std::string* text = in.if_string()) return static_cast<std::int64_t>(length(*text));
  if (const Dict* dict = in.if_dict()) return static_cast<std::int64_t>(dict->entries.size());
  if (in.is_undefined()) return std::int64_t{0};
  const Sequence* list = in.if_sequence();
  if (list == nullptr || list->kind == Sequence::Kind::generator)
    return fail(Code::invalid, fmt::format("object of type '{}' has no len()", type_name(in)));
  return static_cast<std::int64_t>(list->items.size());
}

Result<Value> default_(Runtime&, const Value& in, const Bound& args, const Args&) {
  if (in.is_undefined() || (args.flag(1, false) && !truthy(in))) return args[0] == nullptr ? Value("") : *args[0];
  return in;
}

Result<Value> dictsort(Runtime& run, const Value& in, const Bound& args, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  const Dict* dict = in.if_dict();
  if (dict == nullptr) return fail(Code::invalid, fmt::format("'{}' object has no attribute 'items'", type_name(in)));
  const bool by_value = args.text(1) != nullptr && *args.text(1) == "value";
  if (args.text(1) != nullptr && !by_value && *args.text(1) != "key")
    return fail(Code::invalid, "You can only sort by either \"key\" or \"value\"");
  std::vector<Keyed> items;
  for (const auto& [key, value] : dict->entries) {
    const Value& by = by_value ? value : key;
    items.push_back({args.flag(0, false) ? by : ignore_case(by), make_list({key, value}, Sequence::Kind::tuple)});
  }
  TRY(sort_keyed(run, items, args.flag(2, false)));
  return items_of(std::move(items));
}

Result<Value> escape(Runtime& run, const Value& in, const Bound&, const Args&) { return markup_result(run, escaped(in)); }
Result<Value> force_escape(Runtime& run, const Value& in, const Bound&, const Args&) {
  return markup_result(run, html_escape(to_text(in)));
}
Result<Value> safe(Runtime& run, const Value& in, const Bound&, const Args&) { return markup_result(run, to_text(in)); }

Result<Value> first(Runtime& run, const Value& in, const Bound&, const Args&) {
  if (const std::string* text = in.if_string()) {
    if (!text->empty()) return text->substr(0, offset_of(*text, 1));
  } else {
    const SequencePtr list = TRY(run.iterate(in));
    if (!list->items.empty()) return list->items.front();
  }
  return undefined("No first item, sequence was empty.");
}

Result<Value> last(Runtime& run, const Value& in, const Bound&, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  if (const Sequence* s = in.if_sequence(); in.is_number() || in.is_none() || (s != nullptr && s->kind == Sequence::Kind::generator)) {
    return fail(Code::invalid, fmt::format("'{}' object is not reversible", type_name(in)));
  }
  const SequencePtr list = TRY(run.iterate(in));
  if (list->items.empty()) return undefined("No last item, sequence was empty.");
  return list->items.back();
}

Result<Value> float_(Runtime&, const Value& in, const Bound& args, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  if (in.is_number()) return in.as_double();
  if (const std::string* text = in.if_string()) {
    const std::string trimmed(strip(*text, nullptr, true, true));
    char* end = nullptr;
    const double d = std::strtod(trimmed.c_str(), &end);
    if (!trimmed.empty() && end == trimmed.c_str() + trimmed.size() && trimmed.find_first_of("xX") == std::string::npos) return d;
  }
  return args[0] == nullptr ? Value(0.0) : *args[0];
}

Result<Value> format(Runtime& run, const Value& in, const Bound&, const Args& args) {
  if (!args.named.empty()) {
    if (!args.positional.empty()) return fail(Code::invalid, "can't handle positional and keyword arguments at the same time");
    Dict dict;
    for (const auto& [name, value] : args.named) dict.set(name, value);
    return text_result(run, TRY(percent_format(to_text(in), make_dict(std::move(dict)))));
  }
  return text_result(run, TRY(percent_format(to_text(in), make_list(args.positional, Sequence::Kind::tuple))));
}

Result<Value> groupby(Runtime& run, const Value& in, const Bound& args, const Args&) {
  if (args[0] == nullptr) return fail(Code::invalid, "groupby() missing 1 required positional argument: 'attribute'");
  const bool case_sensitive = args.flag(2, false);
  const Value* otherwise = args[1] != nullptr && !args[1]->is_none() ? args[1] : nullptr;
  std::vector<Keyed> items = TRY(keyed(run, in, args[0], case_sensitive, otherwise));
  TRY(sort_keyed(run, items, false));
  std::vector<Value> out;
  for (std::size_t i = 0; i < items.size();) {
    std::size_t end = i;
    std::vector<Value> members;
    for (; end < items.size() && equal(items[end].key, items[i].key); ++end) members.push_back(items[end].item);
    Value key = items[i].key;
    if (!case_sensitive) key = TRY(attribute_of(run, items[i].item, *args[0], otherwise));
    auto tuple = std::make_shared<Sequence>();
    tuple->kind = Sequence::Kind::tuple;
    tuple->group = true;
    tuple->items = {std::move(key), make_list(std::move(members))};
    out.emplace_back(SequencePtr(std::move(tuple)));
    i = end;
  }
  return make_list(std::move(out));
}

Result<Value> indent(Runtime& run, const Value& in, const Bound& args, const Args&) {
  std::string pad(4, ' ');
  if (args.text(0) != nullptr) {
    pad = *args.text(0);
  } else if (args[0] != nullptr) {
    pad.assign(static_cast<std::size_t>(std::clamp<std::int64_t>(args.integer(0, 4), 0, 10'000)), ' ');
  }
  const bool first_line = args.flag(1, false), blank = args.flag(2, false);
  if (in.is_undefined()) return undefined_error(in);  // jinja2 adds a line end to it
  if (in.if_string() == nullptr)
    return fail(Code::invalid, fmt::format("unsupported operand type(s) for +=: '{}' and 'str'", type_name(in)));
  const std::string text = *in.if_string() + "\n";  // so that an empty text has a line, too
  std::string out = first_line ? pad : std::string();
  bool begun = false;
  for (const std::string_view line : split_lines(text, false)) {
    TRY(run.charge_text(pad.size() + line.size()));
    if (begun) out += '\n';
    if (begun && (blank || !line.empty())) out += pad;
    begun = true;
    out += line;
  }
  return Value::text_like(in, std::move(out));
}

Result<Value> int_(Runtime&, const Value& in, const Bound& args, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  const Value otherwise = args[0] == nullptr ? Value(std::int64_t{0}) : *args[0];
  std::int64_t room = 0;
  if (const std::int64_t* i = in.whole(room)) return *i;
  double d = std::numeric_limits<double>::quiet_NaN();
  if (in.if_float() != nullptr) {
    d = *in.if_float();
  } else if (const std::string* text = in.if_string()) {
    std::string trimmed(strip(*text, nullptr, true, true));
    int base = static_cast<int>(std::clamp<std::int64_t>(args.integer(1, 10), 0, 36));
    if (base == 1) base = 10;
    errno = 0;
    char* end = nullptr;
    std::string digits = trimmed;
    std::erase(digits, '_');
    const long long i = std::strtoll(digits.c_str(), &end, base);
    if (!digits.empty() && end == digits.c_str() + digits.size() && errno == 0) return static_cast<std::int64_t>(i);
    d = std::strtod(trimmed.c_str(), &end);
    if (trimmed.empty() || end != trimmed.c_str() + trimmed.size()) return otherwise;
  }
  if (!(std::abs(d) < 9.2e18)) return otherwise;
  return static_cast<std::int64_t>(d);
}

Result<Value> items(Runtime&, const Value& in, const Bound&, const Args&) {
  if (in.is_undefined()) return make_list({}, Sequence::Kind::generator);
  const Dict* dict = in.if_dict();
  if (dict == nullptr) return fail(Code::invalid, "Can only get item pairs from a mapping.");
  std::vector<Value> out;
  for (const auto& [key, value] : dict->entries) out.push_back(make_list({key, value}, Sequence::Kind::tuple));
  return make_list(std::move(out), Sequence::Kind::generator);
}

Result<Value> join(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const SequencePtr list = TRY(run.iterate(in));
  const std::string separator = args[0] == nullptr ? std::string() : to_text(*args[0]);
  std::string out;
  bool begun = false;
  for (const Value& item : list->items) {
    if (begun) out += separator;
    begun = true;
    if (args[1] != nullptr && !args[1]->is_none()) {
      out += to_text(TRY(attribute_of(run, item, *args[1])));
    } else {
      out += to_text(item);
    }
    TRY(run.charge_text(separator.size() + 16));
    if (out.size() > (std::size_t{1} << 20U)) TRY(run.charge_text(out.size() / 64));
  }
  return text_result(run, std::move(out));
}

Result<Value> list(Runtime& run, const Value& in, const Bound&, const Args&) {
  const SequencePtr all = TRY(run.iterate(in));
  TRY(run.charge(all->items.size()));
  return make_list(all->items);
}

Result<Value> lower_(Runtime& run, const Value& in, const Bound&, const Args&) { return text_like(run, in, lower(to_text(in))); }
Result<Value> upper_(Runtime& run, const Value& in, const Bound&, const Args&) { return text_like(run, in, upper(to_text(in))); }

Result<Value> map(Runtime& run, const Value& in, const Bound&, const Args& args) {
  if (!truthy(in)) return make_list({}, Sequence::Kind::generator);
  const SequencePtr all = TRY(run.iterate(in));
  std::vector<Value> out;
  out.reserve(all->items.size());
  const auto named = [&](std::string_view name) -> const Value* {
    for (const auto& [key, value] : args.named) {
      if (key == name) return &value;
    }
    return nullptr;
  };
  const Value* attribute = args.positional.empty() ? named("attribute") : nullptr;
  if (args.positional.empty() && attribute == nullptr) return fail(Code::invalid, "map requires a filter argument");
  if (attribute != nullptr) {
    for (const auto& [key, value] : args.named) {
      if (key != "attribute" && key != "default") return fail(Code::invalid, fmt::format("Unexpected keyword argument {}", repr_text(key)));
    }
    const Value* otherwise = named("default");
    for (const Value& item : all->items) out.push_back(TRY(attribute_of(run, item, *attribute, otherwise)));
  } else {
    const std::string name = to_text(args.positional.front());
    Args rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
    for (const Value& item : all->items) out.push_back(TRY(run.filter(name, item, rest)));
  }
  TRY(run.charge(out.size()));
  return make_list(std::move(out), Sequence::Kind::generator);
}

Result<Value> extreme(Runtime& run, const Value& in, const Bound& args, bool most) {
  const std::vector<Keyed> all = TRY(keyed(run, in, args[1] != nullptr && !args[1]->is_none() ? args[1] : nullptr, args.flag(0, false)));
  if (all.empty()) return undefined("No aggregated item, sequence was empty.");
  const Keyed* best = &all.front();
  for (const Keyed& entry : all) {
    const int order = TRY(compare(entry.key, best->key, most ? ">" : "<"));
    if (most ? order > 0 : order < 0) best = &entry;
  }
  return best->item;
}
Result<Value> max(Runtime& run, const Value& in, const Bound& args, const Args&) { return extreme(run, in, args, true); }
Result<Value> min(Runtime& run, const Value& in, const Bound& args, const Args&) { return extreme(run, in, args, false); }

Result<Value> pick(Runtime& run, const Value& in, const Args& args, bool by_attribute, bool keep) {
  if (!truthy(in)) return make_list({}, Sequence::Kind::generator);
  const std::size_t at = by_attribute ? 1 : 0;
  if (by_attribute && args.positional.empty()) return fail(Code::invalid, "Missing parameter for attribute name");
  const SequencePtr all = TRY(run.iterate(in));
  TRY(run.charge(all->items.size()));
  Args rest;
  std::string name;
  if (args.positional.size() > at) {
    name = to_text(args.positional[at]);
    rest = {{args.positional.begin() + static_cast<std::ptrdiff_t>(at) + 1, args.positional.end()}, args.named};
  }
  std::vector<Value> out;
  for (const Value& item : all->items) {
    Value value = item;
    if (by_attribute) value = TRY(attribute_of(run, item, args.positional.front()));
    const bool holds = name.empty() ? truthy(value) : TRY(run.test(name, value, rest));
    if (holds == keep) out.push_back(item);
  }
  return make_list(std::move(out), Sequence::Kind::generator);
}
Result<Value> select(Runtime& run, const Value& in, const Bound&, const Args& args) { return pick(run, in, args, false, true); }
Result<Value> reject(Runtime& run, const Value& in, const Bound&, const Args& args) { return pick(run, in, args, false, false); }
Result<Value> selectattr(Runtime& run, const Value& in, const Bound&, const Args& args) { return pick(run, in, args, true, true); }
Result<Value> rejectattr(Runtime& run, const Value& in, const Bound&, const Args& args) { return pick(run, in, args, true, false); }

Result<Value> replace_(Runtime& run, const Value& in, const Bound& args, const Args&) {
  if (args[0] == nullptr || args[1] == nullptr) return fail(Code::invalid, "do_replace() missing required positional arguments");
  const std::string text = to_text(in), from = to_text(*args[0]), to = to_text(*args[1]);
  const std::size_t most = from.empty() ? text.size() + 1 : text.size() / from.size();
  TRY(run.charge_text(text.size()));
  if (to.size() > from.size() && most > 0) TRY(run.charge_text(std::min(most * (to.size() - from.size()), text.size() * to.size())));
  return replace(text, from, to, args[2] != nullptr && !args[2]->is_none() ? args.integer(2, -1) : -1);
}

Result<Value> reverse(Runtime& run, const Value& in, const Bound&, const Args&) {
  if (const std::string* text = in.if_string()) {
    auto all = characters(*text);
    std::string out;
    for (auto it = all.rbegin(); it != all.rend(); ++it) out += *it;
    return text_result(run, std::move(out));
  }
  if (in.is_number() || in.is_none()) return fail(Code::invalid, "argument must be iterable");
  const SequencePtr list = TRY(run.iterate(in));
  TRY(run.charge(list->items.size()));
  return make_list({list->items.rbegin(), list->items.rend()}, Sequence::Kind::generator);
}

Result<Value> round_(Runtime&, const Value& in, const Bound& args, const Args&) {
  if (in.is_undefined()) return undefined_error(in);
  if (!in.is_number()) return fail(Code::invalid, fmt::format("type {} doesn't define __round__ method", type_name(in)));
  const int digits = static_cast<int>(std::clamp<std::int64_t>(args.integer(0, 0), -300, 300));
  const std::string method = args.text(1) == nullptr ? "common" : *args.text(1);
  const double value = in.as_double(), scale = std::pow(10.0, digits);
  if (method == "ceil") return std::ceil(value * scale) / scale;
  if (method == "floor") return std::floor(value * scale) / scale;
  if (method != "common") return fail(Code::invalid, "method must be common, ceil or floor");
  if (in.if_float() == nullptr && digits >= 0) return in.if_bool() != nullptr ? Value(std::int64_t{*in.if_bool() ? 1 : 0}) : in;
  if (digits < 0) {
    const double rounded = std::nearbyint(value * scale) / scale;
    return in.if_float() != nullptr ? Value(rounded) : Value(static_cast<std::int64_t>(rounded));
  }
  if (!std::isfinite(value)) return value;
  return std::strtod(fmt::format("{:.{}f}", value, digits).c_str(), nullptr);  // half to even on the exact value, as Python
}

Result<Value> slice(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const SequencePtr all = TRY(run.iterate(in));
  const std::int64_t slices = args.integer(0, 1);
  if (slices <= 0) return fail(Code::invalid, "integer division or modulo by zero");
  TRY(run.charge(static_cast<std::uint64_t>(slices) + all->items.size()));
  const auto n = static_cast<std::size_t>(slices), each = all->items.size() / n, extra = all->items.size() % n;
  std::vector<Value> out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t end = at + each + (i < extra ? 1 : 0);
    std::vector<Value> part(all->items.begin() + static_cast<std::ptrdiff_t>(at), all->items.begin() + static_cast<std::ptrdiff_t>(end));
    if (args[1] != nullptr && !args[1]->is_none() && i >= extra) part.push_back(*args[1]);
    out.push_back(make_list(std::move(part)));
    at = end;
  }
  return make_list(std::move(out), Sequence::Kind::generator);
}

Result<Value> sort(Runtime& run, const Value& in, const Bound& args, const Args&) {
  std::vector<Keyed> all = TRY(keyed(run, in, args[2] != nullptr && !args[2]->is_none() ? args[2] : nullptr, args.flag(1, false)));
  TRY(sort_keyed(run, all, args.flag(0, false)));
  return items_of(std::move(all));
}

Result<Value> string(Runtime& run, const Value& in, const Bound&, const Args&) {
  if (in.if_string() != nullptr) return in;
  return text_result(run, to_text(in));
}

Result<Value> sum(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const SequencePtr all = TRY(run.iterate(in));
  Value total = args[1] == nullptr ? Value(std::int64_t{0}) : *args[1];
  for (const Value& item : all->items) {
    Value value = item;
    if (args[0] != nullptr && !args[0]->is_none()) value = TRY(attribute_of(run, item, *args[0]));
    total = TRY(operate(run, Operator::add, total, value));
  }
  return total;
}

Result<Value> title_(Runtime& run, const Value& in, const Bound&, const Args&) {
  std::string out;
  const std::string text = to_text(in);
  bool begin = true;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t from = i;
    const std::uint32_t point = next_point(text, i);
    const std::string_view one = std::string_view(text).substr(from, i - from);
    const bool splits = point == '-' || point == '(' || point == '{' || point == '[' || point == '<' || is_space(point);
    out += begin ? upper(one) : lower(one);
    begin = splits;
  }
  return text_result(run, std::move(out));
}

Result<Value> tojson(Runtime& run, const Value& in, const Bound& args, const Args&) {
  JsonStyle style;
  style.ascii = args.flag(0, false);
  const bool indented = args[1] != nullptr && !args[1]->is_none();
  if (indented) {
    if (args.text(1) != nullptr) {
      style.indent_text = *args.text(1);
      style.indent = 0;
    } else {
      style.indent = static_cast<int>(std::clamp<std::int64_t>(args.integer(1, 0), 0, 1000));
    }
    style.item_separator = ",";
  }
  if (args[2] != nullptr && !args[2]->is_none()) {
    const Sequence* both = args[2]->if_sequence();
    if (both == nullptr || both->items.size() != 2) return fail(Code::invalid, "separators must be a pair of texts");
    style.item_separator = to_text(both->items[0]);
    style.key_separator = to_text(both->items[1]);
  }
  style.sort_keys = args.flag(3, false);
  return text_result(run, TRY(to_json(in, style)));
}

Result<Value> trim(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const std::string text = to_text(in);
  const std::string* chars = args[0] == nullptr || args[0]->is_none() ? nullptr : args.text(0);
  return text_like(run, in, std::string(strip(text, chars, true, true)));
}

Result<Value> truncate(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const std::string text = to_text(in);
  const std::int64_t most = args.integer(0, 255), leeway = args[3] == nullptr || args[3]->is_none() ? 5 : args.integer(3, 5);
  const std::string end = args.text(2) == nullptr ? "..." : *args.text(2);
  const auto end_length = static_cast<std::int64_t>(length(end));
  if (most < end_length) return fail(Code::invalid, fmt::format("expected length >= {}, got {}", end_length, most));
  if (static_cast<std::int64_t>(length(text)) <= most + leeway) return Value(text);
  std::string cut = text.substr(0, offset_of(text, static_cast<std::size_t>(most - end_length)));
  if (!args.flag(1, false)) {
    const std::size_t space = cut.rfind(' ');
    if (space != std::string::npos) cut.resize(space);
  }
  return text_result(run, cut + end);
}

Result<Value> unique(Runtime& run, const Value& in, const Bound& args, const Args&) {
  const std::vector<Keyed> all = TRY(keyed(run, in, args[1] != nullptr && !args[1]->is_none() ? args[1] : nullptr, args.flag(0, false)));
  Dict seen;
  std::vector<Value> out;
  for (const Keyed& entry : all) {
    if (entry.key.if_string() == nullptr) TRY(run.charge(seen.entries.size()));
    if (seen.find(entry.key) != nullptr) continue;
    seen.set(entry.key, None{});
    out.push_back(entry.item);
  }
  return make_list(std::move(out), Sequence::Kind::generator);
}

Result<Value> urlencode(Runtime& run, const Value& in, const Bound&, const Args&) {
  if (in.if_string() == nullptr) return fail(Code::unsupported, "urlencode of something else than a text");
  std::string out;
  for (const char c : *in.if_string()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || std::string_view("_.-~/").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return text_result(run, std::move(out));
}

Result<Value> wordcount(Runtime&, const Value& in, const Bound&, const Args&) {
  const std::string text = to_text(in);
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t i = 0; i < text.size();) {
    const bool word = is_word(next_point(text, i));
    if (word && !inside) ++words;
    inside = word;
  }
  return words;
}

constexpr Filter kFilters[] = {
    {"abs", "", &abs_},
    {"attr", "name", &attr},
    {"batch", "linecount fill_with", &batch},
    {"capitalize", "", &capitalize_},
    {"center", "width", &center},
    {"count", "", &count},
    {"d", "default_value boolean", &default_},
    {"default", "default_value boolean", &default_},
    {"dictsort", "case_sensitive by reverse", &dictsort},
    {"e", "", &escape},
    {"escape", "", &escape},
    {"first", "", &first},
    {"float", "default", &float_},
    {"forceescape", "", &force_escape},
    {"format", "*", &format},
    {"groupby", "attribute default case_sensitive", &groupby},
    {"indent", "width first blank", &indent},
    {"int", "default base", &int_},
    {"items", "", &items},
    {"join", "d attribute", &join},
    {"last", "", &last},
    {"length", "", &count},
    {"list", "", &list},
    {"lower", "", &lower_},
    {"map", "*", &map},
    {"max", "case_sensitive attribute", &max},
    {"min", "case_sensitive attribute", &min},
    {"reject", "*", &reject},
    {"rejectattr", "*", &rejectattr},
    {"replace", "old new count", &replace_},
    {"reverse", "", &reverse},
    {"round", "precision method", &round_},
    {"safe", "", &safe},
    {"select", "*", &select},
    {"selectattr", "*", &selectattr},
    {"slice", "slices fill_with", &slice},
    {"sort", "reverse case_sensitive attribute", &sort},
    {"string", "", &string},
    {"sum", "attribute start", &sum},
    {"title", "", &title_},
    {"tojson", "ensure_ascii indent separators sort_keys", &tojson},
    {"trim", "chars", &trim},
    {"truncate", "length killwords end leeway", &truncate},
    {"unique", "case_sensitive attribute", &unique},
    {"upper", "", &upper_},
    {"urlencode", "", &urlencode},
    {"wordcount", "", &wordcount},
};

}  // namespace

const Filter* find_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters), [&](const Filter& f) { return f.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

std::int64_t Bound::integer(std::size_t i, std::int64_t otherwise) const {
  std::int64_t room = 0;
  const std::int64_t* n = values_[i] == nullptr ? nullptr : values_[i]->whole(room);
  return n == nullptr ? otherwise : *n;
}

Result<Bound> Bound::bind(std::string_view function, std::string_view names, const Args& args) {
  Bound bound;
  if (names == "*") return bound;
  std::size_t places = 0;
  const auto list = split(names, " ", -1);
  if (!names.empty()) places = list.size();
  if (args.positional.size() > places) {
    return fail(Code::invalid, fmt::format("{}() takes at most {} arguments ({} given)", function, places, args.positional.size()));
  }
  for (std::size_t i = 0; i < args.positional.size(); ++i) bound.values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto found = std::find(list.begin(), list.end(), name);
    if (names.empty() || found == list.end())
      return fail(Code::invalid, fmt::format("{}() got an unexpected keyword argument {}", function, repr_text(name)));
    const auto at = static_cast<std::size_t>(found - list.begin());
    if (bound.values_[at] != nullptr)
      return fail(Code::invalid, fmt::format("{}() got multiple values for argument {}", function, repr_text(name)));
    bound.values_[at] = &value;
  }
  return bound;
}

}  // namespace mlxstudio::jinja
