#pragma once
// Where a damaged file is damaged, told without any other copy: by what was kept of its bytes when they were whole.
#include <atomic>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/verify/verify.h"

namespace mlxcache::verify {

/// Pieces of kChainPieceBytes that are not what `chain` says, neighbours merged; the last one may be shorter. Beyond the right size nothing is looked at.
/// Errors: cancelled, io.
mlxbase::Result<std::vector<Range>> damaged_pieces(mlxbase::os::File& file, const mlxbase::Chain& chain, const mlxbase::Cancel* cancel,
                                                   std::atomic<std::uint64_t>& bytes_read);

}  // namespace mlxcache::verify
