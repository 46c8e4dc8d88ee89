#include "mlxcache/stores/walk.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/names.h"

namespace mlxcache::stores {
namespace {

using mlxbase::os::FileKind;
using mlxbase::os::Follow;

struct Walker {
  mlxbase::os::FileSystem& fs;
  std::vector<catalog::Problem>& problems;
  const WalkOptions& options;
  std::vector<Found> found;

  void folder(const std::string& dir, int depth) {
    if (options.cancel != nullptr && options.cancel->requested()) return;
    if (depth > options.max_depth) {
      problems.push_back({dir, {mlxbase::Code::corrupt, "folders nested too deeply; not looked into", 0}});
      return;
    }
    auto names = fs.list_with_stats(dir);
    if (!names) {
      problems.push_back({dir, names.error()});
      return;
    }
    std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (const auto& entry : *names) {
      std::string path = mlxbase::path::join(dir, entry.name);
      // Our trash and what a killed probe of the volume left: in no store's listing.
      if (entry.name.starts_with(".mlxcache-trash") || entry.name.starts_with(".mlxcache-probe-")) continue;
      // A listed folder need not be asked again: on a cold disk each lstat may cost a seek.
      if (entry.kind == FileKind::directory) {
        if (!options.enter || options.enter(path)) folder(path, depth + 1);
        continue;
      }
      one(std::move(path), depth, entry.stat);
    }
  }

  void one(std::string path, int depth, const std::optional<mlxbase::os::FileStat>& known) {
    auto stat = known ? mlxbase::Result<mlxbase::os::FileStat>(*known) : fs.stat(path, Follow::no);
    if (!stat) {
      // Gone between list and stat: a tool at work, not a problem.
      if (stat.error().code != mlxbase::Code::not_found) problems.push_back({std::move(path), stat.error()});
      return;
    }
    if (stat->kind == FileKind::directory) {  // the file system did not tell kinds
      if (!options.enter || options.enter(path)) folder(path, depth + 1);
      return;
    }
    Found f;
    f.stat = *stat;
    if (stat->kind == FileKind::symlink) {
      if (auto text = fs.read_link(path)) {
        f.link_target = std::move(*text);
      } else {
        problems.push_back({path, text.error()});
      }
      if (auto target = fs.stat(path, Follow::yes)) {
        f.link_resolves = true;
        f.target_kind = target->kind;
      }
    }
    f.path = std::move(path);
    found.push_back(std::move(f));
  }
};

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [name](std::string_view e) { return name.ends_with(e); });
}

unsigned number(std::string_view digits) {
  unsigned value = 0;
  for (char c : digits) value = value * 10 + static_cast<unsigned>(c - '0');
  return value;
}

struct Split {
  std::string set;  // everything but the part's number: equal for all parts
  unsigned part = 0;
  unsigned count = 0;
};

// ^(.+)-(\d{5})-of-(\d{5})(\.[a-z]+)$ of §16.3 and §16.4
bool parse_split(std::string_view name, Split& out) {
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  const std::string_view ending = mlxbase::path::extension(name);
  std::string_view base = name.substr(0, name.size() - ending.size());
  if (base.size() < 1 + 1 + kDigits + kOf.size() + kDigits) return false;
  const std::string_view count = base.substr(base.size() - kDigits);
  base.remove_suffix(kDigits);
  if (!base.ends_with(kOf)) return false;
  base.remove_suffix(kOf.size());
  const std::string_view part = base.substr(base.size() - kDigits);
  base.remove_suffix(kDigits);
  if (!base.ends_with('-') || base.size() < 2 || !all_digits(count) || !all_digits(part)) return false;
  out.set = std::string(base) + std::string(count) + std::string(ending);
  out.part = number(part);
  out.count = number(count);
  return true;
}

}  // namespace

std::vector<Found> walk(mlxbase::os::FileSystem& fs, const std::string& root, std::vector<catalog::Problem>& problems,
                        const WalkOptions& options) {
  Walker walker{fs, problems, options, {}};
  const auto stat = fs.stat(root, Follow::yes);
  if (!stat) {
    problems.push_back({root, stat.error()});
  } else if (stat->kind != FileKind::directory) {
    problems.push_back({root, {mlxbase::Code::invalid, "not a folder", 0}});
  } else {
    walker.folder(root, 0);
  }
  return std::move(walker.found);
}

