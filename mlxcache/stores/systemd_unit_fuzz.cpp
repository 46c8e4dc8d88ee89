// Whatever the bytes: no crash, every variable has a name, every environment file an absolute path.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxcache/stores/systemd_unit.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  mlxcache::stores::ServiceSettings settings;
  settings.apply(text);
  for (const auto& file : settings.environment_files) {
    if (!file.starts_with('/')) std::abort();
  }
  settings.apply_environment_file(text);
  for (const auto& variable : settings.environment) {
    if (variable.first.contains('=')) std::abort();
  }
  return 0;
}
