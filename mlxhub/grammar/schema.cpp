// JSON Schema to rules. Every schema becomes one rule, so that schemas may refer to each other and to themselves.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxhub/grammar/grammar.h"

namespace mlxhub::grammar {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::json::Value;

namespace {

constexpr std::size_t kMostRules = 10'000;
constexpr int kMostDepth = 200;  // of schemas in schemas, references followed

/// Keywords that say nothing about what is valid.
constexpr std::string_view kNotes[] = {"title", "description", "default", "examples", "example", "$schema", "$id", "$comment", "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "discriminator", "$anchor"};
bool is_note(std::string_view name) { return std::find(std::begin(kNotes), std::end(kNotes), name) != std::end(kNotes) || name.starts_with("x-"); }

std::unexpected<mlxbase::Error> cannot(std::string_view keyword, std::string_view why = "cannot be enforced here") { return fail(Code::unsupported, fmt::format("the schema's '{}' {}", printable(keyword), why)); }
std::unexpected<mlxbase::Error> broken(std::string_view keyword) { return fail(Code::invalid, fmt::format("the schema's '{}' makes no sense", printable(keyword))); }

}  // namespace

class SchemaReader {
 public:
  SchemaReader(Builder& builder, const Value& root) : b_(builder), root_(root) {}

  Result<RuleId> rule_of(const Value& schema) {
    if (const auto at = rules_.find(&schema); at != rules_.end()) return at->second;
    if (rules_.size() >= kMostRules || !b_.fits()) return fail(Code::unsupported, "the schema is too large");
    if (depth_ >= kMostDepth) return fail(Code::unsupported, fmt::format("the schema is nested deeper than {} levels", kMostDepth));
    const RuleId rule = b_.declare();
    rules_.emplace(&schema, rule);
    ++depth_;
    auto start = read(schema);
    --depth_;
    if (!start) return std::unexpected(start.error());
    if (!b_.fits()) return fail(Code::unsupported, "the schema is too large");
    b_.define(rule, *start);
    return rule;
  }

 private:
  Result<NodeId> part(const Value& schema, NodeId next) {
    const RuleId rule = TRY(rule_of(schema));
    return b_.call(rule, next);
  }

  /// Errors if a keyword is there that is neither a note nor one of `known`.
  static Result<void> only(const Value& schema, std::initializer_list<std::string_view> known) {
    for (const auto& [name, value] : schema.object()) {
      if (!is_note(name) && std::find(known.begin(), known.end(), name) == known.end()) return cannot(name);
    }
    return {};
  }

  Result<const Value*> resolve(const std::string& reference) {
    if (!reference.starts_with('#')) return cannot("$ref", "may only point into the schema itself");
    const Value* at = &root_;
    std::string_view left = std::string_view(reference).substr(1);
    while (!left.empty()) {
      if (!left.starts_with('/')) return broken("$ref");
      left.remove_prefix(1);
      const auto slash = std::min(left.find('/'), left.size());
      std::string name;
      for (std::size_t i = 0; i < slash; ++i) {
        if (left[i] == '~' && i + 1 < slash && (left[i + 1] == '0' || left[i + 1] == '1')) {
          name += left[++i] == '0' ? '~' : '/';
        } else {
          name += left[i];
        }
      }
      left.remove_prefix(slash);
      if (at->is_array()) {
        const std::size_t index = name.empty() || name.size() > 6 || name.find_first_not_of("0123456789") != std::string::npos ? SIZE_MAX : std::strtoul(name.c_str(), nullptr, 10);
        if (index >= at->array().size()) return fail(Code::invalid, fmt::format("the schema's $ref '{}' points to nothing", printable(reference)));
        at = &at->array()[index];
      } else {
        const auto& members = at->object();
        const auto found = std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.first == name; });
        if (found == members.end()) return fail(Code::invalid, fmt::format("the schema's $ref '{}' points to nothing", printable(reference)));
        at = &found->second;
      }
    }
    return at;
  }

