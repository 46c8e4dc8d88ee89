#pragma once
// What earlier runs measured, and a safe way for many threads to add to it.
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/verify/measure.h"

namespace mlxcache::verify {

/// Keeps measurements in the catalog soon after they are made, so that a run cut short goes on from there.
class Memory {
 public:
  Memory(catalog::Catalog& catalog, mlxbase::Clock& clock) : catalog_(catalog), clock_(clock) {}

  /// Adds what was measured of a file that held still. `earlier` is what the catalog had for the same state: kept beside the new,
  /// unless the new contradicts it.
  void keep(const Measurement& measurement, const std::optional<catalog::Measured>& earlier);
  /// Writes what is pending. A catalog that cannot be written costs only the resuming: reported as a log event, once.
  void flush();

 private:
  void flush_locked();

  catalog::Catalog& catalog_;
  mlxbase::Clock& clock_;
  std::mutex mutex_;
  std::vector<catalog::Measured> pending_;
  std::vector<mlxbase::Chain> pending_chains_;
  std::uint64_t pending_bytes_ = 0;
  bool warned_ = false;
};

}  // namespace mlxcache::verify
