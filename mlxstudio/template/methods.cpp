// Methods of Python's str, dict, list and tuple that the sandbox allows, in the order of the tables at the end; and the global functions.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "mlxstudio/template/runtime.h"
#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

const std::string& text_of(const Value& self) { return *self.if_string(); }

Result<Value> text_result(Runtime& run, std::string text) {
  TRY(run.charge_text(text.size()));
  return Value(std::move(text));
}

Result<Value> text_like(Runtime& run, const Value& like, std::string text) {
  TRY(run.charge_text(text.size()));
  return Value::text_like(like, std::move(text));
}

std::unexpected<Error> no_text(std::string_view method, const Value* value) {
  return fail(Code::invalid, fmt::format("{}() argument must be str, not {}", method, value == nullptr ? "None" : type_name(*value)));
}

Value list_of(const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.emplace_back(std::string(part));
  return make_list(std::move(items));
}

// ---- str
template <bool kLeft, bool kRight>
Result<Value> strip_(Runtime& run, const Value& self, const Bound& args, const Args&) {
  if (args[0] != nullptr && !args[0]->is_none() && args.text(0) == nullptr) return fail(Code::invalid, "strip arg must be None or str");
  return text_like(run, self, std::string(strip(text_of(self), args.text(0), kLeft, kRight)));
}
template <std::string (*kMap)(std::string_view)>
Result<Value> mapped(Runtime& run, const Value& self, const Bound&, const Args&) {
  return text_like(run, self, kMap(text_of(self)));
}
template <bool kFromRight>
Result<Value> split_(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::int64_t limit = args.integer(1, -1);
  const std::string& text = text_of(self);
  TRY(run.charge_text(text.size() * 2));
  if (args[0] == nullptr || args[0]->is_none()) {
    if (kFromRight && limit >= 0) return fail(Code::unsupported, "rsplit by white space with a limit");
    return list_of(split_space(text, limit));
  }
  const std::string* separator = args.text(0);
  if (separator == nullptr) return fail(Code::invalid, fmt::format("must be str or None, not {}", type_name(*args[0])));
  if (separator->empty()) return fail(Code::invalid, "empty separator");
  return list_of(kFromRight ? split_right(text, *separator, limit) : split(text, *separator, limit));
}
Result<Value> splitlines(Runtime& run, const Value& self, const Bound& args, const Args&) {
  TRY(run.charge_text(text_of(self).size() * 2));
  return list_of(split_lines(text_of(self), args.flag(0, false)));
}