  Result<NodeId> read(const Value& schema) {
    if (schema == Value(true)) return b_.json_value(b_.end());
    if (!schema.is_object()) return fail(Code::invalid, "a schema is an object, or true");
    if (const Value& ref = schema["$ref"]; !ref.is_null()) {
      TRY(only(schema, {"$ref"}));
      const Value* const target = TRY(resolve(ref.string()));
      return part(*target, b_.end());
    }
    if (const Value& values = schema["enum"]; !values.is_null()) {
      TRY(only(schema, {"enum", "type"}));
      if (values.array().empty()) return broken("enum");
      std::vector<NodeId> ways;
      for (const Value& value : values.array()) ways.push_back(b_.literal(mlxbase::json::dump(value), b_.end()));
      return b_.choice(ways);
    }
    const auto& members = schema.object();
    if (const auto at = std::find_if(members.begin(), members.end(), [](const auto& m) { return m.first == "const"; }); at != members.end()) {
      TRY(only(schema, {"const", "type"}));
      return b_.literal(mlxbase::json::dump(at->second), b_.end());
    }
    for (const std::string_view several : {"anyOf", "oneOf"}) {
      const Value& all = schema[several];
      if (all.is_null()) continue;
      TRY(only(schema, {several}));
      if (all.array().empty()) return broken(several);
      if (several == "oneOf") TRY(exclude_each_other(all));
      std::vector<NodeId> ways;
      for (const Value& one : all.array()) ways.push_back(TRY(part(one, b_.end())));
      return b_.choice(ways);
    }
    if (const Value& all = schema["allOf"]; !all.is_null()) {
      TRY(only(schema, {"allOf"}));
      if (all.array().size() != 1) return cannot("allOf", "is enforced with one schema only");
      return part(all.array().front(), b_.end());
    }
    const Value& type = schema["type"];
    if (type.is_array()) {
      if (type.array().empty()) return broken("type");
      std::vector<NodeId> ways;
      for (const Value& one : type.array()) ways.push_back(TRY(typed(schema, one.string(), type.array().size() > 1)));
      return b_.choice(ways);
    }
    if (!type.is_null()) return typed(schema, type.string(), false);
    if (!schema["properties"].is_null() || !schema["additionalProperties"].is_null() || !schema["required"].is_null()) return typed(schema, "object", false);
    if (!schema["items"].is_null() || !schema["prefixItems"].is_null()) return typed(schema, "array", false);
    TRY(only(schema, {}));
    return b_.json_value(b_.end());
  }

  /// oneOf is anyOf if no value fits two of them: their types differ, or a property that each requires has another constant in each.
  Result<void> exclude_each_other(const Value& all) {
    std::vector<const Value*> ones;
    for (const Value& one : all.array()) {
      const Value* target = &one;
      for (int i = 0; i < 16 && !(*target)["$ref"].is_null(); ++i) target = TRY(resolve((*target)["$ref"].string()));
      ones.push_back(target);
    }
    std::set<std::string> types;
    for (const Value* one : ones) {
      const std::string type = (*one)["type"].string();
      if (!type.empty() && type != "number" && type != "integer") types.insert(type);  // a number may be whole
    }
    if (types.size() == ones.size()) return {};
    for (const auto& [name, first] : (*ones.front())["properties"].object()) {
      std::set<std::string> constants;
      for (const Value* one : ones) {
        const auto& required = (*one)["required"].array();
        const Value& constant = (*one)["properties"][name]["const"];
        if (!constant.is_null() && std::find(required.begin(), required.end(), Value(name)) != required.end()) constants.insert(mlxbase::json::dump(constant));
      }
      if (constants.size() == ones.size()) return {};
    }
    return cannot("oneOf", "is enforced only where its schemas exclude each other by type or by a constant; anyOf is");
  }

