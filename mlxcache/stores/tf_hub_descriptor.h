#pragma once
// <sha1>.descriptor.txt of TensorFlow Hub: which module the folder is of.
#include <optional>
#include <string>
#include <string_view>

namespace mlxcache::stores::tf_hub {

/// The "Module:" line, if it is there and its SHA-1 is the folder's name; empty for a descriptor that speaks of something else.
std::optional<std::string> module_of_descriptor(std::string_view text, std::string_view folder);

}  // namespace mlxcache::stores::tf_hub
