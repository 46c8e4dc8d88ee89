#pragma once
// What MLXCache knows of one tool: a row of kAdapters and one file with the functions the row names.
// Facts: docs/design/stores.md. One conformance suite (adapter_conformance_test.cpp) runs against every row.
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/store.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::stores {

using catalog::Entry;
using catalog::Links;
using catalog::Listing;
using catalog::Role;
using catalog::Root;
using catalog::StoreKind;

struct Context {
  mlxbase::os::FileSystem& fs;
  const mlxbase::os::Environment& environment;
  const mlxbase::Cancel* cancel = nullptr;
};

/// What must be held, non-blocking, while a name is replaced: flock files, with the mode the tool makes them with.
struct LockFile {
  std::string path;
  std::uint32_t mode = 0644;
};

struct Adapter {
  StoreKind kind;
  std::string_view name;    // in JSON and --store: "hf-hub", "ollama"
  std::string_view title;   // for people: "Hugging Face hub cache"
  Links links;              // §1.1 "safe links": the most any entry may allow
  bool writes_in_place;     // the tool opens finished weight files for writing
  bool keeps_mtime;         // the tool has an mtime rule: after a replacement the old mtime must be back
  std::string_view caution; // one sentence for `doctor`: what makes a method unsafe here; may be empty

  /// Folders of this tool on this machine, as the tool itself finds them (variables, config files, defaults), existing
  /// ones only, without duplicates, in the tool's order. Unreadable config files are left out, never an error.
  std::vector<Root> (*discover)(const Context&);
  /// Everything below the root. Never follows a symlink out of the root, never opens a FIFO or device, reads only small
  /// metadata files (never payloads), survives any bytes in them; what it could not read is in Listing::problems.
  Listing (*list)(const Context&, const Root&);
  /// A fresh name for a temporary twin of `target`, on the same volume, of a form the tool ignores or cleans (§1.2 rule 6),
  /// unique by `token` (16 hex digits). Its parent folder may have to be made (and is removed again when empty).
  std::string (*staging)(const Root&, const std::string& target, std::string_view token);
  /// Locks to hold while `entry` (of which only path and stat are sure) is replaced; often none. Their folders may have to be made.
  std::vector<LockFile> (*locks)(const Root&, const Entry& entry);
  /// Where the tool would put a new model today, whether the folder is there or not: the root for publications, made if it is missing. Null: only
  /// roots that discover() found or the person names.
  std::optional<Root> (*default_root)(const Context&) = nullptr;
  /// See publication.h. Null: this tool cannot be given a model.
  PublishFunction publish = nullptr;
  /// See publication.h. Null: models of this kind are not removed by us (chunk caches).
  RemoveFunction remove = nullptr;
  bool must_own_files = false;  // the tool sets times or modes of its files, which only their owner may: no hard link to another user's file
};

/// The table, in the order of StoreKind.
std::span<const Adapter> adapters();
const Adapter& adapter_of(StoreKind kind);
const Adapter* find_adapter(std::string_view name);

/// Roots of all tools that exist here, each folder once (by device and inode; the first kind of the table keeps it), then
/// `extra` folders as StoreKind::loose unless they are already a root or lie below one. A missing extra root is not left out: list it and
/// its problem says so.
std::vector<Root> discover_all(const Context& context, std::span<const std::string> extra_roots);

/// A folder that holds a store's layout (blobs + manifests, models--*, …) is given its true kind; all others are loose.
StoreKind recognise(mlxbase::os::FileSystem& fs, const std::string& folder);

/// The row's list(), less what lies below another of `roots` inside this one (a hub cache in a folder of ComfyUI belongs to the
/// hub's listing alone): so no name is in two listings.
Listing list_store(const Context& context, const Root& root, std::span<const Root> roots);

}  // namespace mlxcache::stores
