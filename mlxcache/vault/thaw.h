#pragma once
// Frozen models as files again, placed through the journal: all of them or none.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxcache/change/change.h"
#include "mlxcache/vault/freeze.h"
#include "mlxcache/vault/frozen.h"

namespace mlxcache::vault {

struct Thawed {
  change::Done done;
  std::uint64_t files = 0;              // made anew
  std::uint64_t bytes = 0;
  std::vector<std::string> there;       // names that were there already, with the same bytes
  std::vector<change::Skipped> notes;   // made, but this could not be set (owner without root, …)
};

/// Where the names of a model come to lie: its root of before, or `to`. Below `to`, folders that all names share are left out.
struct Target {
  std::string root;   // absolute
  std::string strip;  // of the model's paths; "" or ending in '/'
  catalog::StoreKind kind = catalog::StoreKind::loose;
};
Target target_of(const FrozenModel& model, const std::string& to);
/// What `path` of the model is called there; empty: the root itself, or above it.
std::string place_of(const Target& target, const std::string& path);

/// Errors: changed (another file has one of the names: nothing was made), corrupt, out_of_space, busy, cancelled, io.
mlxbase::Result<Thawed> thaw(Vault& vault, const FrozenModel& model, const Target& target, const change::Machinery& machinery, unsigned workers);

}  // namespace mlxcache::vault
