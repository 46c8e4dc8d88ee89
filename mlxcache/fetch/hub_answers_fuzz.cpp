// Listings, model infos and manifests of any bytes: what comes out is bounded, and the listing that is written for the hub's own clients reads back
// as the same digests.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxcache/fetch/hub_answers.h"
#include "mlxcache/fetch/names.h"
#include "mlxcache/fetch/registry.h"
#include "mlxbase/core/path.h"
#include "mlxcache/stores/hf_names.h"

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace fetch = mlxcache::fetch;
  if (const auto info = fetch::parse_model_info(text)) require(mlxcache::stores::hf::is_commit(info->commit));
  if (const auto rows = fetch::parse_tree_page(text)) {
    for (const auto& row : *rows) {
      require(row.size <= fetch::kLargestFile);
      require(row.oid.algorithm() == mlxbase::Algorithm::git_sha1);
      require(!row.xet || row.xet->algorithm() == mlxbase::Algorithm::xet);
      if (fetch::is_repo_path(row.path)) require(mlxbase::path::is_safe_relative(row.path));
    }
    const auto tree = mlxcache::stores::hf::parse_tree(fetch::tree_json(*rows));
    require(tree.has_value());
    for (const auto& [path, file] : *tree) require(file.claim.has_value());
  }
  if (const auto manifest = fetch::parse_registry_manifest(text)) {
    for (const auto& file : manifest->files) require(mlxbase::path::is_safe_segment(file.path) && file.sha256 && file.size <= fetch::kLargestFile);
  }
  return 0;
}
