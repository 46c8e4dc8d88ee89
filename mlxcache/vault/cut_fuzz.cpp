// Any bytes as a file of any format: the cuts are all of it, one behind the other, each of a length that a vault takes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mlxcache/vault/cut.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxcache::vault;
  const auto source = mlxbase::ByteSource::of(std::as_bytes(std::span{data, size}));
  const Run whole{0, size};
  const auto cuts = cut_file(source, {&whole, size == 0 ? 0U : 1U});
  if (!cuts) std::abort();
  std::uint64_t at = 0;
  for (const Cut& c : cuts->cuts) {
    if (c.offset != at || c.length == 0 || c.length > kMaxObjectBytes) std::abort();
    at += c.length;
  }
  if (at != size) std::abort();
  return 0;
}
