#include "mlxcache/stores/hf_names.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"

namespace mlxcache::stores::hf {
namespace {

using mlxbase::Algorithm;
using mlxbase::Digest;

constexpr std::string_view kSeparator = "--";
constexpr std::size_t kMaxPart = 96;
constexpr std::array<std::string_view, 4> kTypes = {"models", "datasets", "spaces", "kernels"};

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool is_id_part(std::string_view part) {
  if (part.empty() || part.size() > kMaxPart || part.contains("--") || part.contains("..") || part.ends_with(".git")) return false;
  const auto edge = [](char c) { return is_alnum(c) || c == '_'; };
  if (!edge(part.front()) || !edge(part.back())) return false;
  return std::all_of(part.begin(), part.end(), [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// ".1a2b3c4d" at the end is cut off, if it is there.
std::string_view without_unique_part(std::string_view name) {
  constexpr std::size_t kUnique = 8;
  if (name.size() <= kUnique + 1) return name;
  const std::string_view tail = name.substr(name.size() - kUnique);
  return name[name.size() - kUnique - 1] == '.' && is_lower_hex(tail) ? name.substr(0, name.size() - kUnique - 1) : name;
}

}  // namespace

bool is_repo_id(std::string_view id) {
  const auto slash = id.find('/');
  if (slash == std::string_view::npos) return is_id_part(id);
  return is_id_part(id.substr(0, slash)) && is_id_part(id.substr(slash + 1));
}

std::optional<Repo> parse_repo_folder(std::string_view name) {
  const auto cut = name.find(kSeparator);
  if (cut == std::string_view::npos || name.contains('/')) return std::nullopt;
  const std::string_view type = name.substr(0, cut);
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) return std::nullopt;
  std::string id(name.substr(cut + kSeparator.size()));
  // The part before the slash cannot hold "--", so the first one is the slash.
  if (const auto slash = id.find(kSeparator); slash != std::string::npos) id.replace(slash, kSeparator.size(), "/");
  if (!is_repo_id(id)) return std::nullopt;
  return Repo{std::string(type), std::move(id)};
}

std::string repo_folder(const Repo& repo) {
  std::string id = repo.id;
  if (const auto slash = id.find('/'); slash != std::string::npos) id.replace(slash, 1, kSeparator);
  return repo.type + std::string(kSeparator) + id;
}

bool is_commit(std::string_view name) { return name.size() == 40 && is_lower_hex(name); }

std::optional<Digest> claim_of_etag(std::string_view etag) {
  if (!is_lower_hex(etag)) return std::nullopt;
  if (etag.size() == 64) return Digest::parse(Algorithm::sha256, etag);
  if (etag.size() == 40) return Digest::parse(Algorithm::git_sha1, etag);
  return std::nullopt;
}

std::optional<Digest> parse_shared_name(std::string_view prefix, std::string_view name) {
  if (prefix.size() != 2 || name.size() != 64 || !is_lower_hex(name) || !name.starts_with(prefix)) return std::nullopt;
  return Digest::parse(Algorithm::xet, name);
}

bool is_partial_blob(std::string_view name) {
  for (const std::string_view ending : {".incomplete", ".part", ".downloadInProgress", ".tmp"}) {
    if (name.ends_with(ending)) return true;
  }
  if (name.starts_with("tmp_")) return true;  // the clients' umask probe
  // 2.x: a link or a twin being prepared under a hidden name
  return name.starts_with('.') && (name.ends_with(".shared") || name.ends_with(".new") || name.ends_with(".old"));
}

std::string_view etag_of_partial(std::string_view name) {
  if (name.starts_with('.')) name.remove_prefix(1);
  for (const std::string_view ending : {".incomplete", ".sync.part", ".part", ".downloadInProgress", ".shared", ".new", ".old"}) {
    if (name.ends_with(ending)) return without_unique_part(name.substr(0, name.size() - ending.size()));
  }
  return {};
}

std::optional<std::string> parse_ref(std::string_view text) {
  text = trim(text);
  if (!is_commit(text)) return std::nullopt;
  return std::string(text);
}

mlxbase::Result<std::map<std::string, TreeFile>> parse_tree(std::string_view text) {
  const auto document = TRY(mlxbase::json::parse(text));
  if (!document.is_object()) return mlxbase::fail(mlxbase::Code::corrupt, "a tree listing that is no object");
  if (document["format_version"].u64() != 1) return mlxbase::fail(mlxbase::Code::unsupported, "a tree listing of another version");
  std::map<std::string, TreeFile> files;
  for (const auto& [name, value] : document["files"].object()) {
    if (!mlxbase::path::is_safe_relative(name)) continue;
    TreeFile file;
    file.size = value["size"].u64();
    const std::string sha256 = value["lfs_sha256"].string();
    const std::string blob_id = value["blob_id"].string();
    if (sha256.size() == 64) {
      file.claim = claim_of_etag(sha256);
      file.size = value["lfs_size"].u64(file.size);
    } else if (blob_id.size() == 40) {
      file.claim = claim_of_etag(blob_id);
    }
    const std::string xet = value["xet_hash"].string();
    if (xet.size() == 64) file.xet = parse_shared_name(std::string_view(xet).substr(0, 2), xet);
    files.insert_or_assign(name, std::move(file));
  }
  return files;
}

bool Sidecar::covers(std::int64_t mtime_ns) const {
  constexpr double kAllowance = 1.0;  // seconds: file systems with coarse times
  return static_cast<double>(mtime_ns) / 1e9 - kAllowance <= timestamp;
}

std::optional<Sidecar> parse_sidecar(std::string_view text) {
  std::array<std::string, 3> lines;
  for (std::string& line : lines) {
    const auto end = text.find('\n');
    line = std::string(trim(text.substr(0, end)));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  if (!is_commit(lines[0]) || lines[1].empty() || lines[2].empty() || lines[2].size() > 40) return std::nullopt;
  char* end = nullptr;
  const double timestamp = std::strtod(lines[2].c_str(), &end);
  if (end != lines[2].c_str() + lines[2].size() || !std::isfinite(timestamp) || timestamp < 0) return std::nullopt;
  return Sidecar{lines[0], lines[1], timestamp};
}

mlxbase::Result<std::set<std::string>> parse_safetensors_index(std::string_view text) {
  const auto document = TRY(mlxbase::json::parse(text));
  const auto& map = document["weight_map"];
  if (!map.is_object()) return mlxbase::fail(mlxbase::Code::corrupt, "an index without a weight_map");
  std::set<std::string> files;
  for (const auto& [tensor, file] : map.object()) {
    if (const std::string* name = file.if_string(); name != nullptr && mlxbase::path::is_safe_segment(*name)) files.insert(*name);
  }
  return files;
}

}  // namespace mlxcache::stores::hf
