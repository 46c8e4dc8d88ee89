// Which files of a model a tool gets, and under which names.
#include <algorithm>
#include <array>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

/// Names that say nothing of the model.
bool is_nameless(std::string_view stem) {
  return stem == "model" || stem == "ggml-model" || stem == "weights" || stem == "mmproj" || stem.starts_with("sha256-") ||
         (stem.size() == 64 && mlxbase::Digest::parse(mlxbase::Algorithm::sha256, stem));
}

bool is_tokenizer(std::string_view name) {
  return name == "tokenizer.json" || name == "tokenizer.model" || name == "tokenizer_config.json" || name == "vocab.json" || name == "vocab.txt" ||
         name == "spiece.model" || name.ends_with(".tiktoken");
}

bool is_safetensors(std::string_view name) { return lower(name).ends_with(".safetensors"); }

}  // namespace

bool is_projector_name(std::string_view file_name) { return lower(path::file_name(file_name)).contains("mmproj"); }

std::string gguf_file_name(const ModelSource& source, std::uint32_t file) {
  const std::string base(path::file_name(source.files[file].name));
  const bool gguf = lower(base).ends_with(".gguf");
  if (gguf && (is_split_part(base) || !quantisation_of_name(base).empty())) return base;
  const std::string stem = gguf ? std::string(path::stem(base)) : base;
  const bool projector = is_projector_name(base);
  std::string name = stem;
  if (!gguf || is_nameless(stem)) {
    name = source.name;
    if (!source.tag.empty() && source.tag != "latest" && upper(source.tag) != quantisation_of_name("x-" + source.tag + ".gguf")) name += "-" + source.tag;
    if (projector) name = "mmproj-" + name;
  }
  if (projector) return name + ".gguf";
  // What is known of the metadata is known of the first model file.
  const auto files = gguf_files(source);
  std::string quant;
  if (source.gguf && !files.empty() && files.front() == file) quant = upper(source.gguf->file_type);
  if (quant.empty()) quant = quantisation_of_name("x-" + source.tag + ".gguf");
  if (!quant.empty() && path::is_safe_segment(quant)) name += "-" + quant;
  return name + ".gguf";
}

std::vector<std::uint32_t> gguf_files(const ModelSource& source) {
  std::vector<std::uint32_t> models, projectors;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    if (format_of(source.files[i].name) != "gguf") continue;
    (is_projector_name(source.files[i].name) ? projectors : models).push_back(i);
  }
  // Files of content-addressed stores have no ending: the source's format says what they are.
  if (models.empty() && projectors.empty() && source.format == "gguf" && source.files.size() == 1) models.push_back(0);
  if (models.empty()) return {};  // a projector alone is no model
  models.insert(models.end(), projectors.begin(), projectors.end());
  return models;
}

mlxbase::Result<std::vector<std::uint32_t>> safetensors_set(const Context& context, const Root& root, const ModelSource& source, std::string_view tool) {
  const auto refuse = [&](const std::string& why) { return mlxbase::fail(Code::unsupported, std::string(tool) + " " + why); };
  std::vector<std::uint32_t> files;
  std::vector<ViewedFile> view;
  bool config = false, tokenizer = false, weights = false;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string& name = source.files[i].name;
    if (name.contains('/') || name.starts_with('.')) continue;
    if (is_safetensors(name)) {
      if (name.starts_with("consolidated")) continue;  // the same weights once more, in their maker's own layout
      weights = weights || name.starts_with("model");
    } else if (is_weights(name)) {
      continue;
    }
    config = config || name == "config.json";
    tokenizer = tokenizer || is_tokenizer(name);
    files.push_back(i);
    view.push_back({name, source.files[i].path});
  }
  const bool any = std::any_of(source.files.begin(), source.files.end(), [](const SourceFile& f) { return is_safetensors(f.name); });
  if (!any) return refuse("loads safetensors, and this model is " + describe_formats(source));
  if (!weights) return refuse("loads model*.safetensors from one folder, and this model has none of that name there");
  if (!config) return refuse("needs the complete model: config.json is missing");
  if (!tokenizer) return refuse("needs the complete model: its tokenizer is missing");
  std::vector<catalog::Problem> problems;  // files still to be downloaded cannot be read; the names have been looked at
  if (lacks_indexed_shard(context, root.path, view, problems)) return refuse("needs the complete model: a shard of its index is missing");
  return files;
}

}  // namespace mlxcache::stores