/// text[start:end] by code points, as the optional arguments of find, count and startswith have it; empty if it lies outside.
std::string_view part(std::string_view text, const Bound& args, std::size_t first, std::int64_t& start) {
  const auto n = static_cast<std::int64_t>(length(text));
  const auto clamp = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + n : i, 0, n); };
  start = clamp(args.integer(first, 0));
  const std::int64_t end = clamp(args.integer(first + 1, n));
  const std::size_t from = offset_of(text, static_cast<std::size_t>(start));
  return end < start ? std::string_view() : text.substr(from, offset_of(text, static_cast<std::size_t>(end)) - from);
}
template <bool kStart>
Result<Value> affix(Runtime&, const Value& self, const Bound& args, const Args&) {
  std::int64_t start = 0;
  const std::string_view text = args[1] == nullptr ? std::string_view(text_of(self)) : part(text_of(self), args, 1, start);
  const auto holds = [&](const std::string& a) { return kStart ? text.starts_with(a) : text.ends_with(a); };
  if (const std::string* one = args.text(0)) return holds(*one);
  const Sequence* several = args[0] == nullptr ? nullptr : args[0]->if_sequence();
  if (several == nullptr || several->kind != Sequence::Kind::tuple) {
    return fail(Code::invalid, fmt::format("{} first arg must be str or a tuple of str, not {}", kStart ? "startswith" : "endswith",
                                           args[0] == nullptr ? "NoneType" : type_name(*args[0])));
  }
  return std::any_of(several->items.begin(), several->items.end(),
                     [&](const Value& v) { return v.if_string() != nullptr && holds(*v.if_string()); });
}
template <bool kRight, bool kMust>
Result<Value> find_(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string* what = args.text(0);
  if (what == nullptr)
    return fail(Code::invalid, fmt::format("must be str, not {}", args[0] == nullptr ? "NoneType" : type_name(*args[0])));
  std::int64_t start = 0;
  const std::string_view text = part(text_of(self), args, 1, start);
  TRY(run.charge(text_of(self).size() / 16));
  const std::size_t found = kRight ? text.rfind(*what) : text.find(*what);
  if (found != std::string_view::npos) return start + static_cast<std::int64_t>(length(text.substr(0, found)));
  if (kMust) return fail(Code::invalid, "substring not found");
  return std::int64_t{-1};
}
Result<Value> count(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string* what = args.text(0);
  if (what == nullptr)
    return fail(Code::invalid, fmt::format("must be str, not {}", args[0] == nullptr ? "NoneType" : type_name(*args[0])));
  std::int64_t start = 0;
  const std::string_view text = part(text_of(self), args, 1, start);
  TRY(run.charge(text_of(self).size() / 16));
  if (what->empty()) return static_cast<std::int64_t>(length(text)) + 1;
  std::int64_t n = 0;
  for (std::size_t at = text.find(*what); at != std::string_view::npos; at = text.find(*what, at + what->size())) ++n;
  return n;
}
Result<Value> replace_(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string *from = args.text(0), *to = args.text(1);
  if (from == nullptr) return no_text("replace", args[0]);
  if (to == nullptr) return no_text("replace", args[1]);
  if (self.is_markup()) return fail(Code::unsupported, "replace() of markup");
  const std::string& text = text_of(self);
  const std::size_t most = from->empty() ? text.size() + 1 : text.size() / from->size();
  TRY(run.charge_text(text.size()));
  if (to->size() > from->size() && most > 0) TRY(run.charge_text(most * (to->size() - from->size())));
  return replace(text, *from, *to, args.integer(2, -1));
}
Result<Value> join(Runtime& run, const Value& self, const Bound& args, const Args&) {
  if (args[0] == nullptr) return fail(Code::invalid, "str.join() takes exactly one argument (0 given)");
  if (self.is_markup()) return fail(Code::unsupported, "join() of markup");
  const SequencePtr list = TRY(run.iterate(*args[0]));
  std::string out;
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    const std::string* text = list->items[i].if_string();
    if (text == nullptr)
      return fail(Code::invalid, fmt::format("sequence item {}: expected str instance, {} found", i, type_name(list->items[i])));
    if (i > 0) out += text_of(self);
    out += *text;
    TRY(run.charge_text(text->size() + text_of(self).size()));
  }
  return Value(std::move(out));
}
template <bool kPrefix>
Result<Value> remove_affix(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string* affix_text = args.text(0);
  if (affix_text == nullptr) return no_text(kPrefix ? "removeprefix" : "removesuffix", args[0]);
  std::string text = text_of(self);
  if (kPrefix && text.starts_with(*affix_text)) text.erase(0, affix_text->size());
  if (!kPrefix && text.ends_with(*affix_text)) text.resize(text.size() - affix_text->size());
  return text_result(run, std::move(text));
}
template <bool (*kIs)(std::uint32_t)>
Result<Value> all_are(Runtime& run, const Value& self, const Bound&, const Args&) {
  const std::string& text = text_of(self);
  TRY(run.charge(text.size() / 16));
  for (std::size_t i = 0; i < text.size();) {
    if (!kIs(next_point(text, i))) return false;
  }
  return !text.empty();
}
bool is_alnum(std::uint32_t point) { return is_alpha(point) || is_digit(point); }
template <bool kUpper>
Result<Value> is_case(Runtime& run, const Value& self, const Bound&, const Args&) {
  return TRY(run.test(kUpper ? "upper" : "lower", self, {}));
}
enum class Side { left, right, both };
template <Side kSide>
Result<Value> justify(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string& text = text_of(self);
  const std::string fill = args.text(1) == nullptr ? " " : *args.text(1);
  if (length(fill) != 1) return fail(Code::invalid, "The fill character must be exactly one character long");
  const std::size_t n = length(text), width = static_cast<std::size_t>(std::clamp<std::int64_t>(args.integer(0, 0), 0, 1 << 30));
  if (width <= n) return self;
  TRY(run.charge_text(width * fill.size() + text.size()));
  const std::size_t pad = width - n;
  const std::size_t left = kSide == Side::left ? 0 : (kSide == Side::right ? pad : pad / 2 + (pad & width & 1U));
  std::string out;
  for (std::size_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (std::size_t i = left; i < pad; ++i) out += fill;
  return Value(std::move(out));
}
Result<Value> zfill(Runtime& run, const Value& self, const Bound& args, const Args&) {
  std::string text = text_of(self);
  const std::size_t n = length(text), width = static_cast<std::size_t>(std::clamp<std::int64_t>(args.integer(0, 0), 0, 1 << 30));
  if (width <= n) return self;
  TRY(run.charge_text(width));
  text.insert(text.starts_with('-') || text.starts_with('+') ? 1 : 0, std::string(width - n, '0'));
  return Value(std::move(text));
}
template <bool kRight>
Result<Value> partition(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const std::string* separator = args.text(0);
  if (separator == nullptr) return no_text("partition", args[0]);
  if (separator->empty()) return fail(Code::invalid, "empty separator");
  const std::string& text = text_of(self);
  TRY(run.charge_text(text.size()));
  const std::size_t at = kRight ? text.rfind(*separator) : text.find(*separator);
  std::vector<Value> parts;
  if (at != std::string::npos) {
    parts = {text.substr(0, at), *separator, text.substr(at + separator->size())};
  } else if (kRight) {
    parts = {"", "", text};
  } else {
    parts = {text, "", ""};
  }
  return make_list(std::move(parts), Sequence::Kind::tuple);
}
/// "{} {0} {name}".format(…): fields without conversions and formats.
Result<Value> format(Runtime& run, const Value& self, const Bound&, const Args& args) {
  const std::string& text = text_of(self);
  std::string out;
  std::size_t automatic = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == c) {
      out += c;
      ++i;
      continue;
    }
    if (c == '}') return fail(Code::invalid, "Single '}' encountered in format string");
    const std::size_t end = text.find('}', i);
    if (end == std::string::npos) return fail(Code::invalid, "Single '{' encountered in format string");
    const std::string field = text.substr(i + 1, end - i - 1);
    if (field.find_first_of(".[!:{") != std::string::npos)
      return fail(Code::unsupported, fmt::format("the format field {}", repr_text(field)));
    const bool number = field.empty() || std::all_of(field.begin(), field.end(), [](char d) { return d >= '0' && d <= '9'; });
    const Value* value = nullptr;
    if (number) {
      const std::size_t at = field.empty() ? automatic++ : (field.size() > 6 ? SIZE_MAX : static_cast<std::size_t>(std::stoul(field)));
      if (at >= args.positional.size())
        return fail(Code::invalid, fmt::format("Replacement index {} out of range for positional args tuple", at));
      value = &args.positional[at];
    } else {
      for (const auto& [name, named] : args.named) {
        if (name == field) value = &named;
      }
      if (value == nullptr) return fail(Code::invalid, repr_text(field));
    }
    out += to_text(*value);
    TRY(run.charge_text(out.size() / 16));
    i = end;
  }
  return text_result(run, std::move(out));
}

