// What a person types, of any bytes: an id that was understood has one text, which means the same, and nothing in it leads out of a folder. And
// patterns and quantisations, which end for every name.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/fetch/glob.h"
#include "mlxcache/fetch/names.h"
#include "mlxcache/fetch/quant.h"
#include "mlxcache/stores/hf_names.h"

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  namespace fetch = mlxcache::fetch;
  if (const auto id = fetch::parse_id(text)) {
    const std::string once = fetch::to_string(*id);
    const auto again = fetch::parse_id(once);
    require(again.has_value() && fetch::to_string(*again) == once);
    if (const auto* hub = std::get_if<fetch::HubId>(&*id)) {
      require(mlxcache::stores::hf::is_repo_id(hub->repo) && fetch::is_revision(hub->revision));
      require(hub->file.empty() || mlxbase::path::is_safe_relative(hub->file));
    }
    if (const auto* url = std::get_if<fetch::UrlId>(&*id)) require(mlxbase::path::is_safe_segment(url->file) && url->url.may_carry_secrets());
  }
  if (text.size() < 4096) {
    const auto half = text.size() / 2;
    (void)fetch::glob_matches(text.substr(0, half), text.substr(half));
    require(fetch::glob_matches("*", text) && (text.find_first_of("*?[") != std::string_view::npos || text.ends_with('/') || fetch::glob_matches(text, text)));
    (void)fetch::quant_of(std::string(text) + ".gguf");
  }
  return 0;
}
