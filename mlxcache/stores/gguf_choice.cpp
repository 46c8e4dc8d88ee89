#include "mlxcache/stores/gguf_choice.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

/// Q4_K_M, IQ4_XS, TQ1_0, MXFP4_MOE, BF16, F16, F32.
bool is_quantisation(std::string_view word) {
  constexpr std::array<std::string_view, 4> kWhole = {"F16", "F32", "BF16", "FP16"};
  if (std::find(kWhole.begin(), kWhole.end(), word) != kWhole.end() || word.starts_with("MXFP4") || word.starts_with("NVFP4")) return true;
  if (word.starts_with("I") || word.starts_with("T")) word.remove_prefix(1);
  return word.size() >= 4 && word[0] == 'Q' && std::isdigit(static_cast<unsigned char>(word[1])) != 0 && word[2] == '_';
}

/// Architectures that GGUF files of pictures and speech carry: runners of language models do not load them.
bool is_other_kind(std::string_view architecture) {
  constexpr std::array<std::string_view, 12> kOthers = {"flux", "sd1", "sd3", "sdxl", "wan", "ltxv", "hyvid", "hidream", "cosmos", "lumina2", "qwen_image", "whisper"};
  return std::find(kOthers.begin(), kOthers.end(), architecture) != kOthers.end();
}

bool is_gguf(const ModelSource& source, std::string_view name) {
  return format_of(name) == "gguf" || (source.format == "gguf" && source.files.size() == 1);
}

std::string name_list(const std::map<std::string, std::vector<std::uint32_t>>& models) {
  std::string out;
  constexpr std::size_t kShown = 8;
  std::size_t shown = 0;
  for (const auto& [stem, parts] : models) {
    if (shown++ == kShown) return out + ", …";
    const std::string quantisation = quantisation_of_name(stem);
    out += (out.empty() ? "" : ", ") + mlxbase::printable(quantisation.empty() ? stem : quantisation);
  }
  return out;
}

/// F16 is what projectors are tested with; any is better than none.
std::uint32_t best_projector(const ModelSource& source, const std::vector<std::uint32_t>& projectors) {
  for (const std::string_view wanted : {"F16", "BF16"}) {
    for (const std::uint32_t p : projectors) {
      if (quantisation_of_name(source.files[p].name) == wanted) return p;
    }
  }
  return projectors.front();
}

}  // namespace

std::string without_split(std::string_view name) {
  std::string_view stem = path::stem(name);
  constexpr std::size_t kSuffix = std::string_view("-00001-of-00003").size();
  if (stem.size() > kSuffix) {
    const std::string_view suffix = stem.substr(stem.size() - kSuffix);
    if (suffix[0] == '-' && all_digits(suffix.substr(1, 5)) && suffix.substr(6, 4) == "-of-" && all_digits(suffix.substr(10))) {
      return std::string(stem.substr(0, stem.size() - kSuffix));
    }
  }
  return std::string(stem);
}

std::string quantisation_of_name(std::string_view file_name) {
  std::string_view base = path::file_name(file_name);
  const std::string stem = upper(base.ends_with(".gguf") || base.ends_with(".GGUF") ? without_split(base) : std::string(base));
  std::string found;
  for (std::size_t at = 0; at <= stem.size();) {
    const std::size_t end = std::min(stem.find_first_of("-.", at), stem.size());
    const std::string word = stem.substr(at, end - at);
    if (is_quantisation(word)) found = (at >= 3 && stem.substr(at - 3, 3) == "UD-" ? "UD-" : "") + word;
    at = end + 1;
  }
  return found;
}

bool holds_gguf(const ModelSource& source) {
  return std::any_of(source.files.begin(), source.files.end(), [&](const SourceFile& f) { return is_gguf(source, f.name); });
}

Result<GgufChoice> choose_gguf(const ModelSource& source) {
  std::map<std::string, std::vector<std::uint32_t>> models;  // by name without ending and split number
  std::vector<std::uint32_t> projectors;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string& name = source.files[i].name;
    if (!is_gguf(source, name)) continue;
    if (lower(path::file_name(name)).contains("mmproj") || (source.files.size() == 1 && source.gguf && source.gguf->projector)) {
      projectors.push_back(i);
    } else {
      models[std::string(path::join(path::parent(name), without_split(path::file_name(name))))].push_back(i);
    }
  }
  if (models.empty()) return fail(Code::unsupported, projectors.empty() ? "it is no GGUF model, but " + describe_formats(source) : "it is a projector alone, without its model");
  if (source.gguf && is_other_kind(source.gguf->architecture)) {
    return fail(Code::unsupported, "its architecture is '" + mlxbase::printable(source.gguf->architecture) + "': no language model");
  }
  auto chosen = models.begin();
  if (models.size() > 1) {
    const auto named = [&](const auto& model) { return quantisation_of_name(model.first) == upper(source.tag); };
    if (std::count_if(models.begin(), models.end(), named) != 1) {
      return fail(Code::invalid, "it holds several models; say which: " + name_list(models));
    }
    chosen = std::find_if(models.begin(), models.end(), named);
  }
  GgufChoice out;
  out.parts = chosen->second;
  std::sort(out.parts.begin(), out.parts.end(), [&](std::uint32_t a, std::uint32_t b) { return source.files[a].name < source.files[b].name; });
  out.quantisation = quantisation_of_name(chosen->first);
  if (out.quantisation.empty() && source.gguf && models.size() == 1) out.quantisation = source.gguf->file_type;
  if (!projectors.empty()) out.projector = best_projector(source, projectors);
  return out;
}

Result<GgufChoice> choose_whole_gguf(const ModelSource& source, std::string_view tool) {
  auto choice = TRY(choose_gguf(source));
  const bool split = choice.parts.size() > 1 || is_split_part(source.files[choice.parts.front()].name) || (source.gguf && source.gguf->splits > 1);
  if (!split) return choice;
  return fail(Code::unsupported, std::string(tool) + " loads a GGUF of one file, and this one is split: llama-gguf-split --merge joins it");
}

}  // namespace mlxcache::stores
