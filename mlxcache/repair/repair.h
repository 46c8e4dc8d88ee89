#pragma once
// Mends damaged files: finds the damaged ranges (against an intact twin on this machine, else by what the catalog has kept of the bytes since they were
// first seen whole), makes a whole new inode of the good bytes and those of the twin or of upstream, confirms its digest, and puts it in the damaged one's
// place through the journal. Nothing else is touched, and undo brings the damaged file back.
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/fetch/download.h"
#include "mlxcache/repair/upstream.h"
#include "mlxcache/verify/verify.h"

namespace mlxcache::repair {

enum class State : std::uint8_t {
  mendable,   // an intact twin is here, or upstream has the bytes
  no_source,  // damaged, and nobody has the right bytes
  mended,
  failed,     // `reason`
};
std::string_view to_string(State state);

/// One name of a damaged file.
struct File {
  std::string path;
  catalog::Root root;
  std::string model;
  std::uint64_t size = 0;                   // of the damaged file
  mlxbase::Digest claimed;                  // what its bytes should be
  catalog::Fingerprint seen;
  std::vector<verify::Range> ranges;        // what is to be replaced; empty if only the whole can be
  std::string twin;
  std::optional<mlxbase::Chain> chain;      // by which fetched pieces are told good from bad
  std::string upstream;                     // whom they are fetched from, for people; empty with a twin
  fetch::Wanted wanted;                     // of upstream
  std::uint64_t fetch_bytes = 0;            // that the plan asks of upstream: the damaged pieces, or the whole file
  std::uint64_t fetched_bytes = 0;          // that came
  State state{};
  std::string reason;
  std::uint64_t damaged_bytes() const;
};

struct Plan {
  std::vector<File> files;
  std::uint64_t intact = 0;                 // files that were looked at and need nothing
  std::uint64_t unclaimed = 0;              // files of which nobody knows what they should be
};

/// Reads all of the models' files again; asks `upstream` (null: nobody) for lists of files where something is damaged and no twin is here.
/// Errors: invalid (no such model), cancelled, io.
mlxbase::Result<Plan> make_plan(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                                const std::vector<std::string>& models, mlxbase::Clock& clock, mlxbase::Progress& progress, Upstream* upstream = nullptr);

/// Where a download of a whole file lies until it is taken in: on the volume of the root.
using DownloadsFolder = std::function<std::string(const catalog::Root& root)>;

/// Mends what is mendable, in one transaction; a file that cannot be mended is marked so and the others go on. `upstream` as in make_plan.
/// Errors: as carry_out.
mlxbase::Result<change::Done> run(const change::Machinery& machinery, Plan& plan, Upstream* upstream = nullptr, const DownloadsFolder& downloads = {});

}  // namespace mlxcache::repair
