#include "mlxhub/dialect/reading.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxhub/dialect/answer.h"

namespace mlxhub::dialect {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::json::Value;

std::unexpected<mlxbase::Error> wrong(std::string_view member, std::string_view what) {
  return fail(Code::invalid, fmt::format("{}: {}", mlxbase::printable(member), what));
}

std::unexpected<mlxbase::Error> unknown(std::string_view member) { return wrong(member, "is not known here, so it cannot be honoured"); }

Result<Value> parse_body(std::string_view body) {
  Value value = TRY(mlxbase::json::parse(body, {.bytes = std::size_t{128} << 20U, .depth = 128}));
  if (!value.is_object()) return fail(Code::invalid, "the body is no JSON object");
  return value;
}

Status read_number(const Value& value, std::string_view member, double least, double most, float& out) {
  if (value.is_null()) return {};
  const double v = value.number(std::nan(""));
  if (!value.is_number() || !(v >= least && v <= most)) return wrong(member, fmt::format("a number from {} to {} is needed", least, most));
  out = static_cast<float>(v);
  return {};
}

Status read_whole(const Value& value, std::string_view member, std::uint64_t least, std::uint64_t most, std::uint64_t& out) {
  if (value.is_null()) return {};
  const std::uint64_t v = value.u64(UINT64_MAX);
  if (!value.is_integer() || v < least || v > most) return wrong(member, fmt::format("a whole number from {} to {} is needed", least, most));
  out = v;
  return {};
}

Status read_flag(const Value& value, std::string_view member, bool& out) {
  if (value.is_null()) return {};
  if (value != Value(true) && value != Value(false)) return wrong(member, "true or false is needed");
  out = value.boolean();
  return {};
}

Status read_texts(const Value& value, std::string_view member, std::size_t most, std::vector<std::string>& out) {
  if (value.is_null()) return {};
  std::vector<std::string> texts;
  if (const std::string* one = value.if_string()) {
    texts = {*one};
  } else if (!value.is_array()) {
    return wrong(member, "a text or a list of texts is needed");
  }
  for (const Value& text : value.array()) {
    if (text.if_string() == nullptr) return wrong(member, "a text or a list of texts is needed");
    texts.push_back(text.string());
  }
  if (texts.size() > most) return wrong(member, fmt::format("at most {} are taken", most));
  out = std::move(texts);
  return {};
}

Result<Value> read_tools(const Value& value, std::string_view member) {
  if (value.is_null()) return Value();
  if (!value.is_array()) return wrong(member, "a list of tools is needed");
  if (value.array().size() > 256) return wrong(member, "at most 256 are taken");
  std::set<std::string> names;
  for (const Value& tool : value.array()) {
    if (tool["type"] != Value("function")) return fail(Code::unsupported, fmt::format("{}: tools of type '{}' are not built", member, mlxbase::printable(tool["type"].string())));
    const Value& function = tool["function"];
    if (function["name"].string().empty() || !names.insert(function["name"].string()).second) return wrong(member, "every tool needs a name of its own");
    if (!function["parameters"].is_null() && !function["parameters"].is_object()) return wrong(member, "parameters is a JSON Schema");
  }
  return value.array().empty() ? Value() : value;
}

Status only_tool(Value& tools, const std::string& name) {
  for (const Value& tool : tools.array()) {
    if (tool["function"]["name"] != Value(name)) continue;
    Value only{mlxbase::json::Array{}};
    only.push(tool);
    tools = std::move(only);
    return {};
  }
  return wrong("tool_choice", fmt::format("there is no tool '{}'", mlxbase::printable(name)));
}

Value call_of(std::string_view id, std::string_view name, Value arguments) {
  Value function{mlxbase::json::Object{}}, call{mlxbase::json::Object{}};
  function.set("name", name).set("arguments", std::move(arguments));
  call.set("id", id).set("type", "function").set("function", std::move(function));
  return call;
}

Value message_of(std::string_view role, std::string_view content) {
  Value message{mlxbase::json::Object{}};
  message.set("role", role).set("content", content);
  return message;
}

int status_of(Code code) {
  switch (code) {
    case Code::not_found: return 404;
    case Code::busy: return 429;
    case Code::out_of_memory:
    case Code::cancelled: return 503;
    case Code::invalid:
    case Code::corrupt:
    case Code::unsupported: return 400;
    default: return 500;
  }
}

}  // namespace mlxhub::dialect
