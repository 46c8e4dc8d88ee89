// GGUF models given to llama.cpp in the hub's layout, which it reads since spring 2026, and taken out of either of its layouts.
#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/hf_layout.h"
#include "mlxcache/stores/hf_publish.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/llama_cpp_names.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::llama_cpp {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;

constexpr std::uint64_t kManifestLimit = std::uint64_t{1} << 20U;
constexpr std::size_t kMostId = 256;

/// common_download's rule: one slash, and single ".", "-", "/" between letters, digits and "_".
bool takes_id(std::string_view id) {
  bool mark = true;
  for (const char c : id) {
    const bool is_mark = c == '.' || c == '-' || c == '/';
    if (is_mark && mark) return false;
    mark = is_mark;
  }
  return !mark && id.size() <= kMostId && std::count(id.begin(), id.end(), '/') == 1;
}

/// The flat cache's own files about a model: sidecars, and manifests that name it.
std::vector<std::uint32_t> companions(const Context& context, const Listing& listing, const catalog::Model& model) {
  std::vector<std::uint32_t> out;
  std::vector<std::string> files;
  for (const std::uint32_t e : model.entries) files.emplace_back(path::file_name(listing.entries[e].path));
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    const std::string name(path::relative_to(listing.root.path, entry.path));
    if (entry.role != Role::metadata || name.contains('/')) continue;
    if (const auto repo = parse_manifest_name(name)) {
      const auto text = read_metadata(context, listing.root.path, entry.path, kManifestLimit);
      const auto parts = text ? parse_manifest(*text) : mlxbase::Result<std::vector<ManifestFile>>(mlxbase::fail(text.error()));
      if (!parts || parts->empty()) continue;
      // Its first file is the model; the second a projector that other manifests may name as well.
      const std::string flat = flat_name(repo->owner, repo->repo, parts->front().name);
      if (std::find(files.begin(), files.end(), flat) != files.end()) out.push_back(e);
      continue;
    }
    for (const std::string_view ending : {".etag", ".json"}) {
      if (name.ends_with(ending) && std::find(files.begin(), files.end(), name.substr(0, name.size() - ending.size())) != files.end()) out.push_back(e);
    }
  }
  return out;
}

}  // namespace

std::optional<Root> default_root(const Context& context) {
  if (const auto own = context.environment.get_nonempty("LLAMA_CACHE")) return Root{StoreKind::llama_cpp, context.environment.absolute(*own), "LLAMA_CACHE"};
  return hf::hub_of(context.environment, StoreKind::llama_cpp);
}

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const auto today = default_root(context);
  if (today->path != root.path && root.origin != "--root" && root.origin.find("LLAMA_CACHE") == std::string::npos) {
    return mlxbase::fail(Code::unsupported, "llama.cpp reads models by name from the hub cache (" + mlxbase::printable(today->path) +
                                                ") since spring 2026, and not from " + mlxbase::printable(root.path) + ": publish to hf-hub");
  }
  hf::HubPublication what;
  what.files = gguf_files(source);
  if (what.files.empty()) return mlxbase::fail(Code::unsupported, "llama.cpp loads GGUF, and this model is " + describe_formats(source));
  what.repo = TRY(hf::repo_for(source));
  what.needs_ref = true;
  if (!takes_id(what.repo)) {
    ModelSource nameless;
    nameless.name = source.name;
    nameless.tag = source.tag;
    what.repo = TRY(hf::repo_for(nameless));
    if (!takes_id(what.repo)) return mlxbase::fail(Code::invalid, "llama.cpp does not take the id " + mlxbase::printable(what.repo));
  }
  auto publication = TRY(hf::publish_to_hub(context, root, source, what));
  const std::string quant = quantisation_of_name(gguf_file_name(source, what.files.front()));
  if (quant.empty()) {
    publication.notes.emplace_back("its name tells no quantisation, so llama.cpp does not list it; it loads by path");
  } else {
    publication.visible_as += ":" + quant;
  }
  return publication;
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  for (const std::uint32_t e : of->entries) {
    const std::string_view relative = path::relative_to(listing.root.path, listing.entries[e].path);
    if (relative.contains('/') && hf::is_hub_top(relative.substr(0, relative.find('/')))) return hf::remove_from_hub(context, listing, model);
  }
  return remove_plain(context, listing, model, companions(context, listing, *of));
}

}  // namespace mlxcache::stores::llama_cpp
