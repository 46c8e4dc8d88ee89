#include "mlxcache/change/bytes.h"

#include <algorithm>
#include <cstring>

#include "mlxbase/format/hasher.h"

namespace mlxcache::change {

using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Hasher;
using mlxbase::Result;
namespace os = mlxbase::os;

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20U;  // large enough for read-ahead, small enough for the second cache

bool cancelled(const mlxbase::Cancel* cancel) { return cancel != nullptr && cancel->requested(); }
std::unexpected<mlxbase::Error> stopped() { return fail(Code::cancelled, "stopped"); }

/// No more than the file needs: a store has thousands of small ones.
std::size_t block_for(std::uint64_t size) { return static_cast<std::size_t>(std::clamp<std::uint64_t>(size, 1, kBlock)); }

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

Result<Compared> compare(os::File& a, os::File& b, const mlxbase::Cancel* cancel, mlxbase::Progress& progress) {
  const auto size = TRY(a.stat()).size;
  if (size != TRY(b.stat()).size) return Compared{};
  std::vector<std::byte> left(block_for(size));
  std::vector<std::byte> right(left.size());
  Hasher hasher(Algorithm::sha256);
  a.advise_sequential();
  b.advise_sequential();
  for (std::uint64_t at = 0; at < size;) {
    if (cancelled(cancel)) return stopped();
    const std::size_t n = TRY(a.pread(at, left));
    const std::size_t m = TRY(b.pread(at, right));
    if (n != m || n == 0 || std::memcmp(left.data(), right.data(), n) != 0) return Compared{};
    hasher.update({left.data(), n});
    at += n;
    progress.advance(n);
  }
  return Compared{true, hasher.finish().to_string()};
}

Result<std::string> sha256_of(os::File& file) {
  std::vector<std::byte> block(block_for(TRY(file.stat()).size));
  Hasher hasher(Algorithm::sha256);
  file.advise_sequential();
  for (std::uint64_t at = 0;;) {
    const std::size_t n = TRY(file.pread(at, block));
    if (n == 0) return hasher.finish().to_string();
    hasher.update({block.data(), n});
    at += n;
  }
}

Result<std::vector<os::Extent>> holes_of(os::File& file, std::size_t limit) {
  const auto size = TRY(file.stat()).size;
  std::vector<os::Extent> holes;
  std::uint64_t at = 0;
  const auto hole_to = [&](std::uint64_t end) {
    if (end > at && holes.size() < limit) holes.push_back({.logical = at, .length = end - at});
  };
  for (const auto& run : TRY(file.data_runs())) {
    hole_to(std::min(run.logical, size));
    at = std::max(at, run.logical + run.length);
  }
  hole_to(size);
  return holes;
}

Result<std::string> copy_bytes(os::File& from, os::File& to, std::uint64_t size, const std::vector<os::Extent>& holes,
                               const mlxbase::Cancel* cancel, mlxbase::Progress& progress) {
  std::vector<std::byte> block(block_for(size));
  Hasher hasher(Algorithm::sha256);
  from.advise_sequential();
  std::size_t hole = 0;  // the first that ends behind `at`
  for (std::uint64_t at = 0; at < size;) {
    if (cancelled(cancel)) return stopped();
    const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), size - at));
    const std::size_t n = TRY(from.pread(at, std::span(block).first(want)));
    if (n == 0) return fail(Code::changed, "it became shorter while it was copied");
    hasher.update({block.data(), n});
    // Pieces of this block: holes are left out, everything else is written.
    for (std::uint64_t p = at; p < at + n;) {
      while (hole < holes.size() && holes[hole].logical + holes[hole].length <= p) ++hole;
      const bool in_hole = hole < holes.size() && holes[hole].logical <= p;
      std::uint64_t end = at + n;
      if (hole < holes.size()) end = std::min(end, in_hole ? holes[hole].logical + holes[hole].length : holes[hole].logical);
      const std::span<const std::byte> piece(block.data() + (p - at), static_cast<std::size_t>(end - p));
      if (!in_hole || !all_zero(piece)) TRY(to.pwrite(p, piece));
      p = end;
    }
    at += n;
    progress.advance(n);
  }
  TRY(to.truncate(size));  // the file may end in a hole
  return hasher.finish().to_string();
}

bool any_block_common(os::File& a, os::File& b) {
  const auto left = a.extents();
  const auto right = b.extents();
  if (!left || !right) return false;
  for (const auto& x : *left) {
    if (!x.settled || !x.shared) continue;
    for (const auto& y : *right) {
      if (y.settled && y.shared && x.physical < y.physical + y.length && y.physical < x.physical + x.length) return true;
    }
  }
  return false;
}

}  // namespace mlxcache::change
