#pragma once
// Reading one file once: all digests that are wanted of it, and whether it held still meanwhile.
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::verify {

/// Between two blocks Ctrl-C is looked at; of each worker one block is in memory.
inline constexpr std::size_t kBlockBytes = std::size_t{1} << 20U;

struct Measurement {
  mlxbase::os::FileStat stat;             // when it was opened
  std::vector<mlxbase::Digest> digests;   // one an algorithm that was asked for
  std::vector<mlxbase::ChainLink> links;  // if SHA-256 was asked for: see mlxbase::Chain
  bool held_still = true;                 // size, mtime and ctime are what they were when it was opened, and all bytes came

  const mlxbase::Digest* find(mlxbase::Algorithm algorithm) const;
};

/// Hashes an open file by each of `algorithms` (sha256_prefix counts as sha256). Adds what it reads to `bytes_read`.
/// Errors: cancelled, io.
mlxbase::Result<Measurement> measure(mlxbase::os::File& file, const std::vector<mlxbase::Algorithm>& algorithms, const mlxbase::Cancel* cancel,
                                     mlxbase::Progress& progress, std::atomic<std::uint64_t>& bytes_read);

/// Whether the two describe the same inode in the same state.
bool same_state(const mlxbase::os::FileStat& a, const mlxbase::os::FileStat& b);

/// Whether what was measured is what was claimed (a prefix claim: begins so).
bool agrees(const mlxbase::Digest& claimed, const mlxbase::Digest& measured);

}  // namespace mlxcache::verify
