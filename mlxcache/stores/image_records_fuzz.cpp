// Records that image tools leave about their files: whatever they say, a claim is for one size only, and no path leaves its folder.
// The first byte chooses the parser.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/automatic1111_cache.h"
#include "mlxcache/stores/comfyui_paths.h"
#include "mlxcache/stores/invokeai_registry.h"
#include "mlxcache/stores/shell_words.h"
#include "mlxcache/stores/sidecars.h"

namespace {

using namespace mlxcache::stores;

void check(bool holds) {
  if (!holds) std::abort();
}

void sidecars(std::string_view text) {
  constexpr std::uint64_t kSize = 4096;
  check(!claim_of_lora_manager(text, kSize) || !claim_of_lora_manager(text, kSize + 1));
  // Sizes are recorded in fractions of 1024 bytes: two files in one record may well be of two sizes.
  if (const auto claim = claim_of_civitai(text, kSize)) check(claim->size() == 32);
  if (const auto claim = claim_of_sha256_file(text)) check(text.size() >= 64 && claim->algorithm() == mlxbase::Algorithm::sha256);
}

void comfyui_paths(std::string_view text) {
  mlxbase::os::Environment environment;
  environment.home = "/home/me";
  const auto folders = comfyui::parse_extra_paths(text, "/etc/comfy", environment);
  if (!folders) return;
  for (const auto& folder : *folders) {
    check(mlxbase::path::is_absolute(folder.path) && mlxbase::path::normal(folder.path) == folder.path);
    check(!folder.path.contains('\0'));
  }
}

void invokeai_record(std::string_view text) {
  const auto record = invokeai::parse_record(text);
  if (!record) return;
  check(mlxbase::path::is_absolute(record->path) || mlxbase::path::is_within("/models", mlxbase::path::join("/models", record->path)));
  check(!record->hash || record->hash->size() >= 16);
}

void automatic1111_cache(std::string_view text) {
  const auto hashes = automatic1111::parse_hash_cache(text);
  if (!hashes) return;
  for (const auto& [name, hashed] : *hashes) {
    check(hashed.sha256.size() == 32);
    // An older file is believed wherever a newer one is.
    if (automatic1111::valid_hash(hashed, 2'000'000'000)) check(automatic1111::valid_hash(hashed, 1'000'000'000).has_value());
  }
}

void shell(std::string_view text) {
  std::size_t length = 0;
  for (const std::string& word : shell_words(text)) length += word.size();
  check(length <= text.size());
  check(assigned_in_script(text, "COMMANDLINE_ARGS").size() <= text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr void (*kParsers[])(std::string_view) = {&sidecars, &comfyui_paths, &invokeai_record, &automatic1111_cache, &shell};
  kParsers[data[0] % 5U](text);
  return 0;
}
