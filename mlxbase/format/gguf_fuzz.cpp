// A header that parses survives the round trip, unless an array in it was too long to keep.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mlxbase/format/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace gguf = mlxbase::gguf;
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto header = gguf::read_header(mlxbase::ByteSource::of(bytes), {.header_bytes = 1U << 20U});
  if (!header) return 0;
  if (header->expected_file_size() < header->header_bytes || header->header_bytes > size) std::abort();
  gguf::facts(*header);
  const bool kept = std::all_of(header->metadata.begin(), header->metadata.end(), [](const gguf::KeyValue& pair) {
    return pair.value.type != gguf::Type::array || pair.value.count == 0 || !pair.value.elements.empty();
  });
  if (!kept) return 0;
  const auto encoded = gguf::encode_header(*header);
  const auto again = gguf::read_header(mlxbase::ByteSource::of(encoded));
  if (!again || *again != *header) std::abort();
  return 0;
}