// ---- dict
Result<Value> keys(Runtime& run, const Value& self, const Bound&, const Args&) {
  std::vector<Value> out;
  for (const auto& entry : self.if_dict()->entries) out.push_back(entry.first);
  TRY(run.charge(out.size()));
  return make_list(std::move(out), Sequence::Kind::keys);
}
Result<Value> values(Runtime& run, const Value& self, const Bound&, const Args&) {
  std::vector<Value> out;
  for (const auto& entry : self.if_dict()->entries) out.push_back(entry.second);
  TRY(run.charge(out.size()));
  return make_list(std::move(out), Sequence::Kind::values);
}
Result<Value> items(Runtime& run, const Value& self, const Bound&, const Args&) {
  std::vector<Value> out;
  for (const auto& [key, value] : self.if_dict()->entries) out.push_back(make_list({key, value}, Sequence::Kind::tuple));
  TRY(run.charge(out.size() * 2));
  return make_list(std::move(out), Sequence::Kind::items);
}
Result<Value> get(Runtime&, const Value& self, const Bound& args, const Args& all) {
  if (!all.named.empty()) return fail(Code::invalid, "dict.get() takes no keyword arguments");
  if (args[0] == nullptr) return fail(Code::invalid, "get expected at least 1 argument, got 0");
  if (args[0]->if_dict() != nullptr) return fail(Code::invalid, "unhashable type: 'dict'");
  const Value* found = self.if_dict()->find(*args[0]);
  return found != nullptr ? *found : (args[1] == nullptr ? Value() : *args[1]);
}
Result<Value> same(Runtime&, const Value& self, const Bound&, const Args&) { return self; }