catalog::Entry entry_of(const Found& found, catalog::Links links) { return entry_of(Found(found), links); }

catalog::Entry entry_of(Found&& found, catalog::Links links) {
  catalog::Entry entry;
  entry.path = std::move(found.path);
  entry.stat = found.stat;
  entry.link_target = std::move(found.link_target);
  switch (found.stat.kind) {
    case FileKind::regular:
      entry.role = catalog::Role::payload;
      entry.links = links;
      break;
    case FileKind::symlink:
      entry.role = found.link_resolves ? catalog::Role::link : catalog::Role::broken;
      break;
    default:
      entry.role = catalog::Role::foreign;
  }
  return entry;
}

bool has_missing_split(const std::vector<std::string_view>& file_names) {
  std::map<std::string, std::pair<unsigned, std::set<unsigned>>> sets;
  for (const std::string_view path : file_names) {
    Split split;
    const std::string_view name = mlxbase::path::file_name(path);
    if (!parse_split(name, split)) continue;
    if (split.part == 0 || split.part > split.count) continue;  // not a split's numbering
    auto& set = sets[std::string(mlxbase::path::parent(path)) + "/" + split.set];
    set.first = split.count;
    set.second.insert(split.part);
  }
  return std::any_of(sets.begin(), sets.end(), [](const auto& s) { return s.second.second.size() != s.second.first; });
}

bool is_split_part(std::string_view file_name) {
  Split split;
  return parse_split(mlxbase::path::file_name(file_name), split);
}

std::string_view format_of(std::string_view file_name) {
  static constexpr std::pair<std::string_view, std::string_view> kEndings[] = {
      {".safetensors", "safetensors"},
      {".gguf", "gguf"},
      {".onnx", "onnx"},
      {".onnx_data", "onnx"},
      {".onnx.data", "onnx"},
      {".ort", "onnx"},
      {".pt", "pytorch"},
      {".pth", "pytorch"},
      {".ckpt", "pytorch"},
      {".bin", "pytorch"},
      {".npz", "npz"},
      {".npy", "npz"},
      {".h5", "keras"},
      {".keras", "keras"},
      {".hdf5", "keras"},
      {".mlmodelc", "coreml"},
      {".mlpackage", "coreml"},
      {".mlmodel", "coreml"},
      {".tflite", "tflite"},
      {".pb", "tensorflow"},
      {".msgpack", "flax"},
      {".llamafile", "gguf"},
      {".task", "tflite"},
      {".litertlm", "tflite"},
      {".sft", "safetensors"},
      {".ggml", "ggml"},
      {".nemo", "nemo"},
      {".engine", "tensorrt"},
  };
  const std::string name = lower(mlxbase::path::file_name(file_name));
  if (name.starts_with("ggml-") && name.ends_with(".bin")) return "ggml";  // whisper.cpp
  for (const auto& [ending, format] : kEndings) {
    if (name.ends_with(ending)) return format;
  }
  return {};
}

bool is_partial_name(std::string_view file_name) {
  const std::string_view name = mlxbase::path::file_name(file_name);
  return ends_with_any(name, {".incomplete", ".part", ".partial", ".downloading", ".downloadInProgress", ".tmp", ".sync.part",
                              ".parallel_tmp", ".crdownload", ".download", ".aria2"}) ||
         name.starts_with("downloading_") || name.starts_with("incomplete-") || name.starts_with("tmpinstall_") || name == "._____temp" ||
         name.contains("-partial");
}

bool is_weights(std::string_view file_name) { return !format_of(file_name).empty() || is_onnx(file_name); }

bool is_onnx(std::string_view file_name) {
  const std::string name = lower(mlxbase::path::file_name(file_name));
  // Exporters name external data after the model: model.onnx_data, model.onnx_data_1, model.onnx.data.
  return name.ends_with(".onnx") || name.contains(".onnx_data") || name.contains(".onnx.data") || name.ends_with(".ort");
}

}  // namespace mlxcache::stores
