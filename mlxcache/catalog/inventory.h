#pragma once
// What a scan found: all stores of the machine, inodes behind their names, groups of equal bytes. Plans, ledgers and
// every command of the CLI are made from this one value.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/small_list.h"
#include "mlxcache/catalog/store.h"

namespace mlxcache::catalog {

/// One name: Inventory::listings[store].entries[entry].
struct NameRef {
  std::uint32_t store = 0;
  std::uint32_t entry = 0;
  friend bool operator==(const NameRef&, const NameRef&) = default;
};

/// One inode with bytes (regular file) and every name the scan saw of it.
struct Inode {
  mlxbase::os::FileStat stat;
  mlxbase::SmallList<NameRef> names; // at least one; regular files only (symlinks are not names of it)
  RareDigest sha256;                 // measured by us over the bytes, for this size, mtime and ctime
  RareDigest claim;                  // the first full-length claim among its names
  /// Known after extents were asked for (members of groups on volumes that can clone); else all private.
  std::uint64_t private_bytes = 0;
  std::uint64_t shared_bytes = 0;
  bool sharing_known = false;
  std::uint64_t bytes_read = 0;      // what this scan read of it
};

enum class Evidence : std::uint8_t {
  claimed,   // equal size and equal digest claims of the stores; bytes not compared by us
  measured,  // equal SHA-256, measured (or one measured and one claimed)
  compared,  // compared byte by byte by us; the group's digest is the claim of one of them
};

/// Inodes whose bytes are equal, as far as `evidence` goes. At least two inodes.
struct Group {
  std::uint64_t size = 0;              // bytes of each
  Digest digest;                       // SHA-256 wherever known, else the common claim
  Evidence evidence{};
  std::vector<std::uint32_t> inodes;   // indices into Inventory::inodes, same volume or not
  /// Bytes that sharing within each volume would free (private bytes of all but one copy a volume; exact with links and
  /// known clones counted). Already shared copies count nothing.
  std::uint64_t reclaimable_bytes = 0;
};

struct StoreTotals {
  std::uint64_t models = 0;
  std::uint64_t files = 0;            // names of regular files
  std::uint64_t apparent_bytes = 0;   // sizes of names, a hard-linked inode once per name
  std::uint64_t allocated_bytes = 0;  // blocks of distinct inodes
  std::uint64_t shared_bytes = 0;     // of these, also referred to from elsewhere (other stores' links, clones)
  std::uint64_t orphans = 0, orphan_bytes = 0;
  std::uint64_t partials = 0, partial_bytes = 0;
  std::uint64_t broken_links = 0;
};

struct Inventory {
  std::vector<Listing> listings;
  std::vector<StoreTotals> totals;   // beside listings
  std::vector<Inode> inodes;         // distinct regular files of payload and orphan role first, others too
  std::vector<Group> groups;         // largest reclaimable first
  std::uint64_t apparent_bytes = 0;
  std::uint64_t allocated_bytes = 0;   // distinct inodes over all stores
  std::uint64_t reclaimable_bytes = 0;
  std::uint64_t bytes_read = 0;        // payload bytes this scan read to tell files apart
  std::int64_t scanned_at_ns = 0;

  const Entry& entry(NameRef n) const { return listings[n.store].entries[n.entry]; }
};

}  // namespace mlxcache::catalog