  Result<NodeId> typed(const Value& schema, const std::string& type, bool one_of_many) {
    const auto check = [&](std::initializer_list<std::string_view> known) -> Result<void> {
      // With several types a keyword belongs to the type that knows it.
      if (!one_of_many) return only(schema, known);
      return only(schema, {"type", "properties", "required", "additionalProperties", "items", "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"});
    };
    if (type == "object") {
      TRY(check({"type", "properties", "required", "additionalProperties"}));
      return object(schema);
    }
    if (type == "array") {
      TRY(check({"type", "items", "prefixItems", "minItems", "maxItems"}));
      return array(schema);
    }
    if (type == "string") {
      TRY(check({"type", "minLength", "maxLength", "format"}));
      return string(schema);
    }
    if (type == "integer" || type == "number") {
      TRY(check({"type", "minimum", "maximum"}));
      return number(schema, type == "integer");
    }
    TRY(check({"type"}));
    if (type == "boolean") return b_.choice({b_.literal("true", b_.end()), b_.literal("false", b_.end())});
    if (type == "null") return b_.literal("null", b_.end());
    return fail(Code::invalid, fmt::format("the schema's type '{}' is not known", printable(type)));
  }

  static Result<std::size_t> limit(const Value& schema, std::string_view name, std::size_t otherwise) {
    const Value& value = schema[name];
    if (value.is_null()) return otherwise;
    const std::uint64_t v = value.u64(UINT64_MAX);
    if (v == UINT64_MAX) return broken(name);
    return static_cast<std::size_t>(v);
  }

  Result<NodeId> object(const Value& schema) {
    const auto& properties = schema["properties"].object();
    const auto& required = schema["required"].array();
    if (properties.empty()) {
      if (!required.empty()) return cannot("required", "names what 'properties' does not have");
      const Value& more = schema["additionalProperties"];
      if (more == Value(false)) return b_.literal("{", b_.space(b_.literal("}", b_.end())));
      if (more.is_null() || more == Value(true)) return b_.json_object(b_.end());
      const RuleId value = TRY(rule_of(more));
      return b_.pairs([&](NodeId next) { return b_.call(value, next); }, b_.end());
    }
    for (const Value& name : required) {
      if (std::none_of(properties.begin(), properties.end(), [&](const auto& p) { return name == Value(p.first); })) return cannot("required", "names what 'properties' does not have");
    }
    // In the order in which they are declared. Others, which additionalProperties may allow, are not written: what is written is valid all the same.
    const NodeId close = b_.space(b_.literal("}", b_.end()));
    NodeId first = close, later = close;  // what follows if none was written so far, and if one was
    for (auto p = properties.rbegin(); p != properties.rend(); ++p) {
      const RuleId value = TRY(rule_of(p->second));
      const RuleId pair = b_.rule(b_.literal(mlxbase::json::dump(Value(p->first)) + ":", b_.space(b_.call(value, b_.end()))));
      const NodeId here = b_.call(pair, later), there = b_.literal(",", b_.space(here));
      const bool needed = std::find(required.begin(), required.end(), Value(p->first)) != required.end();
      first = needed ? here : b_.choice({here, first});
      later = needed ? there : b_.choice({there, later});
    }
    return b_.literal("{", b_.space(first));
  }

  Result<NodeId> array(const Value& schema) {
    const auto& prefix = schema["prefixItems"].array();
    const Value& items = schema["items"];
    const std::size_t least = TRY(limit(schema, "minItems", 0));
    std::size_t most = TRY(limit(schema, "maxItems", SIZE_MAX));
    if (items == Value(false)) most = std::min(most, prefix.size());
    if (least > most) return broken("minItems");
    std::vector<RuleId> fixed;
    for (const Value& item : prefix) fixed.push_back(TRY(rule_of(item)));
    std::optional<RuleId> item;
    if (!items.is_null() && items != Value(false)) item = TRY(rule_of(items));
    const auto one = [&](std::size_t i, NodeId next) { return i < fixed.size() ? b_.call(fixed[i], next) : item ? b_.call(*item, next) : b_.json_value(next); };
    const NodeId close = b_.space(b_.literal("]", b_.end()));
    // Those that are counted, from the last to the first; behind them, without a limit, any number.
    const std::size_t counted = most == SIZE_MAX ? std::max(least, fixed.size()) : most;
    NodeId next = close;
    if (most == SIZE_MAX) next = b_.any_number([&](NodeId n) { return b_.literal(",", b_.space(one(SIZE_MAX, n))); }, close);
    for (std::size_t i = counted; i-- > 1;) {
      if (!b_.fits()) return fail(Code::unsupported, "the schema is too large");
      const NodeId more = b_.literal(",", b_.space(one(i, next)));
      next = i < least ? more : b_.choice({more, close});
    }
    if (counted == 0 && most != SIZE_MAX) return b_.literal("[", close);
    const NodeId filled = one(0, next);
    return b_.literal("[", b_.space(least > 0 ? filled : b_.choice({filled, b_.literal("]", b_.end())})));
  }

