// Whatever the bytes: no crash, and a document is an object.
#include <cstdlib>

#include "mlxbase/format/toml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto v = mlxbase::toml::parse({reinterpret_cast<const char*>(data), size}, {.bytes = 1U << 16U, .depth = 16});
  if (v && !v->is_object()) std::abort();
  return 0;
}
