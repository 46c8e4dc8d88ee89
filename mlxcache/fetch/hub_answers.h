#pragma once
// JSON of a Hugging Face hub, parsed into types. Hostile until it passed here.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::fetch {

inline constexpr std::size_t kLargestPage = std::size_t{32} << 20U;
inline constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 46U;  // 64 TiB

struct ModelInfo {
  std::string commit;   // 40 hex digits
  bool gated = false;   // terms have to be accepted before files are given
  bool disabled = false;
};
/// GET /api/models/{id}/revision/{rev}. Errors: corrupt.
mlxbase::Result<ModelInfo> parse_model_info(std::string_view text);

struct TreeRow {
  std::string path;             // as sent: check is_repo_path() before use
  std::uint64_t size = 0;       // of the payload
  mlxbase::Digest oid;          // git_sha1 of the file, or of its LFS pointer
  std::optional<mlxbase::Digest> lfs;  // sha256 of the payload
  std::optional<mlxbase::Digest> xet;
};
/// One page of GET /api/models/{id}/tree/{rev}; folders are left out. Errors: corrupt (naming what is wrong with which row).
mlxbase::Result<std::vector<TreeRow>> parse_tree_page(std::string_view text);

/// trees/<commit>.json as huggingface_hub 2.x writes it.
std::string tree_json(const std::vector<TreeRow>& rows);

}  // namespace mlxcache::fetch
