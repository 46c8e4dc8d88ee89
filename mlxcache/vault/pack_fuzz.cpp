// Any bytes as a pack: no harm, and what the index says of a pack that is whole is what its records say.
#include <cstdlib>
#include <span>

#include "mlxcache/vault/frozen.h"
#include "mlxcache/vault/pack_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxcache::vault;
  const auto bytes = std::as_bytes(std::span{data, size});
  if (const auto frozen = parse_frozen(bytes); frozen && !frozen->damaged) {
    const auto again = parse_frozen(encode_frozen(frozen->model));
    if (!again || again->model != frozen->model) std::abort();
  }
  const auto source = mlxbase::ByteSource::of(bytes);
  const auto contents = read_contents(source);
  if (!contents) return 0;
  for (const Entry& e : contents->entries) {
    const auto record = read_record(source, e.offset, contents->salt);
    if (contents->rebuilt && (!record || record->head != e.head)) std::abort();
    if (record && record->end() < record->payload_offset) std::abort();
  }
  return 0;
}
