// The xet chunk cache and upload metadata: pieces of files, of which only the size is told.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::hf_xet {
namespace {

namespace path = mlxbase::path;

void add_variable(const Context& context, std::vector<Root>& roots, std::string_view name, std::string_view below = {}) {
  const auto value = context.environment.get_nonempty(name);
  if (value) add_root(context, roots, StoreKind::hf_xet, path::join(context.environment.expand(*value), below), name);
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  add_variable(context, roots, "HF_XET_CACHE");
  add_variable(context, roots, "HF_HOME", "xet");
  add_variable(context, roots, "XDG_CACHE_HOME", "huggingface/xet");
  add_root(context, roots, StoreKind::hf_xet, path::join(context.environment.home, ".cache/huggingface/xet"), "default");
  for (const RedirectedHome& other : redirected_homes(context)) {
    add_root(context, roots, StoreKind::hf_xet, path::join(other.cache, "huggingface/xet"), other.origin);
    add_root(context, roots, StoreKind::hf_xet, path::join(other.path, ".cache/huggingface/xet"), other.origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::hf_xet));
  for (const Found& f : walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel})) {
    Entry& entry = out.at(out.add(f));
    // An upload's session files are as alive as a download's.
    if (entry.role == Role::payload)
      entry.role = path::relative_to(root.path, f.path).contains("/staging/") ? Role::partial : Role::metadata;
    entry.links = catalog::kNoLinks;
  }
  return out.finish();
}

std::string staging(const Root& root, const std::string&, std::string_view token) { return staging_beside_root(root, token); }

std::vector<LockFile> locks(const Root&, const Entry&) { return {}; }

}  // namespace mlxcache::stores::hf_xet