  Result<NodeId> string(const Value& schema) {
    const std::size_t least = TRY(limit(schema, "minLength", 0)), most = TRY(limit(schema, "maxLength", SIZE_MAX));
    if (least > most) return broken("minLength");
    const NodeId close = b_.literal("\"", b_.end());
    if (const Value& format = schema["format"]; !format.is_null()) {
      if (least != 0 || most != SIZE_MAX) return cannot("format", "is enforced without limits of length only");
      const NodeId start = TRY(formatted(format.string(), close));
      return b_.literal("\"", start);
    }
    if (least == 0 && most == SIZE_MAX) return b_.call(b_.string_, b_.end());
    return b_.literal("\"", b_.repeat([&](NodeId next) { return b_.call(b_.character_, next); }, least, most, close));
  }

  Result<NodeId> formatted(const std::string& format, NodeId next) {
    const ByteSet digit = bytes_between('0', '9'), hex = either(digit, bytes_between('a', 'f'));
    const auto digits = [&](std::size_t n, NodeId after) { return b_.repeat([&](NodeId m) { return b_.byte_of(digit, m); }, n, n, after); };
    const auto hexes = [&](std::size_t n, NodeId after) { return b_.repeat([&](NodeId m) { return b_.byte_of(hex, m); }, n, n, after); };
    const auto up_to = [&](char tens, char last, NodeId after) {  // 00 … "tens last"
      return b_.choice({b_.byte_of(bytes_between('0', static_cast<unsigned char>(tens - 1)), b_.byte_of(digit, after)), b_.literal({&tens, 1}, b_.byte_of(bytes_between('0', static_cast<unsigned char>(last)), after))});
    };
    const auto clock = [&](NodeId after) { return up_to('2', '3', b_.literal(":", up_to('5', '9', after))); };
    const auto time = [&](NodeId after) {
      const NodeId zone = b_.choice({b_.literal("Z", after), b_.byte_of(bytes_of("+-"), clock(after))});
      return clock(b_.literal(":", up_to('5', '9', b_.optional([&](NodeId n) { return b_.literal(".", b_.repeat([&](NodeId m) { return b_.byte_of(digit, m); }, 1, 9, n)); }, zone))));
    };
    const auto date = [&](NodeId after) {  // every month has at least 28 days: the others are not written where they may not exist
      const NodeId to_28 = b_.choice({b_.literal("0", b_.byte_of(bytes_between('1', '9'), after)), b_.literal("1", b_.byte_of(digit, after)), b_.literal("2", b_.byte_of(bytes_between('0', '8'), after))});
      const NodeId to_30 = b_.choice({to_28, b_.literal("29", after), b_.literal("30", after)}), to_31 = b_.choice({to_30, b_.literal("31", after)});
      const auto months = [&](std::initializer_list<std::string_view> names, NodeId days) {
        std::vector<NodeId> ways;
        for (const std::string_view name : names) ways.push_back(b_.literal(name, b_.literal("-", days)));
        return b_.choice(ways);
      };
      return digits(4, b_.literal("-", b_.choice({months({"01", "03", "05", "07", "08", "10", "12"}, to_31), months({"04", "06", "09", "11"}, to_30), months({"02"}, to_28)})));
    };
    if (format == "date") return date(next);
    if (format == "time") return time(next);
    if (format == "date-time") return date(b_.literal("T", time(next)));
    if (format == "uuid") return hexes(8, b_.literal("-", hexes(4, b_.literal("-", hexes(4, b_.literal("-", hexes(4, b_.literal("-", hexes(12, next)))))))));
    return fail(Code::unsupported, fmt::format("the schema's format '{}' cannot be enforced here; date, time, date-time and uuid can", printable(format)));
  }