// ---- list and tuple
Result<Value> index(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const Sequence& list = *self.if_sequence();
  TRY(run.charge(list.items.size()));
  for (std::size_t i = 0; args[0] != nullptr && i < list.items.size(); ++i) {
    if (equal(list.items[i], *args[0])) return static_cast<std::int64_t>(i);
  }
  return fail(Code::invalid, fmt::format("{} is not in list", args[0] == nullptr ? "None" : repr(*args[0])));
}
Result<Value> count_items(Runtime& run, const Value& self, const Bound& args, const Args&) {
  const Sequence& list = *self.if_sequence();
  TRY(run.charge(list.items.size()));
  return static_cast<std::int64_t>(
      std::count_if(list.items.begin(), list.items.end(), [&](const Value& v) { return args[0] != nullptr && equal(v, *args[0]); }));
}

constexpr Method kTextMethods[] = {
    {"capitalize", "", &mapped<&capitalize>},
    {"casefold", "", &mapped<&lower>},
    {"center", "width fillchar", &justify<Side::both>},
    {"count", "sub start end", &count},
    {"endswith", "suffix start end", &affix<false>},
    {"find", "sub start end", &find_<false, false>},
    {"format", "*", &format},
    {"index", "sub start end", &find_<false, true>},
    {"isalnum", "", &all_are<&is_alnum>},
    {"isalpha", "", &all_are<&is_alpha>},
    {"isdecimal", "", &all_are<&is_digit>},
    {"isdigit", "", &all_are<&is_digit>},
    {"islower", "", &is_case<false>},
    {"isnumeric", "", &all_are<&is_digit>},
    {"isspace", "", &all_are<&is_space>},
    {"isupper", "", &is_case<true>},
    {"join", "iterable", &join},
    {"ljust", "width fillchar", &justify<Side::left>},
    {"lower", "", &mapped<&lower>},
    {"lstrip", "chars", &strip_<true, false>},
    {"partition", "sep", &partition<false>},
    {"removeprefix", "prefix", &remove_affix<true>},
    {"removesuffix", "suffix", &remove_affix<false>},
    {"replace", "old new count", &replace_},
    {"rfind", "sub start end", &find_<true, false>},
    {"rindex", "sub start end", &find_<true, true>},
    {"rjust", "width fillchar", &justify<Side::right>},
    {"rpartition", "sep", &partition<true>},
    {"rsplit", "sep maxsplit", &split_<true>},
    {"rstrip", "chars", &strip_<false, true>},
    {"split", "sep maxsplit", &split_<false>},
    {"splitlines", "keepends", &splitlines},
    {"startswith", "prefix start end", &affix<true>},
    {"strip", "chars", &strip_<true, true>},
    {"title", "", &mapped<&title>},
    {"upper", "", &mapped<&upper>},
    {"zfill", "width", &zfill},
};
constexpr Method kDictMethods[] = {
    {"clear", {}, nullptr}, {"copy", "", &same},      {"get", "key default", &get}, {"items", "", &items},   {"keys", "", &keys},
    {"pop", {}, nullptr},   {"popitem", {}, nullptr}, {"setdefault", {}, nullptr},  {"update", {}, nullptr}, {"values", "", &values},
};
constexpr Method kListMethods[] = {
    {"append", {}, nullptr}, {"clear", {}, nullptr},     {"copy", "", &same},     {"count", "value", &count_items},
    {"extend", {}, nullptr}, {"index", "value", &index}, {"insert", {}, nullptr}, {"pop", {}, nullptr},
    {"remove", {}, nullptr}, {"reverse", {}, nullptr},   {"sort", {}, nullptr},
};
constexpr Method kTupleMethods[] = {{"count", "value", &count_items}, {"index", "value", &index}};

// ---- global functions
std::unexpected<Error> takes_text(std::string_view function) { return fail(Code::invalid, fmt::format("{}() takes one text", function)); }

