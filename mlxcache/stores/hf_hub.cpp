#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/hf_layout.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::hf_hub {
namespace {

namespace path = mlxbase::path;

/// A variable's folder. Set but empty, the clients take it for the working directory; that counts only if a cache is really there, or any
/// folder the person happens to stand in would be called one.
void add_variable(const Context& context, std::vector<Root>& roots, std::string_view name, std::string_view below = {}) {
  const auto value = context.environment.get(name);
  if (!value) return;
  const std::string folder = context.environment.absolute(path::join(context.environment.expand(*value), below));
  const std::string where = folder.empty() ? context.environment.working_directory : folder;
  if (value->empty() && recognise(context.fs, where) != StoreKind::hf_hub) return;
  add_root(context, roots, StoreKind::hf_hub, where, name);
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> roots;
  // What the newest client uses comes first; the others stay roots, for older clients and what they left behind.
  add_variable(context, roots, "HF_HUB_CACHE");
  add_variable(context, roots, "HUGGINGFACE_HUB_CACHE");
  add_variable(context, roots, "HF_HOME", "hub");
  add_variable(context, roots, "XDG_CACHE_HOME", "huggingface/hub");
  const std::string& home = context.environment.home;
  add_root(context, roots, StoreKind::hf_hub, path::join(home, ".cache/huggingface/hub"), "default");
  for (const std::string_view name :
       {"TRANSFORMERS_CACHE", "PYTORCH_TRANSFORMERS_CACHE", "SENTENCE_TRANSFORMERS_HOME", "FASTEMBED_CACHE_PATH"}) {
    add_variable(context, roots, name);
  }
  add_root(context, roots, StoreKind::hf_hub, path::join(home, ".cache/huggingface_staging/hub"), "HUGGINGFACE_CO_STAGING");
  for (const RedirectedHome& other : redirected_homes(context)) {
    add_root(context, roots, StoreKind::hf_hub, path::join(other.cache, "huggingface/hub"), other.origin);
    add_root(context, roots, StoreKind::hf_hub, path::join(other.path, ".cache/huggingface/hub"), other.origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder out(root, adapter_of(StoreKind::hf_hub));
  hf::list_hub(context, root, walk(context.fs, root.path, out.problems(), {.enter = {}, .cancel = context.cancel}), out);
  return out.finish();
}

std::string staging(const Root& root, const std::string& target, std::string_view token) { return hf::hub_staging(root, target, token); }

std::vector<LockFile> locks(const Root& root, const Entry& entry) { return hf::hub_locks(root, entry); }

}  // namespace mlxcache::stores::hf_hub
