#pragma once
// INI files as Qt's QSettings writes them (GPT4All.ini), read into the same values as JSON.
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxbase::ini {

inline constexpr json::Limits kLimits{.bytes = std::size_t{1} << 20U, .depth = 64};

/// Parses; the result is an object of sections, each an object of keys. Keys before any section lie in "General", as Qt
/// reads them; "/" in keys is what the file writes as "\". Values are text, or an array of text where the file has a list.
/// Lines that make no sense are left out, as Qt does. Of a repeated key the last counts.
/// Errors: corrupt (not UTF-8), invalid (larger than limits.bytes).
Result<json::Value> parse(std::string_view text, json::Limits limits = kLimits);

/// A value as QSettings writes it: quoted where it must be, escaped. parse() gives back the same text.
std::string escaped(std::string_view value);

}  // namespace mlxbase::ini
