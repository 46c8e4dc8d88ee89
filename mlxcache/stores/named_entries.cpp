#include "mlxcache/stores/named_entries.h"

#include "mlxbase/core/path.h"
#include "mlxcache/stores/gguf_choice.h"

namespace mlxcache::stores {

namespace path = mlxbase::path;

Finds NamedEntries::add_all(const Context& context, const Root& root, const std::function<bool(std::string_view)>& is_own) {
  WalkOptions options;
  options.cancel = context.cancel;
  auto found = walk(context.fs, root.path, builder_.problems(), options);
  for (const Found& f : found) {
    const std::uint32_t e = builder_.add(f);
    const std::string_view below = path::relative_to(root.path, f.path);
    if (builder_.at(e).role == Role::payload && is_own(below)) {
      builder_.at(e).role = Role::metadata;
      builder_.at(e).links = catalog::kNoLinks;
    }
    by_name_.emplace(below, e);
  }
  return found;
}

const std::uint32_t* NamedEntries::find(std::string_view below_root) const {
  const auto it = by_name_.find(below_root);
  return it == by_name_.end() ? nullptr : &it->second;
}

std::vector<std::string> NamedEntries::other_parts(std::string_view below_root) const {
  std::vector<std::string> out;
  if (!is_split_part(below_root)) return out;
  const std::string set = without_split(path::file_name(below_root));
  const std::string prefix = path::join(path::parent(below_root) == "." ? "" : path::parent(below_root), set) + "-";
  for (auto it = by_name_.lower_bound(prefix); it != by_name_.end() && it->first.starts_with(prefix); ++it) {
    if (it->first != below_root && it->first.find('/', prefix.size()) == std::string::npos && is_split_part(it->first) && without_split(path::file_name(it->first)) == set) {
      out.push_back(it->first);
    }
  }
  return out;
}

}  // namespace mlxcache::stores
