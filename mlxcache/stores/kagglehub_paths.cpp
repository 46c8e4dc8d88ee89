#include "mlxcache/stores/kagglehub_paths.h"

#include <algorithm>

namespace mlxcache::stores::kagglehub {
namespace {

constexpr int kIdParts = 4;  // owner, model, framework, variation
constexpr std::string_view kMark = ".complete";
constexpr std::string_view kArchive = ".archive";

bool is_version(std::string_view text) {
  return !text.empty() && text.size() <= 9 && text.front() != '0' && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::optional<Located> locate(std::string_view p) {
  std::size_t cut = 0;
  for (int part = 0; part < kIdParts; ++part) {
    const std::size_t slash = p.find('/', cut);
    if (slash == std::string_view::npos || slash == cut) return std::nullopt;
    cut = slash + 1;
  }
  Located out;
  out.model = p.substr(0, cut - 1);
  std::string_view rest = p.substr(cut);
  const bool single = rest.starts_with(".complete/");
  if (single) rest.remove_prefix(std::string_view(".complete/").size());
  const std::size_t slash = rest.find('/');
  std::string_view version = rest.substr(0, slash);
  if (slash == std::string_view::npos) {
    if (single) return std::nullopt;
    if (version.ends_with(kMark)) {
      out.place = Place::whole_mark;
      version.remove_suffix(kMark.size());
    } else if (version.ends_with(kArchive)) {
      out.place = Place::archive;
      version.remove_suffix(kArchive.size());
    } else {
      return std::nullopt;
    }
  } else {
    out.within = rest.substr(slash + 1);
    out.place = single ? Place::file_mark : Place::file;
    if (single) {
      if (!out.within.ends_with(kMark)) return std::nullopt;
      out.within.remove_suffix(kMark.size());
    }
    if (out.within.empty()) return std::nullopt;
  }
  if (!is_version(version)) return std::nullopt;
  out.version = version;
  return out;
}

}  // namespace mlxcache::stores::kagglehub
