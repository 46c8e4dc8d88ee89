#include "mlxcache/stores/walk.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/path.h"
#include "mlxcache/stores/names.h"

namespace mlxcache::stores {
namespace {

using mlxbase::os::FileKind;
using mlxbase::os::Follow;

// Folders below one from which on other threads may take some of them: fewer are not worth the ado.
constexpr std::size_t kWorthSharing = 4;

struct Walker {
  mlxbase::os::FileSystem& fs;
  std::vector<catalog::Problem>& problems;
  const WalkOptions& options;
  Finds found;

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
    // Our trash and what a killed probe of the volume left: in no store's listing.
    std::erase_if(*names, [](const auto& e) { return e.name.starts_with(".mlxcache-trash") || e.name.starts_with(".mlxcache-probe-"); });
    std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    auto branches = walked_by_all(dir, *names, depth);
    auto branch = branches.begin();
    for (const auto& entry : *names) {
      // A listed folder need not be asked again: on a cold disk each lstat may cost a seek.
      if (entry.kind != FileKind::directory) {
        one(mlxbase::path::join(dir, entry.name), depth, entry.stat);
      } else if (branches.empty()) {
        std::string path = mlxbase::path::join(dir, entry.name);
        if (!options.enter || options.enter(path)) folder(path, depth + 1);
      } else {
        for (; !branch->found.empty(); branch->found.pop_front()) found.push_back(std::move(branch->found.front()));
        std::move(branch->problems.begin(), branch->problems.end(), std::back_inserter(problems));
        *branch++ = {};
      }
    }
  }

  /// What lies below one folder, until it is put in its place among its siblings.
  struct Branch {
    Finds found;
    std::vector<catalog::Problem> problems;
  };

  /// A branch for each folder among the names, in their order; none at all where they are too few, and are walked one after the other.
  std::vector<Branch> walked_by_all(const std::string& dir, const std::vector<mlxbase::os::DirEntry>& names, int depth) {
    std::vector<const std::string*> folders;
    for (const auto& entry : names) {
      if (entry.kind == FileKind::directory) folders.push_back(&entry.name);
    }
    if (folders.size() < kWorthSharing) return {};
    std::vector<Branch> branches(folders.size());
    mlxbase::shared_for(folders.size(), [&](std::size_t i) {
      const std::string path = mlxbase::path::join(dir, *folders[i]);
      if (options.enter && !options.enter(path)) return;
      Walker walker{fs, branches[i].problems, options, {}};
      walker.folder(path, depth + 1);
      branches[i].found = std::move(walker.found);
    });
    return branches;
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
        f.link_target = *text;
      } else {
        problems.push_back({path, text.error()});
      }
    }
    f.path = std::move(path);
    found.push_back(std::move(f));
  }
};

/// The regular files that a walk found, by path: most links of a store lead to one of them, and then the disk need not be asked.
class Files {
 public:
  explicit Files(const Finds& found) : found_(found), slots_(std::bit_ceil(found.size() * 2 + 2), kNone) {
    for (std::uint32_t i = 0; i < found.size(); ++i) {
      if (found[i].stat.kind == FileKind::regular) slots_[slot(found[i].path)] = i;
    }
  }
  bool contains(std::string_view path) const { return slots_[slot(path)] != kNone; }

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
  std::size_t slot(std::string_view path) const {
    std::size_t at = std::hash<std::string_view>{}(path) & (slots_.size() - 1);
    while (slots_[at] != kNone && found_[slots_[at]].path != path) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  const Finds& found_;
  std::vector<std::uint32_t> slots_;
};

/// Where a link in `folder` leads, if that can be told from its text for sure: "..", as often as the walk came down from its root (the walk went
/// through no link), and then names. Empty if it cannot.
std::string plain_target(std::string_view root, std::string_view folder, std::string_view text) {
  if (mlxbase::path::is_absolute(text)) return std::string(text);  // helps only if it is a path of the walk, letter for letter
  while (text.starts_with("../")) {
    if (folder.size() <= root.size()) return {};
    folder = mlxbase::path::parent(folder);
    text.remove_prefix(3);
  }
  for (std::string_view rest = text; ;) {
    const auto slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return {};
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  return mlxbase::path::join(folder, text);
}

void resolve_links(mlxbase::os::FileSystem& fs, const std::string& root, Finds& found) {
  if (std::none_of(found.begin(), found.end(), [](const Found& f) { return f.stat.kind == FileKind::symlink; })) return;
  const Files files(found);
  for (Found& f : found) {
    if (f.stat.kind != FileKind::symlink) continue;
    if (files.contains(plain_target(root, mlxbase::path::parent(f.path), f.link_target))) {
      f.link_resolves = true;
      f.target_kind = FileKind::regular;
    } else if (const auto target = fs.stat(f.path, Follow::yes)) {
      f.link_resolves = true;
      f.target_kind = target->kind;
    }
  }
}

bool ends_with_folded(std::string_view name, std::string_view ending) {
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  if (name.size() < ending.size()) return false;
  name.remove_prefix(name.size() - ending.size());
  for (std::size_t i = ending.size(); i-- > 0;) {  // from the end, where they differ first
    if (low(name[i]) != ending[i]) return false;
  }
  return true;
}

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

Finds walk(mlxbase::os::FileSystem& fs, const std::string& root, std::vector<catalog::Problem>& problems, const WalkOptions& options) {
  Walker walker{fs, problems, options, {}};
  const auto stat = fs.stat(root, Follow::yes);
  if (!stat) {
    problems.push_back({root, stat.error()});
  } else if (stat->kind != FileKind::directory) {
    problems.push_back({root, {mlxbase::Code::invalid, "not a folder", 0}});
  } else {
    walker.folder(root, 0);
    resolve_links(fs, root, walker.found);
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
  const std::string_view name = mlxbase::path::file_name(file_name);
  for (const auto& [ending, format] : kEndings) {
    if (!ends_with_folded(name, ending)) continue;
    if (ending == ".bin" && lower(name.substr(0, 5)) == "ggml-") return "ggml";  // whisper.cpp
    return format;
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
  const std::string_view name = mlxbase::path::file_name(file_name);
  if (ends_with_folded(name, ".onnx") || ends_with_folded(name, ".ort")) return true;
  // Exporters name external data after the model: model.onnx_data, model.onnx_data_1, model.onnx.data.
  for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const std::string_view rest = name.substr(dot, std::string_view(".onnx_data").size());
    if (ends_with_folded(rest, ".onnx_data") || ends_with_folded(rest, ".onnx.data")) return true;
  }
  return false;
}

}  // namespace mlxcache::stores
