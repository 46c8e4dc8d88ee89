// Names and small files of hub clients, of any bytes: parsed values are always safe to build paths from, and survive the way back.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/llama_cpp_names.h"

namespace {

namespace hf = mlxcache::stores::hf;
namespace llama = mlxcache::stores::llama_cpp;

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto repo = hf::parse_repo_folder(text)) {
    require(hf::repo_folder(*repo) == text);
    require(mlxbase::path::is_safe_segment(text));
    require(hf::is_repo_id(repo->id));
  }
  if (const auto ref = hf::parse_ref(text)) require(hf::is_commit(*ref));
  if (const auto tree = hf::parse_tree(text)) {
    for (const auto& [name, file] : *tree) {
      require(mlxbase::path::is_safe_relative(name));
      require(!file.claim || file.claim->algorithm() != mlxbase::Algorithm::xet);
      require(!file.xet || file.xet->algorithm() == mlxbase::Algorithm::xet);
    }
  }
  if (const auto sidecar = hf::parse_sidecar(text)) {
    require(hf::is_commit(sidecar->commit) && !sidecar->etag.empty());
    require(sidecar->timestamp >= 0 && sidecar->covers(0));
  }
  if (const auto files = hf::parse_safetensors_index(text)) {
    for (const auto& name : *files) require(mlxbase::path::is_safe_segment(name));
  }
  if (const auto claim = hf::claim_of_etag(text)) require(claim->hex() == text);
  const auto etag = hf::etag_of_partial(text);
  require(etag.size() <= text.size());
  if (const auto manifest = llama::parse_manifest_name(text)) {
    require(mlxbase::path::is_safe_segment(llama::flat_name(manifest->owner, manifest->repo, "x")) ||
            manifest->owner.size() + manifest->repo.size() > 250);
  }
  if (const auto manifest = llama::parse_manifest(text)) {
    for (const auto& file : *manifest) require(mlxbase::path::is_safe_relative(file.name));
  }
  llama::etag_of_json(text);
  require(!llama::etag_of_sidecar(text).contains('\n'));
  return 0;
}
