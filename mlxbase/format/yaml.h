#pragma once
// Bounded YAML: other tools' model definitions, read into the same values as JSON.
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxbase::yaml {

/// What a model definition may have at most: they are a few kilobytes.
inline constexpr json::Limits kLimits{.bytes = std::size_t{4} << 20U, .depth = 64};

/// Parses the first document (as Go's and Python's plain loaders do); no document at all is null.
///   scalars   plain ones by the core schema of YAML 1.2 (null, true, false, whole numbers, floats), all others text; whole
///             numbers beyond 64 bits stay text, so that a digest of digits keeps every one of them
///   mappings  keys are text; a repeated one replaces the earlier value; `<<` merges, explicit keys win
///   aliases   are copied; a document that unfolds to more than `limits.bytes` bytes or a million values is refused
/// Errors: corrupt (not YAML, not UTF-8, too deep, unfolds too far, a key that is no scalar, an unknown alias),
/// invalid (larger than limits.bytes).
Result<json::Value> parse(std::string_view text, json::Limits limits = kLimits);

}  // namespace mlxbase::yaml
