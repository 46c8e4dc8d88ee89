// Whatever the bytes: every file of a definition lies below the models folder, every claimed one too.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/localai_definition.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto definitions = mlxcache::stores::localai::parse_definitions({reinterpret_cast<const char*>(data), size});
  if (!definitions) return 0;
  for (const auto& d : *definitions) {
    for (const auto& file : d.files) {
      if (!mlxbase::path::is_safe_relative(file)) std::abort();
    }
    for (const auto& claim : d.sha256) {
      if (!mlxbase::path::is_safe_relative(claim.first)) std::abort();
    }
  }
  return 0;
}
