// text-generation-webui: any file or folder under models/ is a model; downloads write to the final name.
// Facts: docs/design/stores.md, text-generation-webui.
#include <algorithm>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/webui_metadata.h"

namespace mlxcache::stores::text_generation_webui {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileKind;

constexpr std::string_view kMetadata = "huggingface-metadata.txt";
constexpr std::uint64_t kTextLimit = std::uint64_t{4} << 20U;

std::vector<std::string> folders_named(const Context& context, const std::string& dir, std::string_view prefix) {
  std::vector<std::string> out;
  const auto names = context.fs.list(dir);
  if (!names) return out;
  for (const auto& entry : *names) {
    if (entry.name.starts_with(prefix) && entry.kind != FileKind::regular) out.push_back(path::join(dir, entry.name));
  }
  std::sort(out.begin(), out.end());
  return out;
}

void add_user_data(const Context& context, std::vector<Root>& roots, const std::string& user_data, std::string_view origin) {
  for (const std::string_view folder : {"models", "loras", "image_models"}) {
    add_root(context, roots, StoreKind::text_generation_webui, path::join(user_data, folder), origin);
  }
}

/// CMD_FLAGS.txt holds the command line of each start: `--model-dir /big/models`.
void add_flags(const Context& context, std::vector<Root>& roots, const std::string& install, const std::string& file) {
  const auto text = mlxbase::os::read_small_file(context.fs, file, kTextLimit);
  if (!text) return;
  for (const auto& [flag, value] : parse_flags(*text)) {
    const std::string where = path::is_absolute(value) ? value : path::join(install, value);
    if (flag == "--model-dir" || flag == "--lora-dir" || flag == "--image-model-dir") add_root(context, roots, StoreKind::text_generation_webui, where, flag);
    if (flag == "--user-data-dir") add_user_data(context, roots, where, flag);
  }
}

/// Files of the program itself that lie among the models.
bool is_settings(std::string_view name) {
  return name == "config.yaml" || name == "config-user.yaml" || name == "place-your-models-here.txt" || name.starts_with("place-your-");
}

/// "name-00002-of-00003.gguf" → "name-00001-of-00003.gguf": the file by which a split set is loaded.
std::string set_name(std::string_view name) {
  std::string out(name);
  constexpr std::size_t kTail = std::string_view("00001-of-00003").size();
  const std::size_t stem = path::stem(name).size();
  if (stem <= kTail || !name.substr(stem - 9).starts_with("-of-") || name[stem - kTail - 1] != '-') return out;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::string_view part = name.substr(stem - kTail, 5);
  const std::string_view count = name.substr(stem - 5, 5);
  if (std::all_of(part.begin(), part.end(), is_digit) && std::all_of(count.begin(), count.end(), is_digit)) out.replace(stem - kTail, 5, "00001");
  return out;
}

}  // namespace

std::vector<Root> discover(const Context& context) {
  const std::string& home = context.environment.home;
  std::vector<Root> roots;
  // The program runs from where it was unpacked; its own names for that folder are the only trace.
  for (const std::string& install : folders_named(context, home, "text-generation-webui")) {
    add_flags(context, roots, install, path::join(install, "user_data/CMD_FLAGS.txt"));
    add_flags(context, roots, install, path::join(install, "CMD_FLAGS.txt"));
    add_user_data(context, roots, path::join(install, "user_data"), "install folder");
    add_root(context, roots, StoreKind::text_generation_webui, path::join(install, "models"), "install folder");
    add_root(context, roots, StoreKind::text_generation_webui, path::join(install, "loras"), "install folder");
    // Portable builds keep their data beside the install folder, so that an update leaves it alone.
    for (const std::string_view up : {"../user_data", "../../user_data"}) {
      const std::string flags = path::normal(path::join(install, up, "CMD_FLAGS.txt"));
      if (context.fs.stat(flags)) add_user_data(context, roots, path::normal(path::join(install, up)), "portable user_data");
    }
  }
  return roots;
}

Listing list(const Context& context, const Root& root) {
  ListingBuilder builder(root, adapter_of(StoreKind::text_generation_webui));
  WalkOptions options;
  options.cancel = context.cancel;
  const auto found = walk(context.fs, root.path, builder.problems(), options);
  std::map<std::string, std::uint32_t, std::less<>> models;
  std::map<std::string, WebuiMetadata, std::less<>> records;  // by folder
  for (const Found& f : found) {
    if (path::file_name(f.path) != kMetadata) continue;
    const auto text = read_metadata(context, root.path, f.path, kTextLimit);
    if (text) {
      records.emplace(path::parent(f.path), parse_webui_metadata(*text));
    } else {
      builder.problem(f.path, text.error());
    }
  }
  for (const Found& f : found) {
    const std::uint32_t e = builder.add(f);
    const std::string_view relative = path::relative_to(root.path, f.path);
    const std::string_view name = path::file_name(relative);
    const auto slash = relative.find('/');
    Entry& entry = builder.at(e);
    if (entry.role == Role::payload && (name == kMetadata || name.starts_with('.') || (slash == std::string_view::npos && is_settings(name)))) {
      entry.role = Role::metadata;
      entry.links = catalog::kNoLinks;
    }
    if (entry.role == Role::payload) entry.links_reason = "downloads append to this name, and truncate it: a linked twin would change with it";
    if (entry.role == Role::metadata || entry.role == Role::foreign || entry.role == Role::lock) continue;
    if (entry.role == Role::partial && (slash == std::string_view::npos || is_staging_name(name))) continue;
    const std::string id = slash == std::string_view::npos ? set_name(name) : std::string(relative.substr(0, slash));
    auto it = models.find(id);
    if (it == models.end()) {
      catalog::Model model;
      model.id = id;
      it = models.emplace(id, builder.model(std::move(model))).first;
    }
    if (entry.role == Role::partial || entry.role == Role::broken) builder.model_at(it->second).incomplete = true;
    if (entry.role == Role::partial) continue;
    builder.join(it->second, e);
    if (slash == std::string_view::npos) continue;
    // Names in the record are relative to the model's folder.
    const auto record = records.find(path::join(root.path, id));
    if (record == records.end()) continue;
    builder.model_at(it->second).revision = record->second.branch;
    const auto claim = record->second.sha256.find(relative.substr(slash + 1));
    if (claim != record->second.sha256.end() && entry.role == Role::payload) entry.claim = claim->second;
  }
  for (const auto& [id, m] : models) {
    std::vector<ViewedFile> files;
    for (const std::uint32_t e : builder.model_at(m).entries) {
      const std::string& file = builder.at(e).path;
      const std::string folder = path::join(root.path, id);
      if (file != folder && path::is_within(folder, file)) files.push_back({std::string(path::relative_to(folder, file)), file});
    }
    if (lacks_indexed_shard(context, root.path, files, builder.problems())) builder.model_at(m).incomplete = true;
  }
  return builder.finish();
}

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::text_generation_webui
