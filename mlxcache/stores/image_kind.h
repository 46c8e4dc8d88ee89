#pragma once
// What a weight file of an image model is, by the names of its tensors: image tools load a file from the folder of its kind or not at all.
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores {

enum class ImageKind : std::uint8_t { checkpoint, diffusion_model, vae, lora, controlnet, text_encoder, clip_vision };
std::string_view to_string(ImageKind kind);

/// Empty: none of these, or it cannot be told.
std::optional<ImageKind> image_kind_of(const std::vector<std::string_view>& tensors);

struct ImageFile {
  std::uint32_t file = 0;  // of ModelSource::files
  ImageKind kind{};
};
/// The one file of a source that an image tool could load. Errors: unsupported (with what it is instead, or why its kind cannot be told), invalid (several files).
mlxbase::Result<ImageFile> image_file_of(const Context& context, const ModelSource& source, std::string_view tool);

}  // namespace mlxcache::stores
