#pragma once
// What we measured of files, kept so that an unchanged file is never read twice. SQLite; format: docs/formats/catalog.md.
// A row counts only while device, inode, size, mtime and ctime are still those of the file.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::catalog {

/// The state of an inode that a measurement belongs to.
struct Fingerprint {
  mlxbase::os::FileId id;
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};
Fingerprint fingerprint_of(const mlxbase::os::FileStat& stat);

struct Measured {
  Fingerprint of;
  std::optional<mlxbase::Digest> sample;  // sha256 over the sampled ranges (group/sample.h says which)
  std::vector<mlxbase::Digest> digests;   // full digests, one an algorithm
  std::optional<mlxbase::Digest> twin;    // a mark of 32 bytes (algorithm none): equal marks, equal bytes; unequal ones say nothing
  std::int64_t verified_at_ns = 0;        // when a full digest was last measured from the bytes
};

class Catalog {
 public:
  /// Opens or makes `<home>/catalog.sqlite`. A damaged or foreign file is set aside (renamed *.damaged) and a new one made: it
  /// holds nothing that cannot be measured again. Errors: permission, out_of_space, io.
  static mlxbase::Result<Catalog> open(const std::string& home);
  /// In memory: nothing is kept.
  static mlxbase::Result<Catalog> in_memory();

  Catalog(Catalog&&) noexcept;
  Catalog& operator=(Catalog&&) noexcept;
  ~Catalog();

  /// What is known of each, in the order asked; empty optional where nothing (still) holds.
  mlxbase::Result<std::vector<std::optional<Measured>>> look_up(std::span<const Fingerprint> files);
  /// Adds or replaces, in one transaction. Waits for another process's short write; a lock held longer is `busy`.
  mlxbase::Status remember(std::span<const Measured> files);
  /// Our own change of a file (a link count, a rename) moved its ctime: its measurements stay true.
  mlxbase::Status moved(const Fingerprint& before, const Fingerprint& after);
  /// Keeps by which the pieces of some bytes can be told good from bad, whatever file they lie in. Those of one piece, or with links missing, are left out.
  mlxbase::Status remember_chains(std::span<const mlxbase::Chain> chains);
  /// Nothing if those bytes were never seen whole here.
  mlxbase::Result<std::optional<mlxbase::Chain>> chain_of(const mlxbase::Digest& sha256);
  /// Forgets rows of inodes not seen since `before_ns` (rows are touched by look_up), and the chains of bytes that no row left has and nobody
  /// has asked for since then (chain_of touches them).
  mlxbase::Status forget_unseen(std::int64_t before_ns);

 private:
  struct Impl;
  explicit Catalog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mlxcache::catalog
