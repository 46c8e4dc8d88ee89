// GPT4All: .gguf files in one folder, beside chats and databases of the app. Facts: docs/design/stores.md, GPT4All.
#include "mlxbase/core/path.h"
#include "mlxbase/format/ini.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores::gpt4all {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::Platform;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 20U;
constexpr std::string_view kApp = "nomic.ai/GPT4All";
constexpr std::string_view kSettings = "nomic.ai/GPT4All.ini";

void add_from_settings(const Context& context, std::vector<Root>& roots, const std::string& file) {
  const auto text = mlxbase::os::read_small_file(context.fs, file, kLimit);
  if (!text) return;
  const auto settings = mlxbase::ini::parse(*text);
  if (!settings) return;
  const std::string models = (*settings)["General"]["modelPath"].string();
  if (path::is_absolute(models)) add_root(context, roots, StoreKind::gpt4all, models, "GPT4All.ini");
}

bool is_model(std::string_view name) {
  // Before GGUF: ggml-*.bin and *.ggmlv3.*.bin, which lie there still.
  return name.ends_with(".gguf") || (name.ends_with(".bin") && (name.starts_with("ggml-") || name.contains("ggmlv3")));
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  std::vector<Root> roots;
  // Qt keeps INI settings below ~/.config on macOS as well.
  add_from_settings(context, roots, path::join(xdg_config(env), kSettings));
  add_from_settings(context, roots, path::join(env.home, ".config", kSettings));
  if (env.platform == Platform::macos) {
    add_root(context, roots, StoreKind::gpt4all, path::join(env.home, "Library/Application Support", kApp), "default");
  } else {
    add_root(context, roots, StoreKind::gpt4all, path::join(xdg_data(env), kApp), "default");
  }
  for (const RedirectedHome& home : redirected_homes(context)) {
    add_from_settings(context, roots, path::join(home.config, kSettings));
    add_root(context, roots, StoreKind::gpt4all, path::join(home.data, kApp), home.origin);
  }
  add_root(context, roots, StoreKind::gpt4all, path::join(env.home, ".cache/gpt4all"), "Python binding");
  return roots;
}

std::optional<Root> default_root(const Context& context) {
  const auto roots = discover(context);
  if (!roots.empty()) return roots.front();
  const auto& env = context.environment;
  const bool macos = env.platform == Platform::macos;
  return Root{StoreKind::gpt4all, path::join(macos ? path::join(env.home, "Library/Application Support") : xdg_data(env), kApp), "default"};
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::gpt4all));
  WalkOptions options;
  options.cancel = context.cancel;
  for (const Found& f : walk(context.fs, root.path, builder.problems(), options)) {
    const std::uint32_t e = builder.add(f);
    Entry& entry = builder.at(e);
    const std::string_view name = path::file_name(f.path);
    if (!is_model(name)) {
      // Chats, databases, and *.rmodel: descriptions of remote models with the keys to them, which are never opened.
      if (entry.role == Role::payload) entry.role = Role::metadata;
      if (entry.role != Role::payload) entry.links = catalog::kNoLinks;
      continue;
    }
    if (entry.role != Role::payload && entry.role != Role::link && entry.role != Role::broken) continue;
    if (entry.role == Role::payload) entry.links_reason = "a download that cannot be renamed is copied into this name";
    catalog::Model model;
    model.id = path::stem(name);  // as the app lists a file that its catalogue does not know
    model.incomplete = entry.role == Role::broken;
    builder.join(builder.model(std::move(model)), e);
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::gpt4all
