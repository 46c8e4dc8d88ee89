#include "mlxcache/stores/sidecars.h"

#include <cmath>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/common.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Algorithm;
using mlxbase::Digest;
namespace path = mlxbase::path;

// Lora-Manager keeps example prompts and descriptions beside the hash; megabytes are not unheard of.
constexpr mlxbase::json::Limits kLimits{.bytes = std::size_t{8} << 20U, .depth = 32};
constexpr std::uint64_t kDigestFileLimit = 64 << 10;

}  // namespace

std::optional<Digest> claim_of_lora_manager(std::string_view json, std::uint64_t size) {
  const auto parsed = mlxbase::json::parse(json, kLimits);
  if (!parsed || (*parsed)["size"].u64() != size) return std::nullopt;
  return Digest::parse(Algorithm::sha256, (*parsed)["sha256"].string());
}

std::optional<Digest> claim_of_civitai(std::string_view json, std::uint64_t size) {
  const auto parsed = mlxbase::json::parse(json, kLimits);
  if (!parsed) return std::nullopt;
  std::optional<Digest> claim;
  for (const mlxbase::json::Value& file : (*parsed)["files"].array()) {
    constexpr double kBytesOfKb = 1024;
    const double bytes = file["sizeKB"].number(-1) * kBytesOfKb;
    if (!(std::abs(bytes - static_cast<double>(size)) < 1)) continue;
    const auto digest = Digest::parse(Algorithm::sha256, file["hashes"]["SHA256"].string());
    if (!digest) continue;
    if (claim && *claim != *digest) return std::nullopt;
    claim = digest;
  }
  return claim;
}

std::optional<Digest> claim_of_sha256_file(std::string_view text) {
  constexpr std::size_t kHex = 64;
  const std::size_t begin = text.find_first_not_of(" \t\r\n\\");
  if (begin == std::string_view::npos) return std::nullopt;
  text.remove_prefix(begin);
  const std::string_view hex = text.substr(0, text.find_first_of(" \t\r\n*"));
  if (hex.size() != kHex) return std::nullopt;
  // Lines of several files: which one is meant is anyone's guess.
  const std::size_t line = text.find('\n');
  if (line != std::string_view::npos && text.find_first_not_of(" \t\r\n", line) != std::string_view::npos) return std::nullopt;
  return Digest::parse(Algorithm::sha256, hex);
}

std::optional<Digest> sidecar_claim(const Context& context, const Root& root, const std::string& weight, const mlxbase::os::FileStat& stat) {
  const std::string stem = path::join(path::parent(weight), path::stem(weight));
  if (const auto text = read_metadata(context, root.path, stem + ".metadata.json", kLimits.bytes)) {
    if (auto claim = claim_of_lora_manager(*text, stat.size)) return claim;
  }
  if (const auto text = read_metadata(context, root.path, stem + ".civitai.info", kLimits.bytes)) {
    if (auto claim = claim_of_civitai(*text, stat.size)) return claim;
  }
  for (const std::string& name : {weight + ".sha256", stem + ".sha256"}) {
    const auto beside = context.fs.stat(name);
    if (!beside || beside->mtime_ns < stat.mtime_ns) continue;
    if (const auto text = read_metadata(context, root.path, name, kDigestFileLimit)) {
      if (auto claim = claim_of_sha256_file(*text)) return claim;
    }
  }
  return std::nullopt;
}

}  // namespace mlxcache::stores
