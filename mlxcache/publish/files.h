#pragma once
// A model's files as its maker named them, whatever the store calls them on its disk.
#include <optional>
#include <string>
#include <vector>

#include "mlxcache/catalog/inventory.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::publish {

/// One file of a model: the name it goes by, and the entry that has the bytes.
struct NamedFile {
  std::string name;                // a valid relative path; empty where the store knows only a digest
  const catalog::Entry* entry = nullptr;
  std::string path;                // of a regular file, no symlink
  mlxbase::os::FileStat stat;
};

/// Each inode once, by name. Links of the store's own layout (snapshots/…/x → blobs/…) give the name, what they lead to the bytes.
/// Errors: changed (a link leads elsewhere by now), io.
mlxbase::Result<std::vector<NamedFile>> files_of(const stores::Context& context, const catalog::Listing& listing, const catalog::Model& model);

/// "sha256-3fa9…", "3fa9…": a name that says nothing but a digest.
bool is_digest_name(std::string_view file_name);

/// What a name says of a GGUF's quantisation: "Q4_K_M" of "x-1B-Q4_K_M.gguf" and of "x.Q4_K_M-00001-of-00002.gguf"; empty if it says nothing.
std::string quant_of(std::string_view file_name);

}  // namespace mlxcache::publish
