#pragma once
// Paths are plain byte strings here: a scan of a million names cannot afford std::filesystem::path, which
// allocates once a component. All functions are lexical and never touch the disk.
#include <optional>
#include <string>
#include <string_view>

namespace mlxbase::path {

/// "a" + "b" is "a/b"; an absolute `b` replaces `a`; an empty side gives the other.
std::string join(std::string_view a, std::string_view b);
template <class... More>
std::string join(std::string_view a, std::string_view b, std::string_view c, More... more) {
  return join(join(a, b), c, more...);
}
std::string_view file_name(std::string_view p);  // after the last '/'
std::string_view parent(std::string_view p);     // before the last '/'; "/" for "/a"; "." for "a"
std::string_view extension(std::string_view p);  // ".gguf", with its dot; "" for ".hidden" and "name"
std::string_view stem(std::string_view p);       // file_name without extension
/// Lexically normal: no ".", "..", doubled or trailing slashes ("/a/../.." is "/").
std::string normal(std::string_view p);
/// Whether normal(p) is normal(root) or lies below it. Both must be absolute.
bool is_within(std::string_view root, std::string_view p);
/// `p` relative to `root` (which it is_within()); "" for root itself.
std::string_view relative_to(std::string_view root, std::string_view p);
inline bool is_absolute(std::string_view p) { return !p.empty() && p.front() == '/'; }

/// Whether `name` may be one segment of a path made from foreign text: not empty, not "." or "..", no '/', no NUL,
/// no backslash, no control character, at most 255 bytes.
bool is_safe_segment(std::string_view name);
/// Whether `p` is a relative POSIX path of safe segments (1 to 64 of them, at most 4095 bytes).
bool is_safe_relative(std::string_view p);

}  // namespace mlxbase::path
