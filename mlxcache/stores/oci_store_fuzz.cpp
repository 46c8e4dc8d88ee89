// Whatever the bytes: every digest that is read is of an allowed algorithm and two safe path parts.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/oci_store.h"

namespace {
using mlxcache::stores::docker_model_runner::BlobId;
void check(const BlobId& id) {
  if (!mlxbase::path::is_safe_segment(id.algorithm) || !mlxbase::path::is_safe_segment(id.hex) || BlobId::parse(id.text()) != id) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace oci = mlxcache::stores::docker_model_runner;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto manifest = oci::parse_manifest(text)) {
    for (const auto& layer : manifest->layers) check(layer.id);
  }
  if (const auto models = oci::parse_models(text)) {
    for (const auto& record : *models) {
      check(record.id);
      for (const auto& file : record.files) check(file);
    }
  }
  return 0;
}
