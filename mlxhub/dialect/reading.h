#pragma once
// What the dialects share when they read a body: each member is taken, refused, or known to change nothing.
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::dialect {

inline constexpr std::size_t kMostStops = 16;

/// invalid: "temperature: a number from 0 to 2 is needed"
std::unexpected<mlxbase::Error> wrong(std::string_view member, std::string_view what);
/// A member that no dialect takes: ignoring it would be a lie.
std::unexpected<mlxbase::Error> unknown(std::string_view member);
/// {} and [], to be filled.
inline mlxbase::json::Value object() { return mlxbase::json::Value{mlxbase::json::Object{}}; }
inline mlxbase::json::Value list() { return mlxbase::json::Value{mlxbase::json::Array{}}; }
/// Errors: corrupt (no JSON), invalid (no object).
mlxbase::Result<mlxbase::json::Value> parse_body(std::string_view body);

// null leaves `out` as it is. Errors: invalid.
mlxbase::Status read_number(const mlxbase::json::Value& value, std::string_view member, double least, double most, float& out);
mlxbase::Status read_whole(const mlxbase::json::Value& value, std::string_view member, std::uint64_t least, std::uint64_t most, std::uint64_t& out);
template <class T>
mlxbase::Status read_whole_as(const mlxbase::json::Value& value, std::string_view member, std::uint64_t least, std::uint64_t most, T& out) {
  std::uint64_t v = out;
  auto read = read_whole(value, member, least, most, v);
  out = static_cast<T>(v);
  return read;
}
mlxbase::Status read_flag(const mlxbase::json::Value& value, std::string_view member, bool& out);
/// A text, or a list of texts. `most` of them.
mlxbase::Status read_texts(const mlxbase::json::Value& value, std::string_view member, std::size_t most, std::vector<std::string>& out);

/// OpenAI's list of tools; null if it is empty. Errors: invalid, unsupported (tools of another kind than functions).
mlxbase::Result<mlxbase::json::Value> read_tools(const mlxbase::json::Value& value, std::string_view member);
/// Leaves the tool of that name only. Errors: invalid (there is none).
mlxbase::Status only_tool(mlxbase::json::Value& tools, const std::string& name);
/// A call as templates take it: arguments as an object.
mlxbase::json::Value call_of(std::string_view id, std::string_view name, mlxbase::json::Value arguments);

/// {"role", "content"}, as templates take it.
mlxbase::json::Value message_of(std::string_view role, std::string_view content);

}  // namespace mlxhub::dialect
