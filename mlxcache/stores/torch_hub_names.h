#pragma once
// Weights in torch hub's cache are named <name>-<first digits of their SHA-256>.<ending>, by convention.
#include <optional>
#include <string_view>

#include "mlxbase/core/digest.h"

namespace mlxcache::stores::torch_hub {

/// The prefix as torch.hub's own HASH_REGEX finds it; at least 8 digits, an odd last one dropped. Eight decimal digits that are a date
/// ("-20210915.pth") are none.
std::optional<mlxbase::Digest> prefix_in_name(std::string_view file_name);

}  // namespace mlxcache::stores::torch_hub
