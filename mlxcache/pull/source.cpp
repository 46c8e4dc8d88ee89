#include "mlxcache/pull/source.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using stores::ModelSource;
using stores::SourceFile;

/// Letters, digits, "_", ".", "-", at most 96; what is not becomes "-".
std::string plain_name(std::string_view text) {
  constexpr std::size_t kLongest = 96;
  std::string out;
  for (const char c : text.substr(0, kLongest)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    out += plain ? c : '-';
  }
  const auto first = out.find_first_not_of("-.");
  return first == std::string::npos ? "model" : out.substr(first);
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view ending) { return name.ends_with(ending); });
}

std::string format_of(const std::vector<SourceFile>& files) {
  const auto any = [&](std::initializer_list<std::string_view> endings) {
    return std::any_of(files.begin(), files.end(), [&](const SourceFile& file) { return ends_with_any(file.name, endings); });
  };
  if (any({".gguf"})) return "gguf";
  if (any({".safetensors"})) return "safetensors";
  if (any({".onnx"})) return "onnx";
  if (any({".bin", ".pt", ".pth"})) return "pytorch";
  return {};
}

void identify(ModelSource& out, const Plan& plan) {
  const fetch::Id& id = plan.resolved.id;
  out.tag = "latest";
  out.revision = "main";
  if (const auto* hub = std::get_if<fetch::HubId>(&id)) {
    out.id = hub->repo;
    out.name = plain_name(path::file_name(hub->repo));
    out.commit = plan.resolved.commit;
    out.revision = hub->revision;
    out.complete_listing = plan.resolved.complete_listing;
    out.hub_listing = plan.resolved.listing_json;
  } else if (const auto* name = std::get_if<fetch::OllamaId>(&id)) {
    const std::string repo = name->space + "/" + name->model;
    if ((name->host == "hf.co" || name->host == "huggingface.co") && stores::hf::is_repo_id(repo)) out.id = repo;
    out.name = plain_name(name->model);
    out.tag = name->tag;
    out.complete_listing = true;
    out.registry_name = name->host + "/" + name->space + "/" + name->model + ":" + name->tag;
    out.registry_manifest = plan.resolved.manifest;
  } else {
    out.name = plain_name(path::stem(std::get<fetch::UrlId>(id).file));
    out.complete_listing = true;
  }
}

}  // namespace

ModelSource source_before_download(const Plan& plan) {
  ModelSource out;
  identify(out, plan);
  for (const PlannedFile& planned : plan.files) {
    const fetch::RemoteFile& remote = planned.remote;
    SourceFile file;
    file.name = remote.path;
    file.size = remote.size;
    if (remote.sha256) file.sha256 = *remote.sha256;
    file.git_sha1 = remote.git_sha1;
    file.xet = remote.xet;
    file.lfs = remote.lfs;
    const auto& digest = remote.sha256 ? remote.sha256 : remote.git_sha1;
    file.path = path::join(plan.downloads_folder, digest ? digest->hex() : std::string("file"));
    out.files.push_back(std::move(file));
  }
  out.format = format_of(out.files);
  return out;
}

ModelSource source_for_others(const ModelSource& source, const fetch::Resolved& resolved) {
  if (source.registry_manifest.empty()) return source;
  ModelSource out = source;
  out.registry_name.clear();
  out.registry_manifest.clear();
  out.complete_listing = false;
  out.files.clear();
  const std::string stem = source.tag == "latest" ? source.name : source.name + "-" + plain_name(source.tag);
  for (std::size_t i = 0; i < source.files.size() && i < resolved.files.size(); ++i) {
    const std::string& type = resolved.files[i].media_type;
    const bool projector = type == "projector";
    if (type != "model" && !projector) continue;
    out.files.push_back(source.files[i]);
    out.files.back().name = (projector ? "mmproj-" : "") + stem + ".gguf";
  }
  out.format = out.files.empty() ? "" : "gguf";
  return out;
}

}  // namespace mlxcache::pull
