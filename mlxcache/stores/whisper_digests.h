#pragma once
// Digests of the released Whisper models, which their names stand for: constants in the tools' own sources.
#include <optional>
#include <string_view>

#include "mlxbase/core/digest.h"

namespace mlxcache::stores {

/// SHA-256 by file name ("large-v3.pt"): the URLs in openai/whisper `whisper/__init__.py`.
std::optional<mlxbase::Digest> openai_whisper_digest(std::string_view file_name);

/// SHA-1 by file name ("ggml-base.en.bin"): the table in whisper.cpp `models/README.md`. "ggml-large.bin" stood for three models in turn and has none.
std::optional<mlxbase::Digest> whisper_cpp_digest(std::string_view file_name);

}  // namespace mlxcache::stores
