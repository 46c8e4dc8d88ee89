#include "mlxstudio/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "mlxstudio/template/text.h"

namespace mlxstudio::jinja {
namespace {

constexpr std::size_t kIndexAbove = 12;  // entries; fewer are found faster one after the other
constexpr int kDepth = 200;              // of values in values, when they are written or compared

void write_repr(std::string& out, const Value& value, int depth);

void write_items(std::string& out, const std::vector<Value>& items, int depth) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    write_repr(out, items[i], depth + 1);
  }
}

void write_sequence(std::string& out, const Sequence& sequence, int depth) {
  using Kind = Sequence::Kind;
  switch (sequence.kind) {
    case Kind::tuple:
      out += '(';
      write_items(out, sequence.items, depth);
      out += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case Kind::range:
      if (sequence.items.empty()) {
        out += "range(0, 0)";
      } else {
        const std::int64_t first = *sequence.items.front().if_int();
        const std::int64_t step = sequence.items.size() > 1 ? *sequence.items[1].if_int() - first : 1;
        out += fmt::format("range({}, {}{})", first, *sequence.items.back().if_int() + step, step == 1 ? "" : fmt::format(", {}", step));
      }
      return;
    case Kind::generator:
    case Kind::reversed:
      out += fmt::format("<{} object>", sequence.kind == Kind::generator ? "generator" : "list_reverseiterator");
      return;
    case Kind::keys:
      out += "dict_keys(";
      break;
    case Kind::values:
      out += "dict_values(";
      break;
    case Kind::items:
      out += "dict_items(";
      break;
    case Kind::list:
      break;
  }
  out += '[';
  write_items(out, sequence.items, depth);
  out += sequence.kind == Kind::list ? "]" : "])";
}

void write_repr(std::string& out, const Value& value, int depth) {
  if (depth > kDepth) {
    out += "...";
  } else if (const std::string* text = value.if_string()) {
    out += value.is_markup() ? "Markup(" + repr_text(*text) + ")" : repr_text(*text);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else if (const Sequence* sequence = value.if_sequence()) {
    write_sequence(out, *sequence, depth);
  } else if (const Dict* dict = value.if_dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : dict->entries) {
      if (!first) out += ", ";
      first = false;
      write_repr(out, key, depth + 1);
      out += ": ";
      write_repr(out, item, depth + 1);
    }
    out += '}';
  } else {
    out += to_text(value);
  }
}

int sign(double d) { return d < 0 ? -1 : (d > 0 ? 1 : 0); }

bool equal_within(const Value& a, const Value& b, int depth) {
  if (depth > kDepth) return false;
  std::int64_t left_room = 0, right_room = 0;
  const std::int64_t* left = a.whole(left_room);
  const std::int64_t* right = b.whole(right_room);
  if (left != nullptr && right != nullptr) return *left == *right;
  if (a.is_number() && b.is_number()) return a.as_double() == b.as_double();
  if (a.if_string() != nullptr && b.if_string() != nullptr) return *a.if_string() == *b.if_string();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (const Sequence* s = a.if_sequence()) {
    const Sequence* t = b.if_sequence();
    if (t == nullptr || t->kind != s->kind || t->items.size() != s->items.size()) return false;
    for (std::size_t i = 0; i < s->items.size(); ++i) {
      if (!equal_within(s->items[i], t->items[i], depth + 1)) return false;
    }
    return true;
  }
  if (const Dict* d = a.if_dict()) {
    const Dict* e = b.if_dict();
    if (e == nullptr || e->entries.size() != d->entries.size()) return false;
    return std::all_of(d->entries.begin(), d->entries.end(), [&](const auto& entry) {
      const Value* other = e->find(entry.first);
      return other != nullptr && equal_within(entry.second, *other, depth + 1);
    });
  }
  return a.same_object(b);
}

