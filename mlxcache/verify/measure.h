#pragma once
// Reading one file once: all digests that are wanted of it, and whether it held still meanwhile.
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::verify {

/// Between two blocks Ctrl-C is looked at; of each worker two blocks are in memory.
inline constexpr std::size_t kBlockBytes = std::size_t{512} << 10U;

struct Measurement {
  mlxbase::os::FileStat stat;             // when it was opened
  std::vector<mlxbase::Digest> digests;   // one an algorithm that was asked for
  std::vector<mlxbase::ChainLink> links;  // if SHA-256 was asked for: see mlxbase::Chain
  bool held_still = true;                 // size, mtime and ctime are what they were when it was opened, and all bytes came

  const mlxbase::Digest* find(mlxbase::Algorithm algorithm) const;
};

/// One open file on its way through the hashes, block by block, so that a thread can take two in step.
class Measuring {
 public:
  /// Hashes by each of `algorithms` (sha256_prefix counts as sha256). Adds what it reads to `bytes_read`. Errors: io.
  static mlxbase::Result<Measuring> begin(mlxbase::os::File& file, const std::vector<mlxbase::Algorithm>& algorithms, mlxbase::Progress& progress,
                                          std::atomic<std::uint64_t>& bytes_read);
  /// Reads and hashes the next block of each of up to two, faster than one after the other; an error stays in the one that it is of.
  static void go_on(Measuring& one, Measuring* other);
  /// Nothing more will be read, or an error ended it.
  bool ended() const { return ended_; }
  /// Once it has ended. Errors: io.
  mlxbase::Result<Measurement> finish();

 private:
  Measuring(mlxbase::os::File& file, mlxbase::Progress& progress, std::atomic<std::uint64_t>& bytes_read)
      : file_(&file), progress_(&progress), bytes_read_(&bytes_read) {}
  std::span<const std::byte> read();
  void hash(std::span<const std::byte> bytes, bool chain_too);

  mlxbase::os::File* file_;
  mlxbase::Progress* progress_;
  std::atomic<std::uint64_t>* bytes_read_;
  Measurement out_;
  std::vector<mlxbase::Algorithm> wanted_;
  std::vector<mlxbase::Hasher> hashers_;  // of those that are not SHA-256
  std::optional<mlxbase::Sha256Chain> chain_;
  std::vector<std::byte> block_;
  std::uint64_t at_ = 0;
  std::uint64_t dropped_ = 0;  // the page cache was told that we are done with these
  bool ended_ = false;
  mlxbase::Status status_;
};

/// All of one file. Errors: cancelled, io.
mlxbase::Result<Measurement> measure(mlxbase::os::File& file, const std::vector<mlxbase::Algorithm>& algorithms, const mlxbase::Cancel* cancel,
                                     mlxbase::Progress& progress, std::atomic<std::uint64_t>& bytes_read);

/// Whether the two describe the same inode in the same state.
bool same_state(const mlxbase::os::FileStat& a, const mlxbase::os::FileStat& b);

/// Whether what was measured is what was claimed (a prefix claim: begins so).
bool agrees(const mlxbase::Digest& claimed, const mlxbase::Digest& measured);

}  // namespace mlxcache::verify
