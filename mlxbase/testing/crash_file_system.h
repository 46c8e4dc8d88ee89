#pragma once
// A MemoryFileSystem whose power can fail. What was synced is there afterwards; of everything else each file, each block and
// each name is as it was at the last sync, or as it was at any moment since: chance decides, and a seed repeats it. No order
// between different files or folders is kept, also not that of a rename's two halves: POSIX promises none without a sync.
#include "mlxbase/testing/memory_file_system.h"

namespace mlxbase::testing {

class CrashFileSystem final : public MemoryFileSystem {
 public:
  /// Everything as it is now counts as written long ago.
  void settle();
  /// The power fails and comes back. Open files, locks and guards from before are of no more use; close them first.
  void crash(std::uint64_t seed);
};

}  // namespace mlxbase::testing
