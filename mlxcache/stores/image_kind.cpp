#include "mlxcache/stores/image_kind.h"

#include <algorithm>
#include <array>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/safetensors.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

bool any_begins(const std::vector<std::string_view>& tensors, std::initializer_list<std::string_view> prefixes) {
  return std::any_of(tensors.begin(), tensors.end(), [&](std::string_view t) {
    return std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) { return t.starts_with(p); });
  });
}
bool any_holds(const std::vector<std::string_view>& tensors, std::initializer_list<std::string_view> parts) {
  return std::any_of(tensors.begin(), tensors.end(), [&](std::string_view t) {
    return std::any_of(parts.begin(), parts.end(), [&](std::string_view p) { return t.contains(p); });
  });
}

bool is_weight(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kEndings = {".safetensors", ".sft", ".gguf", ".ckpt"};
  return std::any_of(kEndings.begin(), kEndings.end(), [low = lower(name)](std::string_view ending) { return low.ends_with(ending); });
}

Result<std::vector<std::string>> tensors_of(const Context& context, const std::string& file, std::string_view name) {
  const auto open = TRY(context.fs.open_read(file));
  const auto stat = TRY(open->stat());
  const mlxbase::ByteSource source{stat.size, [&](std::uint64_t offset, std::span<std::byte> out) { return open->pread(offset, out); }};
  std::vector<std::string> out;
  if (lower(name).ends_with(".gguf")) {
    const auto header = TRY(mlxbase::gguf::read_header(source));
    for (const auto& tensor : header.tensors) out.push_back(tensor.name);
  } else {
    const auto header = TRY(mlxbase::safetensors::read_header(source));
    for (const auto& tensor : header.tensors) out.push_back(tensor.name);
  }
  return out;
}

}  // namespace

std::string_view to_string(ImageKind kind) {
  switch (kind) {
    case ImageKind::checkpoint: return "checkpoint";
    case ImageKind::diffusion_model: return "diffusion model";
    case ImageKind::vae: return "VAE";
    case ImageKind::lora: return "LoRA";
    case ImageKind::controlnet: return "ControlNet";
    case ImageKind::text_encoder: return "text encoder";
    case ImageKind::clip_vision: return "vision encoder";
  }
  return "";
}

std::optional<ImageKind> image_kind_of(const std::vector<std::string_view>& tensors) {
  // A LoRA's tensors are called after those that they change: first.
  if (any_holds(tensors, {".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", "lora_unet_", "lora_te_", ".hada_w1_", ".lokr_w1"})) return ImageKind::lora;
  if (any_begins(tensors, {"control_model.", "controlnet_cond_embedding.", "controlnet_blocks.", "input_hint_block."})) return ImageKind::controlnet;
  const bool diffusion = any_begins(tensors, {"model.diffusion_model."});
  const bool decoder = any_begins(tensors, {"first_stage_model.", "vae."});
  const bool encoder = any_begins(tensors, {"cond_stage_model.", "conditioner.", "text_encoders."});
  if (diffusion && (decoder || encoder)) return ImageKind::checkpoint;
  if (diffusion || any_begins(tensors, {"double_blocks.", "single_transformer_blocks.", "joint_blocks.", "transformer_blocks.", "input_blocks.", "down_blocks.", "patch_embedding."})) {
    return ImageKind::diffusion_model;
  }
  const bool unpacks = any_begins(tensors, {"decoder.up.", "decoder.up_blocks.", "decoder.conv_in.", "decoder.middle."});
  if (unpacks && any_begins(tensors, {"encoder."})) return ImageKind::vae;
  if (any_begins(tensors, {"vision_model.encoder."})) return any_begins(tensors, {"text_model."}) ? std::nullopt : std::optional(ImageKind::clip_vision);
  if (any_begins(tensors, {"text_model.encoder.layers.", "encoder.block.0.layer.0.SelfAttention."})) return ImageKind::text_encoder;
  return std::nullopt;
}

Result<ImageFile> image_file_of(const Context& context, const ModelSource& source, std::string_view tool) {
  const std::string who(tool);
  std::vector<std::uint32_t> weights;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string& name = source.files[i].name;
    if (path::file_name(name) == "model_index.json") return fail(Code::unsupported, "it is a diffusers folder: " + who + " loads models of one file");
    if (!name.contains('/') && is_weight(name)) weights.push_back(i);
  }
  if (weights.empty()) return fail(Code::unsupported, who + " loads safetensors, GGUF and ckpt files, and this model is " + describe_formats(source));
  if (weights.size() > 1) return fail(Code::invalid, "it has several weight files: say which, as org/repo/" + mlxbase::printable(source.files[weights[0]].name));
  const SourceFile& file = source.files[weights.front()];
  if (lower(file.name).ends_with(".ckpt")) return fail(Code::unsupported, "a ckpt file is a pickle, whose kind cannot be told without running it");
  const auto tensors = tensors_of(context, file.path, file.name);
  if (!tensors) return fail(Code::unsupported, "of what kind it is cannot be told: " + tensors.error().message);
  const auto kind = image_kind_of(std::vector<std::string_view>(tensors->begin(), tensors->end()));
  if (!kind) return fail(Code::unsupported, "its tensors are those of no image model that is known here, so its folder cannot be told");
  return ImageFile{weights.front(), *kind};
}

}  // namespace mlxcache::stores