void write_json_text(std::string& out, std::string_view text, bool ascii) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (c < 0x20) {
          out += fmt::format("\\u{:04x}", c);
        } else if (c < 0x80 || !ascii) {
          out += static_cast<char>(c);
        } else {
          std::size_t at = i;
          const std::uint32_t point = next_point(text, at);
          if (point >= 0x10000) {
            out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((point - 0x10000) >> 10U), 0xDC00 + ((point - 0x10000) & 0x3FFU));
          } else {
            out += fmt::format("\\u{:04x}", point);
          }
          i = at;
          continue;
        }
    }
    ++i;
  }
  out += '"';
}

std::string json_number(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "Infinity" : "-Infinity";
  return float_text(d);
}

class JsonWriter {
 public:
  JsonWriter(std::string& out, const JsonStyle& style) : out_(out), style_(style) {}

  Status write(const Value& value, int depth) {
    if (depth > kDepth) return fail(Code::unsupported, "tojson: values nested too deeply");
    if (const std::string* text = value.if_string()) {
      write_json_text(out_, *text, style_.ascii);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (const bool* b = value.if_bool()) {
      out_ += *b ? "true" : "false";
    } else if (const std::int64_t* i = value.if_int()) {
      out_ += fmt::format("{}", *i);
    } else if (const double* d = value.if_float()) {
      out_ += json_number(*d);
    } else if (const Dict* dict = value.if_dict()) {
      return write_dict(*dict, depth);
    } else if (const Sequence* list = value.if_sequence();
               list != nullptr && (list->kind == Sequence::Kind::list || list->kind == Sequence::Kind::tuple)) {
      return write_list(*list, depth);
    } else {
      return fail(Code::invalid, fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
    return {};
  }

 private:
  void new_line(int depth) {
    if (style_.indent < 0 && style_.indent_text.empty()) return;
    out_ += '\n';
    for (int i = 0; i < depth; ++i) {
      if (style_.indent_text.empty()) {
        out_.append(static_cast<std::size_t>(style_.indent), ' ');
      } else {
        out_ += style_.indent_text;
      }
    }
  }
  Status write_list(const Sequence& list, int depth) {
    if (list.items.empty()) {
      out_ += "[]";
      return {};
    }
    out_ += '[';
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      new_line(depth + 1);
      TRY(write(list.items[i], depth + 1));
    }
    new_line(depth);
    out_ += ']';
    return {};
  }
  static Result<std::string> key_text(const Value& key) {
    if (const std::string* text = key.if_string()) return *text;
    if (key.is_none()) return std::string("null");
    if (const bool* b = key.if_bool()) return std::string(*b ? "true" : "false");
    if (const double* d = key.if_float()) return json_number(*d);
    if (key.if_int() != nullptr) return to_text(key);
    return fail(Code::invalid, fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
  }
  Status write_dict(const Dict& dict, int depth) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return {};
    }
    std::vector<const std::pair<Value, Value>*> order;
    order.reserve(dict.entries.size());
    for (const auto& entry : dict.entries) order.push_back(&entry);
    if (style_.sort_keys) {
      for (const auto* entry : order) TRY(compare(order.front()->first, entry->first, "<"));
      std::stable_sort(order.begin(), order.end(),
                       [](const auto* a, const auto* b) { return compare(a->first, b->first, "<").value_or(0) < 0; });
    }
    out_ += '{';
    bool first = true;
    for (const auto* entry : order) {
      if (!first) out_ += style_.item_separator;
      first = false;
      new_line(depth + 1);
      write_json_text(out_, TRY(key_text(entry->first)), style_.ascii);
      out_ += style_.key_separator;
      TRY(write(entry->second, depth + 1));
    }
    new_line(depth);
    out_ += '}';
    return {};
  }

  std::string& out_;
  const JsonStyle& style_;
};

}  // namespace

double Value::as_double() const {
  if (const double* d = if_float()) return *d;
  std::int64_t room = 0;
  const std::int64_t* i = whole(room);
  return i == nullptr ? 0 : static_cast<double>(*i);
}

