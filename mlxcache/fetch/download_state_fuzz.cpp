// The record of a download, and Content-Range: whatever is accepted is in bounds and writes the same bytes again.
#include <cstdint>
#include <cstdlib>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/fetch/download_state.h"
#include "mlxcache/fetch/download_stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxcache::fetch;
  using namespace mlxbase;
  const auto bytes = std::as_bytes(std::span(data, size));
  if (const auto range = parse_content_range(as_text(bytes)); range && (range->first > range->last || (range->total && *range->total <= range->last))) std::abort();
  // With the right checksum put on, so that chance gets past it.
  Hasher hasher(Algorithm::sha256);
  hasher.update(bytes);
  const Digest sum = hasher.finish();
  const std::string sealed = std::string(as_text(bytes)) + std::string(as_text(sum.bytes()));
  const auto state = parse_state(as_bytes(sealed));
  if (!state) return 0;
  if (state->pieces.size() != piece_count(state->size) || sealed.size() > max_state_bytes(state->size)) std::abort();
  for (std::size_t i = 0; i < state->pieces.size(); ++i) {
    if (state->pieces[i].have > piece_size(state->size, i)) std::abort();
  }
  if (encode_state(*state) != sealed) std::abort();
  return 0;
}
