#pragma once
// Shares new downloads soon after they finish, within a set cost, by the ordinary scan, plan and journal.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/os/folder_watch.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/dedup/plan.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/watch/budget.h"
#include "mlxcache/watch/state.h"

namespace mlxcache::watch {

struct Settings {
  dedup::MethodChoice method = dedup::MethodChoice::reflink;  // anything else only if the person named it
  bool merges_metadata = false;                               // --yes: hard links may change permissions, times or owner
  std::vector<catalog::StoreKind> stores;                     // only new files of these; empty: all
  std::vector<std::string> extra_roots;
  std::uint64_t min_size = 1'000'000;                         // smaller files are not worth waking up for
  std::int64_t quiet_ns = std::int64_t{30} * 1'000'000'000;
  std::optional<std::int64_t> since_ns;                       // how far back "new" reaches; empty: as the last watcher left it, at first a day
  std::optional<ReadLimit> max_read;
  bool only_on_power = false;
  bool once = false;
  bool dry_run = false;
};

/// Something a person may want to know. `name` and the fields are those of docs/formats/json.md, watch.
struct Event {
  std::string_view name;
  std::string text;  // one line, printable
  std::vector<std::pair<std::string_view, std::string>> words;
  std::vector<std::pair<std::string_view, std::uint64_t>> numbers;
};

/// What it works with. Everything outlives the run.
struct Machine {
  const stores::Context& context;  // its `cancel` ends the watch between two actions
  const std::string& home;         // MLXCACHE_HOME
  catalog::Catalog& catalog;
  mlxbase::Clock& clock;
  mlxbase::Progress& progress;
  const mlxbase::Cancel& cancel;
  mlxbase::os::FolderWatch& folders;
  std::size_t most_folders = 0;                          // that `folders` takes; 0: it says so itself
  std::function<std::optional<bool>()> on_battery;
  std::function<void(const Event&)> tell;
  std::function<void()> resting;                         // a look has ended: memory may go back
  std::string command;                                   // as typed, for the journal
  std::int64_t pid = 0;
};

struct Outcome {
  State state;
  std::vector<dedup::Action> actions;  // of the last look: done, or with dry_run planned
  bool cancelled = false;
};

/// Watches until cancelled, or looks once. Errors: busy (another watcher), permission, io (our own home), and with `once` what a look can meet.
/// Otherwise a look that fails is told of and tried again.
mlxbase::Result<Outcome> run(const Machine& machine, const Settings& settings);

}  // namespace mlxcache::watch
