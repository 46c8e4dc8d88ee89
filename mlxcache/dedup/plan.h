#pragma once
// A change to somebody's disk is first a list of values. `dedup` prints this list; `dedup --apply` runs the very same one.
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::dedup {

enum class Method : std::uint8_t {
  dedupe,     // in place: extents shared after the kernel compared the bytes (FIDEDUPERANGE); inode stays
  clone,      // a clone of the source takes the name (clonefile, FICLONE); new inode, metadata of the old one
  hard_link,  // another name of the source's inode takes the name
  symlink,    // a symlink to the source takes the name
};
/// As in JSON and --method: dedupe and clone are both "reflink".
std::string_view to_string(Method method);

enum class MethodChoice : std::uint8_t { automatic, reflink, hard_link, symlink };

/// One name (or for `dedupe` one inode) that shall share the bytes of another.
struct Action {
  Method method{};
  std::string source;                 // keeps its bytes
  std::string target;                 // gets shared ones
  catalog::Root source_root;
  catalog::Root target_root;
  catalog::Fingerprint source_state;  // as scanned; anything else at apply time and the action is skipped
  catalog::Fingerprint target_state;
  std::optional<mlxbase::Digest> digest;  // the group's
  std::uint64_t size = 0;
  std::uint64_t bytes = 0;            // what it frees, exactly; 0 for the earlier names of one inode (the last name frees)
  std::vector<std::string> merges;    // what sharing an inode changes for the target: "mode 0644 → 0444", "mtime", "owner"
};

/// What was left alone, and why.
using change::Skipped;

struct Plan {
  std::vector<Action> actions;
  std::vector<Skipped> skipped;
  std::uint64_t bytes_freed = 0;  // sum over actions
  bool merges_metadata = false;   // some action is a hard link that merges mode, times, owner or attributes: ask first
};

struct PlanOptions {
  MethodChoice method = MethodChoice::automatic;
  std::vector<catalog::StoreKind> stores;  // only change names in these; empty: all
  std::vector<std::string> models;         // only change names of these model ids; empty: all
  std::optional<std::set<mlxbase::os::FileId>> only;  // only change these inodes
  std::uint64_t min_size = 4096;           // smaller files free no block worth a link
};

/// Volume facts are asked once a volume (probing where needed). Errors: invalid (no such model), io.
mlxbase::Result<Plan> make_plan(const stores::Context& context, const catalog::Inventory& inventory, const PlanOptions& options);

/// The plan without files whose metadata would merge.
Plan without_merges(const Plan& plan);

}  // namespace mlxcache::dedup
