#pragma once
// Bounded TOML (ramalama.conf and its kind), read into the same values as JSON.
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxbase::toml {

inline constexpr json::Limits kLimits{.bytes = std::size_t{1} << 20U, .depth = 64};

/// Parses a TOML 1.0 document: the result is an object. Dates and times become their text.
/// Errors: corrupt (not TOML, not UTF-8, too deep), invalid (larger than limits.bytes).
Result<json::Value> parse(std::string_view text, json::Limits limits = kLimits);

}  // namespace mlxbase::toml
