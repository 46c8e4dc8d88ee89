#include "mlxcache/fetch/select.h"

#include <algorithm>
#include <set>

#include "mlxbase/core/printable.h"
#include "mlxcache/fetch/glob.h"
#include "mlxcache/fetch/quant.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

bool any_matches(const std::vector<std::string>& patterns, std::string_view path) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) { return glob_matches(pattern, path); });
}

mlxbase::Status check_patterns(const Selection& selection) {
  constexpr std::size_t kMostPatterns = 256, kLongestPattern = 1024;
  for (const auto* patterns : {&selection.include, &selection.exclude}) {
    if (patterns->size() > kMostPatterns) return fail(Code::invalid, "more than 256 patterns");
    for (const std::string& pattern : *patterns) {
      if (pattern.size() > kLongestPattern || pattern.empty()) return fail(Code::invalid, "a pattern that is empty or longer than 1024 characters");
    }
  }
  return {};
}

std::string names_of(const std::vector<RemoteFile>& files) {
  constexpr std::size_t kShown = 12;
  std::string out;
  for (std::size_t i = 0; i < std::min(files.size(), kShown); ++i) out += (i == 0 ? "" : ", ") + mlxbase::printable(files[i].path);
  if (files.size() > kShown) out += " and " + std::to_string(files.size() - kShown) + " more";
  return out;
}

}  // namespace

bool lets_through(const Selection& selection, std::string_view path) {
  if (!selection.include.empty() && !any_matches(selection.include, path)) return false;
  return !any_matches(selection.exclude, path);
}

Result<std::vector<RemoteFile>> select(std::vector<RemoteFile> files, const Selection& selection) {
  if (auto ok = check_patterns(selection); !ok) return fail(std::move(ok).error());
  if (files.empty()) return fail(Code::not_found, "the repo has no files");
  std::set<std::string, std::less<>> of_quant;
  if (!selection.quant.empty()) {
    std::vector<std::string> paths;
    for (const RemoteFile& file : files) paths.push_back(file.path);
    for (std::string& path : TRY(files_of_quant(paths, selection.quant))) of_quant.insert(std::move(path));
  }
  std::vector<RemoteFile> out;
  for (RemoteFile& file : files) {
    const bool wanted = selection.quant.empty() ? lets_through(selection, file.path)
                                                : (of_quant.contains(file.path) || any_matches(selection.include, file.path)) &&
                                                      !any_matches(selection.exclude, file.path);
    if (wanted) out.push_back(file);
  }
  if (out.empty()) return fail(Code::invalid, "no file fits --include, --exclude and --quant; there are " + names_of(files));
  return out;
}

}  // namespace mlxcache::fetch
