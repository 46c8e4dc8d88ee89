#include <algorithm>
#include <string>
#include <string_view>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/path.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/walk.h"
#include "mlxcache/stores/whisper_digests.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::FileSystem;
using mlxbase::os::Follow;

bool is_folder(FileSystem& fs, const std::string& p) {
  const auto stat = fs.stat(p, Follow::yes);
  return stat && stat->kind == FileKind::directory;
}
bool is_file(FileSystem& fs, const std::string& p) {
  const auto stat = fs.stat(p, Follow::yes);
  return stat && stat->kind == FileKind::regular;
}

/// A folder's names, asked once and searched by many marks.
struct Folder {
  FileSystem& fs;
  const std::string& path;
  std::vector<mlxbase::os::DirEntry> names;

  bool has(std::string_view name) const {
    return std::any_of(names.begin(), names.end(), [&](const auto& e) { return e.name == name; });
  }
  bool has_folder(std::string_view name) const { return has(name) && is_folder(fs, path::join(path, name)); }
  bool has_file(std::string_view name) const { return has(name) && is_file(fs, path::join(path, name)); }
  template <class Matches>
  const std::string* find(Matches matches) const {
    const auto it = std::find_if(names.begin(), names.end(), [&](const auto& e) { return matches(std::string_view(e.name)); });
    return it == names.end() ? nullptr : &it->name;
  }
};

bool holds_hub_repo(const Folder& f) {
  for (const auto& e : f.names) {
    const std::string_view name = e.name;
    const auto cut = name.find("--");
    if (cut == std::string_view::npos) continue;
    const std::string_view type = name.substr(0, cut);
    if (type != "models" && type != "datasets" && type != "spaces" && type != "kernels") continue;
    const std::string repo = path::join(f.path, name);
    if (is_folder(f.fs, path::join(repo, "snapshots")) || is_folder(f.fs, path::join(repo, "blobs"))) return true;
  }
  return false;
}

/// Names like "sha256-<64 hex>" in `blobs`.
bool holds_ollama_blobs(FileSystem& fs, const std::string& blobs) {
  const auto names = fs.list(blobs);
  if (!names) return false;
  constexpr std::string_view kPrefix = "sha256-";
  return names->empty() || std::any_of(names->begin(), names->end(), [&](const auto& e) {
           return e.name.starts_with(kPrefix) &&
                  mlxbase::Digest::parse(mlxbase::Algorithm::sha256, std::string_view(e.name).substr(kPrefix.size()));
         });
}

bool is_ollama(const Folder& f) {
  return f.has_folder("manifests") && f.has_folder("blobs") && !f.has("layout.json") &&
         holds_ollama_blobs(f.fs, path::join(f.path, "blobs"));
}

bool is_docker(const Folder& f) { return f.has_file("models.json") && is_folder(f.fs, path::join(f.path, "blobs", "sha256")); }

bool is_ramalama(const Folder& f) {
  if (!f.has_folder("store")) return false;
  const std::string store = path::join(f.path, "store");
  for (const std::string_view transport : {"ollama", "huggingface", "modelscope", "file", "url"}) {
    if (is_folder(f.fs, path::join(store, transport))) return true;
  }
  return false;
}

bool is_local_dir(const Folder& f) {
  if (!f.has_folder(".cache")) return false;
  const std::string mark = path::join(f.path, ".cache", "huggingface");
  return is_folder(f.fs, path::join(mark, "download")) || is_folder(f.fs, path::join(mark, "trees"));
}

bool is_xet(const Folder& f) {
  return f.find([&](std::string_view name) {
    if (!name.starts_with("https___") && !name.starts_with("http___")) return false;
    const std::string endpoint = path::join(f.path, name);
    return is_folder(f.fs, path::join(endpoint, "shard-cache")) || is_folder(f.fs, path::join(endpoint, "chunk-cache")) ||
           is_folder(f.fs, path::join(endpoint, "chunk_cache")) || is_folder(f.fs, path::join(endpoint, "staging"));
  }) != nullptr;
}

bool is_llama_cpp_flat(const Folder& f) {
  return f.find([](std::string_view name) {
    return (name.starts_with("manifest=") && name.ends_with(".json")) || name.ends_with(".gguf.etag");
  }) != nullptr;
}

