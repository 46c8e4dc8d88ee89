// Whatever the bytes: claims are of files below the folder, flags have names and values.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/webui_metadata.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace webui = mlxcache::stores::text_generation_webui;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& claim : webui::parse_webui_metadata(text).sha256) {
    if (!mlxbase::path::is_safe_relative(claim.first)) std::abort();
  }
  for (const auto& flag : webui::parse_flags(text)) {
    if (!flag.first.starts_with("--")) std::abort();
  }
  return 0;
}
