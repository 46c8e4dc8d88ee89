// InvokeAI: what its database lists is a model, other files are not. Facts: docs/design/stores.md, InvokeAI.
#include <algorithm>
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/invokeai_registry.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::invokeai {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

bool exists(const Context& context, const std::string& p) { return context.fs.stat(p, Follow::yes).has_value(); }

/// Folders that may be InvokeAI's root, in its own order.
std::vector<std::pair<std::string, std::string>> homes(const Context& context) {
  const auto& environment = context.environment;
  std::vector<std::pair<std::string, std::string>> out;
  if (const auto root = environment.get_nonempty("INVOKEAI_ROOT")) {
    out.emplace_back(environment.absolute(environment.expand(*root)), "INVOKEAI_ROOT");
    return out;
  }
  if (const auto venv = environment.get_nonempty("VIRTUAL_ENV")) {
    const std::string parent(path::parent(environment.absolute(*venv)));
    if (exists(context, path::join(parent, "invokeai.yaml"))) out.emplace_back(parent, "VIRTUAL_ENV");
  }
  out.emplace_back(path::join(environment.home, "invokeai"), "default");
  return out;
}

/// The root whose models folder `folder` is, if it lies apart from its root.
std::string home_of(const Context& context, const std::string& folder) {
  if (exists(context, path::join(folder, "databases")) || exists(context, path::join(folder, "invokeai.yaml"))) return folder;
  for (const auto& [home, origin] : homes(context)) {
    if (models_dir(context, home) == folder) return home;
  }
  return folder;
}

class Lister {
 public:
  Lister(const Context& context, const Root& root)
      : context_(context), root_(root), home_(home_of(context, root.path)), models_(models_dir(context, home_)), builder_(root, adapter_of(StoreKind::invokeai)) {}

  Listing run() {
    WalkOptions options;
    options.cancel = context_.cancel;
    options.enter = [this](const std::string& dir) { return !is_other_business(dir); };
    for (const Found& f : walk(context_.fs, root_.path, builder_.problems(), options)) file(f);

    const auto records = read_registry(context_, home_, builder_.problems());
    if (!records) {
      // Without the registry nobody knows which files are models: none is called an orphan.
      builder_.problem(path::join(home_, "databases", "invokeai.db"), records.error());
      return builder_.finish();
    }
    for (const Record& record : *records) model(record);
    for (const auto& [p, e] : payloads_) {
      if (builder_.at(e).model < 0 && builder_.at(e).role == Role::payload) builder_.at(e).role = Role::orphan;
    }
    return builder_.finish();
  }

 private:
  /// Pictures, environments and nodes, which may be there in hundreds of thousands.
  bool is_other_business(const std::string& dir) const {
    if (path::is_within(models_, dir) || path::is_within(dir, models_)) return false;
    const std::string_view top = path::relative_to(root_.path, dir);
    return top == "outputs" || top == ".venv" || top == "venv" || top == "nodes" || top == ".git" || top == "convert_cache";
  }

  void file(const Found& f) {
    const std::uint32_t e = builder_.add(f);
    Entry& entry = builder_.at(e);
    if (!path::is_within(models_, f.path)) {
      if (entry.role == Role::payload) entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
      return;
    }
    const std::string_view below = path::relative_to(models_, f.path);
    const std::string_view top = below.substr(0, below.find('/'));
    if (top.starts_with("tmpinstall_") || top == ".download_cache") {
      if (entry.role == Role::payload) entry.role = Role::partial;
      entry.links = catalog::kNoLinks;
      return;
    }
    payloads_.emplace_back(f.path, e);  // the walk is sorted within folders, not over paths
  }

  void model(const Record& record) {
    const std::string where = path::normal(path::join(models_, record.path));
    if (!sorted_) {
      std::sort(payloads_.begin(), payloads_.end());
      sorted_ = true;
    }
    const auto from = std::lower_bound(payloads_.begin(), payloads_.end(), std::pair<std::string, std::uint32_t>(where, 0));
    const bool single = from != payloads_.end() && from->first == where;
    const std::string below = where + "/";
    const auto inside = std::lower_bound(payloads_.begin(), payloads_.end(), std::pair<std::string, std::uint32_t>(below, 0));
    const bool folder = inside != payloads_.end() && inside->first.starts_with(below);
    if (!single && !folder) {
      if (path::is_within(root_.path, where)) {
        builder_.problem(where, {mlxbase::Code::not_found, "listed by InvokeAI, but not there", 0});
      }
      return;  // registered in place, outside: those bytes belong to another folder
    }
    catalog::Model made;
    made.id = record.name.empty() ? record.path : record.name;
    const std::uint32_t m = builder_.model(std::move(made));
    if (single) {
      builder_.join(m, from->second);
      // Of a folder, InvokeAI hashes the list of its files' hashes: no claim of any one file.
      Entry& entry = builder_.at(from->second);
      if (record.hash && entry.role == Role::payload) entry.claim = record.hash;
    }
    for (auto it = inside; it != payloads_.end() && it->first.starts_with(below); ++it) {
      builder_.join(m, it->second);
      if (builder_.at(it->second).role == Role::partial) builder_.model_at(m).incomplete = true;
    }
  }

  const Context& context_;
  const Root& root_;
  std::string home_;
  std::string models_;
  ListingBuilder builder_;
  std::vector<std::pair<std::string, std::uint32_t>> payloads_;
  bool sorted_ = false;
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  std::vector<Root> out;
  for (const auto& [home, origin] : homes(context)) {
    if (!exists(context, path::join(home, "databases")) && !exists(context, path::join(home, "invokeai.yaml"))) continue;
    add_root(context, out, StoreKind::invokeai, home, origin);
    const std::string models = models_dir(context, home);
    if (!path::is_within(home, models)) add_root(context, out, StoreKind::invokeai, models, "invokeai.yaml");
  }
  return out;
}

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

// A model is a row of the app's database, with a key, a hash and what the app's own probing found: only the app can write one that is true. It can be told to,
// and then leaves the file where it is.
mlxbase::Result<Publication> publish(const Context& /*context*/, const Root& /*root*/, const ModelSource& source) {
  TRY(check_source(source));
  const bool single = source.files.size() == 1;
  const std::string where = mlxbase::printable(single ? source.files.front().path : std::string(path::parent(source.files.front().path)));
  return mlxbase::fail(mlxbase::Code::unsupported,
                       "only InvokeAI itself can register a model. While it runs, this does it, and copies nothing: POST "
                       "http://127.0.0.1:9090/api/v2/models/install?inplace=true&source=" + where + " with the body {}");
}

mlxbase::Result<Removal> remove(const Context& /*context*/, const Listing& listing, std::uint32_t model) {
  TRY(model_of(listing, model));
  return mlxbase::fail(mlxbase::Code::unsupported, "a model is a row of InvokeAI's database: delete it in InvokeAI's model manager");
}

}  // namespace mlxcache::stores::invokeai
