#pragma once
// Models that leave one after the other, as changes: each is asked of the state that those before it leave.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mlxcache/keep/freed.h"
#include "mlxcache/keep/keep.h"
#include "mlxcache/keep/planned_view.h"

namespace mlxcache::keep {

class Removals {
 public:
  Removals(const stores::Context& context, const catalog::Inventory& inventory, const std::vector<std::string>& pins);

  /// Adds the model's removal to the plan, or the reason against it. False: refused.
  bool add(Named named);
  /// A single name (an orphan, a partial, a broken link). Nothing if it is in use: then it is refused.
  void add_name(std::uint32_t store, const catalog::Entry& entry, std::string_view what);
  void refuse(std::string what, std::string reason) { plan_.refused.push_back({std::move(what), std::move(reason)}); }
  /// Fills what is only known at the end: who still has blocks of what leaves.
  Plan finish(bool whole);

  std::uint64_t freed() const { return plan_.freed_bytes; }

 private:
  const catalog::Listing& listing_now(std::uint32_t store);
  std::optional<std::string> why_not(Named named, const catalog::Listing& listing, const catalog::Model& model) const;
  std::uint64_t add_change(const catalog::Root& root, const std::string& path);
  void add_rewrite(const catalog::Root& root, const stores::NewName& name);

  const stores::Context& context_;
  const catalog::Inventory& inventory_;
  const std::vector<std::string>& pins_;
  Freed freed_;
  PlannedView view_;
  stores::Context view_context_;
  std::map<std::uint32_t, catalog::Listing> relisted_;       // stores that something leaves
  std::map<std::string, std::size_t> rewrites_;              // path → index into plan_.changes
  std::vector<std::vector<std::string>> names_;              // beside plan_.leaving
  Plan plan_;
};

/// Who has it open, for people: "a program has it open (llama-server, 4711)"; nothing if nobody does.
std::optional<std::string> in_use(const std::string& path, const mlxbase::os::FileStat& stat);

}  // namespace mlxcache::keep
