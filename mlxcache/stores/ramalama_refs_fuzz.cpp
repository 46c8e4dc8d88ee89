// Whatever the bytes: hashes are file names, names stay below their snapshot.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/ramalama_refs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto ref = mlxcache::stores::ramalama::parse_ref(text)) {
    if (!mlxbase::path::is_safe_segment(ref->hash)) std::abort();
    for (const auto& file : ref->files) {
      if (!mlxbase::path::is_safe_segment(file.hash) || !mlxbase::path::is_safe_relative(file.name)) std::abort();
    }
  }
  (void)mlxcache::stores::ramalama::store_of_config(text);
  return 0;
}
