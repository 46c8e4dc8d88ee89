#pragma once
// Where kagglehub puts a model's files and the marks that say they are whole.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlxcache::stores::kagglehub {

enum class Place : std::uint8_t {
  file,         // of a version's folder
  whole_mark,   // <version>.complete: all of the folder is there
  file_mark,    // .complete/<version>/<path>.complete: this one file is
  archive,      // <version>.archive: a download in progress
};

struct Located {
  Place place{};
  std::string model;         // owner/model/framework/variation
  std::string version;       // a positive whole number
  std::string_view within;   // path in the version's folder, for file and file_mark; into the text that was parsed
};

/// Parses a path below the cache's models folder; empty for what kagglehub would not make.
std::optional<Located> locate(std::string_view below_models);

}  // namespace mlxcache::stores::kagglehub
