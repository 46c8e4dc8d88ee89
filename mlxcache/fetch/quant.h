#pragma once
// Which quantisation a GGUF's name says it is, and which files of a repo make it up.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxcache::fetch {

/// "models-00001-of-00003.gguf": what is in front, and both numbers.
struct Split {
  std::string prefix;
  std::uint32_t number = 0, count = 0;
};
std::optional<Split> parse_split(std::string_view path);

/// Whether the file holds a projector (mmproj) rather than a language model.
bool is_projector(std::string_view path);

/// The quantisation that a GGUF's path names, in capitals ("Q4_K_M", "UD-Q4_K_XL", "BF16"); empty if it names none. The last part of the file's name
/// that looks like one counts; if none does, the folder's.
std::string quant_of(std::string_view path);

/// The paths of `paths` that make up the quantisation `wanted` (case does not matter): every split, and one projector if the repo has some (the one of 16
/// bits before others). Errors: invalid (there is none such: the message lists those there are; a split is missing).
mlxbase::Result<std::vector<std::string>> files_of_quant(const std::vector<std::string>& paths, std::string_view wanted);

/// All quantisations of a repo, each once, in order of first appearance.
std::vector<std::string> quants_of(const std::vector<std::string>& paths);

}  // namespace mlxcache::fetch
