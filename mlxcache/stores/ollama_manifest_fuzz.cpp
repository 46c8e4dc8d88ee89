// Whatever the bytes: digests become file names that stay in blobs/, names stay four segments, and both read back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/ollama_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace ollama = mlxcache::stores::ollama;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto manifest = ollama::parse_manifest(text)) {
    for (const auto& layer : manifest->layers) {
      const std::string name = ollama::blob_name(layer.digest);
      if (!mlxbase::path::is_safe_segment(name) || ollama::parse_digest(name) != layer.digest) std::abort();
    }
  }
  if (const auto digest = ollama::parse_digest(text); digest && text.size() != 71) std::abort();
  if (const auto name = ollama::name_of_manifest_path(text)) {
    if (!mlxbase::path::is_safe_relative(text)) std::abort();
    // An unusual spelling of the default host or namespace comes back as the default.
    if (const auto again = ollama::parse_name(name->shortest()); !again || again->shortest() != name->shortest()) std::abort();
  }
  if (const auto name = ollama::parse_name(text)) {
    if (!ollama::name_of_manifest_path(name->host + "/" + name->space + "/" + name->model + "/" + name->tag)) std::abort();
  }
  return 0;
}
