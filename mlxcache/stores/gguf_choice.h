#pragma once
// Which of a source's files make one GGUF model: a repo may hold a dozen quantisations, splits and projectors side by side.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::stores {

struct GgufChoice {
  std::vector<std::uint32_t> parts;         // indices into ModelSource::files: the model, or all parts of a split one in order
  std::optional<std::uint32_t> projector;   // "mmproj": images and sound
  std::string quantisation;                 // "Q4_K_M", as the file's name or its header says; may be empty
};

/// Of several models the one that `source.tag` names. Errors: unsupported (no GGUF, a projector or an image model alone), invalid (several models and
/// nothing says which: they are named).
mlxbase::Result<GgufChoice> choose_gguf(const ModelSource& source);
/// The same for tools that load one file only. Errors: also unsupported (split: how to join it).
mlxbase::Result<GgufChoice> choose_whole_gguf(const ModelSource& source, std::string_view tool);

/// Whether any of the files is a GGUF.
bool holds_gguf(const ModelSource& source);

/// "Q4_K_M" of "Llama-3.2-1B-Instruct-Q4_K_M.gguf" or "model.Q4_K_M-00001-of-00002.gguf"; "UD-Q4_K_XL" keeps its prefix; empty if the name says none.
std::string quantisation_of_name(std::string_view file_name);

/// "name-00001-of-00003.gguf" → "name"; other names without their ending.
std::string without_split(std::string_view file_name);

}  // namespace mlxcache::stores
