// A header that parses survives the round trip, and reading it through a source says the same.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "mlxbase/format/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace st = mlxbase::safetensors;
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto header = st::parse_header(bytes);
  const auto through = st::read_header(mlxbase::ByteSource::of(bytes));
  if (header.has_value() != through.has_value() || (header && *header != *through)) std::abort();
  if (!header) return 0;
  if (header->expected_file_size() < header->data_start()) std::abort();
  st::facts(*header);
  const auto encoded = st::encode_header(*header);
  auto again = st::parse_header(encoded);
  if (!again) std::abort();
  again->header_bytes = header->header_bytes;  // padding may differ
  if (*again != *header) std::abort();
  return 0;
}
