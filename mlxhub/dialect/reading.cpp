#include "mlxhub/dialect/reading.h"

#include <fmt/format.h>

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
