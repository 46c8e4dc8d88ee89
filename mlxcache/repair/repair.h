#pragma once
// Mends damaged files: finds the ranges in which they differ from an intact twin on this machine, makes a whole new inode of the good bytes and the twin's,
// confirms its digest, and puts it in the damaged one's place through the journal. Nothing else is touched, and undo brings the damaged file back.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/change/change.h"
#include "mlxcache/verify/verify.h"

namespace mlxcache::repair {

enum class State : std::uint8_t {
  mendable,   // an intact twin is here
  no_source,  // damaged, and nobody here has the right bytes
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
  std::vector<verify::Range> ranges;        // where it differs from the twin
  std::string twin;
  State state{};
  std::string reason;
  std::uint64_t damaged_bytes() const;
};

struct Plan {
  std::vector<File> files;
  std::uint64_t intact = 0;                 // files that were looked at and need nothing
  std::uint64_t unclaimed = 0;              // files of which nobody knows what they should be
};

/// Reads all of the models' files again. Errors: invalid (no such model), cancelled, io.
mlxbase::Result<Plan> make_plan(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                                const std::vector<std::string>& models, mlxbase::Clock& clock, mlxbase::Progress& progress);

/// Mends what is mendable, in one transaction; a file that cannot be mended is marked so and the others go on. Errors: as carry_out.
mlxbase::Result<change::Done> run(const change::Machinery& machinery, Plan& plan);

}  // namespace mlxcache::repair
