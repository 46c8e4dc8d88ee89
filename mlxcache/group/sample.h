#pragma once
// A few bytes that tell most files of one size apart, so that only likely twins are read whole.
#include <array>
#include <cstdint>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxcache::group {

/// Up to here a file is its own sample: a disk's read-ahead (128 KiB on Linux) brings all of it with the first page anyway, and one
/// visit to the file settles what would else take two.
inline constexpr std::uint64_t kSampleWhole = std::uint64_t{64} << 10U;

/// One page: less costs a disk the same, more separates no further files of model stores: what follows a header, the middle
/// and the end are weights, and differ at once where they differ at all.
inline constexpr std::uint64_t kSamplePiece = 4096;

struct SampleRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

/// The first, the middle and the last piece. The header alone would not do: fine-tunes of one base agree in their first 64 KiB and more.
/// A file of at most kSampleWhole bytes is one range: all of it.
std::vector<SampleRange> sample_ranges(std::uint64_t size);

/// Whether the sample of a file of this size is the SHA-256 of the whole file.
inline bool sample_is_whole(std::uint64_t size) { return size <= kSampleWhole; }

/// SHA-256 over the bytes of sample_ranges(size), one after the other. Errors: changed (the file is shorter), io.
mlxbase::Result<mlxbase::Digest> sample(mlxbase::os::File& file, std::uint64_t size);

}  // namespace mlxcache::group
