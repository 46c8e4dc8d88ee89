#pragma once
// The one directory walk that every adapter uses: bounded, never leaving the root, never following links.
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::stores {

/// One name found by a walk.
struct Found {
  std::string path;               // absolute
  mlxbase::os::FileStat stat;     // lstat
  catalog::RareText link_target;  // text, if a symlink
  bool link_resolves = false;     // if a symlink: its target exists
  mlxbase::os::FileKind target_kind = mlxbase::os::FileKind::unknown;  // if it resolves: what it leads to
};
/// Taken from its front it gives its memory back bit by bit: while a store's names become entries, neither is held twice.
using Finds = std::deque<Found>;

struct WalkOptions {
  int max_depth = 64;
  /// Whether to go into this folder (given by absolute path); all if empty. May be asked by several threads at once.
  std::function<bool(const std::string& dir)> enter;
  const mlxbase::Cancel* cancel = nullptr;
};

/// Every name below `root` (folders themselves left out), folders in sorted order, so that runs are alike.
/// `root` itself may be a symlink; nothing below is followed. A folder that cannot be read becomes a problem.
Finds walk(mlxbase::os::FileSystem& fs, const std::string& root, std::vector<catalog::Problem>& problems,
                        const WalkOptions& options = {});

/// An Entry from a walk's find: role payload for regular files, link or broken for symlinks, foreign for the rest.
catalog::Entry entry_of(const Found& found, catalog::Links links);
catalog::Entry entry_of(Found&& found, catalog::Links links);

/// "model-00001-of-00003.safetensors" style sets: true if the given names hold a split of which a part is missing.
bool has_missing_split(const std::vector<std::string_view>& file_names);
/// Whether the name is one part of such a set.
bool is_split_part(std::string_view file_name);
/// "safetensors", "gguf", "onnx", "pytorch", "keras", "coreml", … by the file name's ending; empty for others.
std::string_view format_of(std::string_view file_name);
/// Names that every tool uses for downloads in progress (§1.2 rule 12).
bool is_partial_name(std::string_view file_name);
/// Whether the file holds weights by its ending (or is an unnamed piece of such a set): what is worth calling payload in a folder of mixed files.
bool is_weights(std::string_view file_name);
/// Whether the file is an .onnx model or its external data: loaders refuse links there (§17.5).
bool is_onnx(std::string_view file_name);

}  // namespace mlxcache::stores
