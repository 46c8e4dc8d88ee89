#pragma once
// Trees where one weight file is one model, named by its path below the root without ending, with companions of the same stem beside it; folders
// with a model's own index (diffusers, transformers) are one model. ComfyUI, AUTOMATIC1111 and others keep such trees.
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "mlxcache/stores/common.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::stores {

/// Endings that image tools take as models (any case), ONNX and GGUF included, as custom nodes read them.
bool is_image_weight(std::string_view file_name);

struct FileTree {
  bool (*is_weight)(std::string_view file_name) = &is_image_weight;
  /// What is claimed of a weight file; asked for regular files only. May be empty.
  std::function<std::optional<mlxbase::Digest>(const Found& weight)> claim;
  /// Folder that model names are relative to; the root if empty.
  std::string named_from;
  /// Which folders to go into; all if empty.
  std::function<bool(const std::string& dir)> enter;
};

/// Environments, caches of interpreters and version control, which a checkout of a tool holds in tens of thousands of files.
bool is_code_folder(std::string_view name);

/// Walks the root and fills the listing: weights and folder models as payloads, the rest as metadata. A link to a weight file is part of a
/// model, too; a link to a folder stays a link and is not followed.
Listing list_file_tree(const Context& context, const Root& root, const FileTree& tree);

/// Folders directly below `root` that are symlinks to folders: the walk does not enter them, so they are roots of their own.
std::vector<std::string> linked_folders(const Context& context, const std::string& root);

}  // namespace mlxcache::stores