bool Value::same_object(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (is_none()) return true;
  if (const bool* b = if_bool()) return *b == *other.if_bool();
  if (const std::int64_t* i = if_int()) return *i == *other.if_int();
  if (const std::string* s = if_string()) return s == other.if_string();
  if (const Sequence* s = if_sequence()) return s == other.if_sequence();
  if (const Dict* d = if_dict()) return d == other.if_dict();
  if (const Object* o = if_object()) return o == other.if_object();
  return false;
}

const Value* Dict::find(std::string_view key) const {
  if (!by_name_.empty()) {
    const auto found = by_name_.find(key);
    return found == by_name_.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (const std::string* text = name.if_string(); text != nullptr && *text == key) return &value;
  }
  return nullptr;
}

const Value* Dict::find(const Value& key) const {
  if (const std::string* text = key.if_string()) return find(std::string_view(*text));
  for (const auto& [name, value] : entries) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

void Dict::set(Value key, Value value) {
  if (const Value* there = find(key)) {
    *const_cast<Value*>(there) = std::move(value);  // ours, and this function may change it
    return;
  }
  entries.emplace_back(std::move(key), std::move(value));
  if (entries.size() <= kIndexAbove) return;
  const std::size_t from = by_name_.empty() ? 0 : entries.size() - 1;
  for (std::size_t i = from; i < entries.size(); ++i) {
    if (const std::string* text = entries[i].first.if_string()) by_name_.emplace(*text, i);  // the text lives as long as its entry
  }
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value make_list(std::vector<Value> items, Sequence::Kind kind) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  sequence->items = std::move(items);
  return SequencePtr(std::move(sequence));
}
Value make_dict(Dict dict) { return DictPtr(std::make_shared<const Dict>(std::move(dict))); }
Value undefined(std::string message) { return Undefined{std::make_shared<const std::string>(std::move(message))}; }

Value from_json(const mlxbase::json::Value& value) {
  if (value.is_null()) return None{};
  if (const std::string* text = value.if_string()) return *text;
  if (value.is_array()) {
    std::vector<Value> items;
    items.reserve(value.array().size());
    for (const auto& item : value.array()) items.push_back(from_json(item));
    return make_list(std::move(items));
  }
  if (value.is_object()) {
    Dict dict;
    dict.entries.reserve(value.object().size());
    for (const auto& [name, item] : value.object()) dict.set(name, from_json(item));
    return make_dict(std::move(dict));
  }
  if (value.is_number()) {
    if (value.is_integer()) return value.i64();
    return value.number();
  }
  return value.boolean();
}

bool truthy(const Value& value) {
  if (const bool* b = value.if_bool()) return *b;
  if (const std::string* text = value.if_string()) return !text->empty();
  if (const std::int64_t* i = value.if_int()) return *i != 0;
  if (const double* d = value.if_float()) return *d != 0;
  if (const Sequence* s = value.if_sequence()) return s->kind == Sequence::Kind::generator || !s->items.empty();
  if (const Dict* d = value.if_dict()) return !d->entries.empty();
  return value.if_object() != nullptr;
}

bool equal(const Value& a, const Value& b) { return equal_within(a, b, 0); }

Result<int> compare(const Value& a, const Value& b, std::string_view op) {
  std::int64_t left_room = 0, right_room = 0;
  const std::int64_t* left = a.whole(left_room);
  const std::int64_t* right = b.whole(right_room);
  if (left != nullptr && right != nullptr) return *left < *right ? -1 : (*left > *right ? 1 : 0);
  if (a.is_number() && b.is_number()) return sign(a.as_double() - b.as_double());
  if (a.if_string() != nullptr && b.if_string() != nullptr) {
    const int order = a.if_string()->compare(*b.if_string());  // UTF-8 keeps the order of code points
    return order < 0 ? -1 : (order > 0 ? 1 : 0);
  }
  if (const Undefined* u = a.if_undefined()) return fail(Code::invalid, *u->message);
  if (const Undefined* u = b.if_undefined()) return fail(Code::invalid, *u->message);
  const Sequence* s = a.if_sequence();
  const Sequence* t = b.if_sequence();
  if (s != nullptr && t != nullptr && s->kind == t->kind && (s->kind == Sequence::Kind::list || s->kind == Sequence::Kind::tuple)) {
    for (std::size_t i = 0; i < std::min(s->items.size(), t->items.size()); ++i) {
      if (equal(s->items[i], t->items[i])) continue;
      if (s->items[i].if_sequence() != nullptr) return fail(Code::unsupported, "comparing lists in lists");
      return compare(s->items[i], t->items[i], op);
    }
    return s->items.size() < t->items.size() ? -1 : (s->items.size() > t->items.size() ? 1 : 0);
  }
  return fail(Code::invalid, fmt::format("'{}' not supported between instances of '{}' and '{}'", op, type_name(a), type_name(b)));
}

std::string type_name(const Value& value) {
  if (value.is_none()) return "NoneType";
  if (value.is_undefined()) return "Undefined";
  if (value.if_bool() != nullptr) return "bool";
  if (value.if_int() != nullptr) return "int";
  if (value.if_float() != nullptr) return "float";
  if (value.if_string() != nullptr) return value.is_markup() ? "Markup" : "str";
  if (value.if_dict() != nullptr) return "dict";
  if (const Object* object = value.if_object()) return std::string(object->type());
  switch (value.if_sequence()->kind) {
    case Sequence::Kind::list:
      return "list";
    case Sequence::Kind::tuple:
      return "tuple";
    case Sequence::Kind::range:
      return "range";
    case Sequence::Kind::generator:
      return "generator";
    case Sequence::Kind::reversed:
      return "list_reverseiterator";
    case Sequence::Kind::keys:
      return "dict_keys";
    case Sequence::Kind::values:
      return "dict_values";
    case Sequence::Kind::items:
      return "dict_items";
  }
  return {};
}

std::string float_text(double number) {
  std::string text = fmt::format("{}", number);  // the shortest that reads back the same, as Python's
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string html_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}
std::string escaped(const Value& value) { return value.is_markup() ? *value.if_string() : html_escape(to_text(value)); }

std::string repr_text(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t begin = i;
    const std::uint32_t point = next_point(text, i);
    if (point == static_cast<unsigned char>(quote) || point == '\\') {
      out += '\\';
      out += static_cast<char>(point);
    } else if (point == '\n') {
      out += "\\n";
    } else if (point == '\r') {
      out += "\\r";
    } else if (point == '\t') {
      out += "\\t";
    } else if (is_printable(point)) {
      out.append(text.substr(begin, i - begin));
    } else if (point <= 0xFF) {
      out += fmt::format("\\x{:02x}", point);
    } else if (point <= 0xFFFF) {
      out += fmt::format("\\u{:04x}", point);
    } else {
      out += fmt::format("\\U{:08x}", point);
    }
  }
  out += quote;
  return out;
}

std::string to_text(const Value& value) {
  if (const std::string* text = value.if_string()) return *text;
  if (value.is_undefined()) return {};
  if (value.is_none()) return "None";
  if (const bool* b = value.if_bool()) return *b ? "True" : "False";
  if (const std::int64_t* i = value.if_int()) return fmt::format("{}", *i);
  if (const double* d = value.if_float()) return float_text(*d);
  if (const Object* object = value.if_object()) return fmt::format("<{}>", object->type());
  return repr(value);
}

std::string repr(const Value& value) {
  std::string out;
  write_repr(out, value, 0);
  return out;
}

Result<std::string> to_json(const Value& value, const JsonStyle& style) {
  std::string out;
  TRY(JsonWriter(out, style).write(value, 0));
  return out;
}

}  // namespace mlxstudio::jinja
