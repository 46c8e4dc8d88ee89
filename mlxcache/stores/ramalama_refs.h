#pragma once
// What RamaLama writes beside its blobs, parsed. Source: containers/ramalama ramalama/model_store/reffile.py.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"

namespace mlxcache::stores::ramalama {

/// One file of a ref.
struct RefFile {
  std::string hash;  // as a blob's file name: "sha256-<hex>", or another safe name
  std::string name;  // below the snapshot: a safe relative path
  std::string type;  // "gguf", "safetensor", "mmproj", "chat_template", "other"
};
/// refs/<tag>.json.
struct Ref {
  std::string hash;  // names the snapshot folder
  std::vector<RefFile> files;
};
/// Errors: corrupt (not JSON, a hash or a name that would leave the store).
mlxbase::Result<Ref> parse_ref(std::string_view text);

/// What a blob's name says of its bytes, if the name is "sha256-" and 64 hex digits.
std::optional<mlxbase::Digest> claim_of(std::string_view blob_name);

/// `store` of ramalama.conf; empty if it names none. Errors: corrupt (not TOML).
mlxbase::Result<std::string> store_of_config(std::string_view toml);

}  // namespace mlxcache::stores::ramalama