  Result<NodeId> number(const Value& schema, bool whole) {
    const Value &least = schema["minimum"], &most = schema["maximum"];
    if (least.is_null() && most.is_null()) return b_.call(whole ? b_.integer_ : b_.number_, b_.end());
    if (!whole) {
      if (most.is_null() && least.number(-1) == 0) return positive(b_.number_);
      return cannot(least.is_null() ? "maximum" : "minimum", "is enforced for whole numbers, and as a minimum of 0");
    }
    if (most.is_null() && least.is_integer() && least.i64(-1) == 0) return positive(b_.integer_);
    constexpr std::int64_t kFar = 999'999'999'999'999;
    if ((!least.is_null() && !least.is_integer()) || (!most.is_null() && !most.is_integer())) return cannot("minimum", "of a whole number has to be one");
    const std::int64_t from = least.is_null() ? -kFar : least.i64(INT64_MIN), to = most.is_null() ? kFar : most.i64(INT64_MAX);
    if (from < -kFar || to > kFar) return cannot("minimum", "is enforced up to 15 digits");
    if (from > to) return broken("minimum");
    std::vector<NodeId> ways;
    if (from < 0) ways.push_back(b_.literal("-", between(static_cast<std::uint64_t>(to < 0 ? -to : 1), static_cast<std::uint64_t>(-from))));
    if (to >= 0) ways.push_back(between(static_cast<std::uint64_t>(std::max<std::int64_t>(from, 0)), static_cast<std::uint64_t>(to)));
    return b_.choice(ways);
  }
  /// A number's rule begins with the optional sign: behind it, the digits.
  Result<NodeId> positive(RuleId number) { return b_.made_->nodes[b_.made_->rules[number]].other; }

  /// Whole numbers from `from` to `to`, without leading zeros: one piece for each length.
  NodeId between(std::uint64_t from, std::uint64_t to) {
    std::vector<NodeId> ways;
    std::uint64_t least = 0, most = 9;
    for (std::size_t length = 1; length <= 16; ++length) {
      if (std::max(least, from) <= std::min(most, to)) ways.push_back(digits_between(fmt::format("{}", std::max(least, from)), fmt::format("{}", std::min(most, to))));
      least = most + 1;
      most = most * 10 + 9;
    }
    return b_.choice(ways);
  }
  NodeId digits_between(const std::string& from, const std::string& to) {
    const std::size_t n = from.size();
    const auto any = [&](std::size_t left) { return b_.repeat([&](NodeId m) { return b_.byte_of(bytes_between('0', '9'), m); }, left, left, b_.end()); };
    if (n == 0) return b_.end();
    if (from.front() == to.front()) return b_.literal(from.substr(0, 1), digits_between(from.substr(1), to.substr(1)));
    std::vector<NodeId> ways{b_.literal(from.substr(0, 1), digits_between(from.substr(1), std::string(n - 1, '9'))), b_.literal(to.substr(0, 1), digits_between(std::string(n - 1, '0'), to.substr(1)))};
    if (to.front() - from.front() > 1) ways.push_back(b_.byte_of(bytes_between(static_cast<unsigned char>(from.front() + 1), static_cast<unsigned char>(to.front() - 1)), any(n - 1)));
    return b_.choice(ways);
  }

  Builder& b_;
  const Value& root_;
  std::map<const Value*, RuleId> rules_;
  int depth_ = 0;
};

Result<NodeId> Builder::schema(const Value& schema, NodeId next) {
  const RuleId rule = TRY(SchemaReader(*this, schema).rule_of(schema));
  return call(rule, next);
}

Result<std::shared_ptr<const Grammar>> any_json_object() {
  Builder builder;
  const NodeId start = builder.json_object(builder.end());
  return std::move(builder).build(start);
}

Result<std::shared_ptr<const Grammar>> json_of(const Value& schema) {
  Builder builder;
  const NodeId start = TRY(builder.schema(schema, builder.end()));
  return std::move(builder).build(start);
}

}  // namespace mlxhub::grammar
