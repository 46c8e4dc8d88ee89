// Whatever the bytes: paths are safe and relative, or absolute and normal.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/jan_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace path = mlxbase::path;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto yaml = mlxcache::stores::jan::parse_model_yaml(text)) {
    for (const auto& file : yaml->files) {
      if (path::is_absolute(file.path) ? path::normal(file.path) != file.path : !path::is_safe_relative(file.path)) std::abort();
    }
  }
  if (mlxcache::stores::jan::is_model_id(text) && !path::is_safe_relative(text)) std::abort();
  return 0;
}