bool is_modelscope_models(FileSystem& fs, const std::string& models) {
  const auto owners = fs.list(models);
  if (!owners) return false;
  for (const auto& e : *owners) {
    const std::string folder = path::join(models, e.name);
    if (e.name.starts_with("models--")) return false;  // a hub cache in a folder called "models"
    if (e.name.find("--") != std::string::npos && is_folder(fs, path::join(folder, "snapshots"))) return true;
    if (e.kind != FileKind::directory) continue;
    const auto names = fs.list(folder);  // legacy: <owner>/<name>/.msc
    if (!names) continue;
    for (const auto& n : *names) {
      if (is_file(fs, path::join(folder, n.name, ".msc")) || is_file(fs, path::join(folder, n.name, ".mdl"))) return true;
    }
  }
  return false;
}

bool is_modelscope(const Folder& f) {
  return (f.has_folder("models") && is_modelscope_models(f.fs, path::join(f.path, "models"))) ||
         (f.has_folder("hub") && is_folder(f.fs, path::join(f.path, "hub", "models")) &&
          is_modelscope_models(f.fs, path::join(f.path, "hub", "models")));
}

bool is_invokeai(const Folder& f) { return f.has_folder("models") && is_file(f.fs, path::join(f.path, "databases", "invokeai.db")); }

bool is_comfyui(const Folder& f) {
  return (f.has_file("folder_paths.py") && f.has_folder("models")) ||
         (f.has_folder("checkpoints") && f.has_folder("loras") && f.has_folder("vae"));
}

bool is_automatic1111(const Folder& f) {
  return (f.has_file("webui.py") && f.has_folder("models")) || f.has_folder("Stable-diffusion") ||
         (f.has_folder("models") && is_folder(f.fs, path::join(f.path, "models", "Stable-diffusion")));
}

bool is_draw_things(const Folder& f) {
  return f.find([](std::string_view name) { return name.ends_with(".ckpt-tensordata"); }) != nullptr;
}

/// Whether models of one kind are all that a folder holds: among others they are just files, and the whole stays loose.
template <class Matches>
bool holds_only(const Folder& f, Matches matches) {
  bool any = false;
  for (const auto& e : f.names) {
    const std::string_view name = e.name;
    if (matches(name)) {
      any = true;
    } else if ((!format_of(name).empty() && !name.ends_with(".mlmodelc")) ||
               (e.kind == FileKind::directory && !name.ends_with(".mlmodelc"))) {
      return false;
    }
  }
  return any;
}

bool is_openai_whisper(const Folder& f) {
  return holds_only(f, [](std::string_view name) { return openai_whisper_digest(name).has_value(); });
}

bool is_whisper_cpp(const Folder& f) {
  return holds_only(f, [](std::string_view name) { return name.starts_with("ggml-") && name.ends_with(".bin"); });
}

bool is_torch_hub(const Folder& f) { return f.has_folder("checkpoints") && f.has_file("trusted_list"); }

bool is_tf_hub(const Folder& f) {
  constexpr std::string_view kDescriptor = ".descriptor.txt";
  return f.find([&](std::string_view name) {
    return name.ends_with(kDescriptor) &&
           mlxbase::Digest::parse(mlxbase::Algorithm::sha1, name.substr(0, name.size() - kDescriptor.size()));
  }) != nullptr;
}

/// One way to know a store by what lies in it. Only marks that no other tool leaves: a folder of .gguf files stays loose.
struct Mark {
  StoreKind kind;
  bool (*matches)(const Folder&);
};
constexpr Mark kMarks[] = {
    {StoreKind::hf_hub,
     [](const Folder& f) { return holds_hub_repo(f) || is_file(f.fs, path::join(f.path, "blobs", ".huggingface-shared-blobs")); }},
    {StoreKind::docker_model_runner, &is_docker},
    {StoreKind::ollama, &is_ollama},
    {StoreKind::ramalama, &is_ramalama},
    {StoreKind::hf_local_dir, &is_local_dir},
    {StoreKind::hf_xet, &is_xet},
    {StoreKind::llama_cpp, &is_llama_cpp_flat},
    {StoreKind::modelscope, &is_modelscope},
    {StoreKind::invokeai, &is_invokeai},
    {StoreKind::automatic1111, &is_automatic1111},
    {StoreKind::torch_hub, &is_torch_hub},
    {StoreKind::comfyui, &is_comfyui},
    {StoreKind::draw_things, &is_draw_things},
    {StoreKind::openai_whisper, &is_openai_whisper},
    {StoreKind::whisper_cpp, &is_whisper_cpp},
    {StoreKind::tf_hub, &is_tf_hub},
};

}  // namespace

StoreKind recognise(FileSystem& fs, const std::string& folder) {
  auto names = fs.list(folder);
  if (!names) return StoreKind::loose;
  const Folder f{fs, folder, std::move(*names)};
  for (const Mark& mark : kMarks) {
    if (mark.matches(f)) return mark.kind;
  }
  return StoreKind::loose;
}

}  // namespace mlxcache::stores
