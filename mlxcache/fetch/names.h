#pragma once
// Names that come from people and servers, checked before a path or a URL is made of them.
#include <string>
#include <string_view>

namespace mlxcache::fetch {

/// A path within a repo: relative, safe segments, UTF-8, and nothing that another system would take for a drive or a stream ("C:x", "\\host").
bool is_repo_path(std::string_view path);

/// "%41" becomes "A"; a "%" that begins no such triple stays.
std::string percent_decode(std::string_view text);

}  // namespace mlxcache::fetch