Result<Value> range(Runtime& run, const Args& args) {
  std::int64_t numbers[3] = {0, 0, 1}, room = 0;
  if (args.positional.empty() || args.positional.size() > 3) {
    return fail(Code::invalid,
                fmt::format("range expected at {} 1 argument, got {}", args.positional.empty() ? "least" : "most", args.positional.size()));
  }
  for (std::size_t i = 0; i < args.positional.size(); ++i) {
    const std::int64_t* n = args.positional[i].whole(room);
    if (n == nullptr)
      return fail(Code::invalid, fmt::format("'{}' object cannot be interpreted as an integer", type_name(args.positional[i])));
    numbers[args.positional.size() == 1 ? 1 : i] = *n;
  }
  const auto [start, stop, step] = numbers;
  if (step == 0) return fail(Code::invalid, "range() arg 3 must not be zero");
  constexpr std::uint64_t kMost = 100'000;
  const std::uint64_t span = step > 0 ? (stop > start ? static_cast<std::uint64_t>(stop) - static_cast<std::uint64_t>(start) : 0)
                                      : (start > stop ? static_cast<std::uint64_t>(start) - static_cast<std::uint64_t>(stop) : 0);
  const std::uint64_t stride = step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const std::uint64_t n = span / stride + (span % stride != 0 ? 1 : 0);
  if (n > kMost) return fail(Code::invalid, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  TRY(run.charge(n));
  std::vector<Value> items;
  items.reserve(n);
  for (std::uint64_t i = 0; i < n; ++i) items.emplace_back(start + static_cast<std::int64_t>(i) * step);
  return make_list(std::move(items), Sequence::Kind::range);
}

Result<Dict> dict_of(Runtime& run, const Args& args) {
  Dict dict;
  if (!args.positional.empty()) {
    if (const Dict* from = args.positional.front().if_dict()) {
      for (const auto& [key, value] : from->entries) dict.set(key, value);
    } else {
      const SequencePtr pairs = TRY(run.iterate(args.positional.front()));
      for (std::size_t i = 0; i < pairs->items.size(); ++i) {
        const SequencePtr pair = TRY(run.iterate(pairs->items[i]));
        if (pair->items.size() != 2) {
          return fail(Code::invalid,
                      fmt::format("dictionary update sequence element #{} has length {}; 2 is required", i, pair->items.size()));
        }
        dict.set(pair->items[0], pair->items[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) dict.set(name, value);
  TRY(run.charge(dict.entries.size()));
  return dict;
}
Result<Value> dict_(Runtime& run, const Args& args) { return make_dict(TRY(dict_of(run, args))); }

Result<Value> namespace_(Runtime& run, const Args& args) {
  const Dict dict = TRY(dict_of(run, args));
  auto space = std::make_shared<Namespace>();
  for (const auto& [key, value] : dict.entries) {
    const std::string name = to_text(key);
    if (name.starts_with('_')) {
      return fail(
          Code::invalid,
          fmt::format("Chat templates cannot store underscore-prefixed attributes on a namespace, but got {}. Please rename the attribute.",
                      repr_text(name)));
    }
    space->members.emplace_back(name, value);
  }
  run.own(space);
  return ObjectPtr(std::move(space));
}

Result<Value> raise_exception(Runtime&, const Args& args) {
  const Value* message = !args.positional.empty() ? &args.positional.front() : (!args.named.empty() ? &args.named.front().second : nullptr);
  if (message == nullptr) return fail(Code::invalid, "raise_exception() missing 1 required positional argument: 'message'");
  return fail(Code::invalid, message->is_none() ? std::string("None") : to_text(*message));
}

Result<Value> strftime_now(Runtime& run, const Args& args) {
  const Value* format = !args.positional.empty() ? &args.positional.front() : (!args.named.empty() ? &args.named.front().second : nullptr);
  if (format == nullptr || format->if_string() == nullptr) return takes_text("strftime_now");
  const std::string& text = *format->if_string();
  if (text.empty()) return Value("");
  if (text.size() > 4096 || text.find('\0') != std::string::npos) return fail(Code::unsupported, "a format of time that is too long");
  std::string out(text.size() * 32 + 64, '\0');
  std::tm now = run.now();
  out.resize(std::strftime(out.data(), out.size(), text.c_str(), &now));
  TRY(run.charge_text(out.size()));
  return Value(std::move(out));
}

constexpr Function kFunctions[] = {
    {"dict", &dict_}, {"namespace", &namespace_}, {"raise_exception", &raise_exception}, {"range", &range}, {"strftime_now", &strftime_now},
};

template <std::size_t n>
const Method* in(const Method (&table)[n], std::string_view name) {
  const auto* found = std::find_if(std::begin(table), std::end(table), [&](const Method& m) { return m.name == name; });
  return found == std::end(table) ? nullptr : found;
}

}  // namespace

const Method* find_method(const Value& value, std::string_view name) {
  if (value.if_string() != nullptr) return in(kTextMethods, name);
  if (value.if_dict() != nullptr) return in(kDictMethods, name);
  const Sequence* s = value.if_sequence();
  if (s == nullptr) return nullptr;
  if (s->kind == Sequence::Kind::list) return in(kListMethods, name);
  return s->kind == Sequence::Kind::tuple ? in(kTupleMethods, name) : nullptr;
}

const Function* find_function(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Function& f) { return f.name == name; });
  return found == std::end(kFunctions) ? nullptr : found;
}

}  // namespace mlxstudio::jinja
