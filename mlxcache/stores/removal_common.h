#pragma once
// What several adapters do alike when a model goes: nothing is taken that another model needs, nothing while a tool works on it, and no empty
// folder stays behind.
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::stores {

/// Collects what goes. Everything is absolute.
class RemovalBuilder {
 public:
  RemovalBuilder(const Context& context, const Listing& listing, std::uint32_t model);

  /// Whether a model other than ours, or a symlink of the store that stays, needs the entry; then it is noted as kept.
  bool needed_elsewhere(std::uint32_t entry);
  /// Takes the entry out: unless it is needed elsewhere, foreign, or one of our own temporary names. A partial that is being written is `busy`.
  mlxbase::Status take(std::uint32_t entry);
  /// The same for a name of the store that no entry has or that others may not claim.
  void take_name(const std::string& path);
  void rewrite(NewName name) { out_.rewritten.push_back(std::move(name)); }
  void keep(const std::string& path, std::string_view reason);
  /// Entries of the listing below (or at) a folder.
  std::vector<std::uint32_t> below(const std::string& folder) const;
  bool taken(const std::string& path) const { return names_.contains(path); }

  /// Adds the folders that become empty, up to the root (which stays). Below `whole`, folders that are empty already go, too.
  Removal finish(std::string_view whole = {});

 private:
  const Context& context_;
  const Listing& listing_;
  std::uint32_t model_;
  std::string real_root_;
  std::vector<std::int64_t> other_;                              // entry → another model that has it, or -1
  std::vector<std::pair<std::string, std::uint32_t>> targets_;   // what symlinks lead to, sorted; and the link
  std::set<std::string, std::less<>> names_;
  Removal out_;
};

/// For stores of plain files: the model's entries and `companions`; small files first, since they are what tools look for, then links and weights.
mlxbase::Result<Removal> remove_plain(const Context& context, const Listing& listing, std::uint32_t model, const std::vector<std::uint32_t>& companions = {},
                                      std::string_view whole = {});

/// Entries at or below a folder that are no other model's.
std::vector<std::uint32_t> entries_below(const Listing& listing, const std::string& folder, std::uint32_t model);

/// `busy` if the file shows that a tool works on it: open for writing, or written to within the last ten minutes.
mlxbase::Status refuse_if_written(const Context& context, const Entry& partial);
/// `busy` if the lock file is there and somebody holds it. Makes none.
mlxbase::Status refuse_if_locked(const Context& context, const LockFile& lock);

/// `invalid` unless the listing has such a model.
mlxbase::Result<const catalog::Model*> model_of(const Listing& listing, std::uint32_t model);

}  // namespace mlxcache::stores
