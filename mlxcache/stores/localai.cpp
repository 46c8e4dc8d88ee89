// LocalAI: weights and YAML definitions in one folder. Facts: docs/design/stores.md, LocalAI.
#include <algorithm>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/localai_definition.h"
#include "mlxcache/stores/named_entries.h"

namespace mlxcache::stores::localai {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::uint64_t kLimit = std::uint64_t{4} << 20U;
constexpr std::string_view kGallery = "._gallery_";

bool is_yaml(std::string_view name) { return name.ends_with(".yaml") || name.ends_with(".yml"); }

/// "models" beside which the program runs may be anybody's: a gallery record, or a definition with a backend, makes it LocalAI's.
bool holds_store(const Context& context, const std::string& dir) {
  const auto names = context.fs.list(dir);
  if (!names) return false;
  int read = 0;
  for (const auto& entry : *names) {
    if (!is_yaml(entry.name)) continue;
    if (entry.name.starts_with(kGallery)) return true;
    constexpr int kLooks = 32;
    if (++read > kLooks) break;
    const auto text = mlxbase::os::read_small_file(context.fs, path::join(dir, entry.name), std::uint64_t{256} << 10U, Follow::no);
    if (!text) continue;
    const auto parsed = parse_definitions(*text);
    if (parsed && std::any_of(parsed->begin(), parsed->end(), [](const Definition& d) { return !d.name.empty() && (!d.backend.empty() || !d.files.empty()); })) return true;
  }
  return false;
}

class Lister {
 public:
  Lister(const Context& context, const Root& root) : context_(context), root_(root), builder_(root, adapter_of(StoreKind::localai)) {}

  Listing run() {
    const auto found = entries_.add_all(context_, root_, [](std::string_view relative) {
      const std::string_view name = path::file_name(relative);
      return is_yaml(name) || name.starts_with('.') || !may_be_model(name);
    });
    for (const Found& f : found) {
      const std::string_view relative = path::relative_to(root_.path, f.path);
      if (!relative.contains('/') && is_yaml(relative) && builder_.at(*entries_.find(relative)).role != Role::foreign) definitions(f, relative);
    }
    for (const auto& [name, definition] : named_) model(name, definition);
    loose();
    return builder_.finish();
  }

 private:
  /// Files that a folder of definitions is full of and that hold no weights.
  static bool may_be_model(std::string_view name) {
    for (const std::string_view ending : {".json", ".md", ".txt", ".tmpl", ".yml", ".yaml", ".log", ".py"}) {
      if (name.ends_with(ending)) return false;
    }
    return true;
  }

  void definitions(const Found& f, std::string_view file) {
    const auto text = read_metadata(context_, root_.path, f.path, kLimit);
    auto parsed = text ? parse_definitions(*text) : mlxbase::Result<std::vector<Definition>>(mlxbase::fail(text.error()));
    if (!parsed) {
      builder_.problem(f.path, parsed.error());
      return;
    }
    for (Definition& d : *parsed) {
      for (const std::string& refused : d.refused) {
        // An absolute path may be a model elsewhere; ".." is refused by LocalAI itself.
        builder_.problem(f.path, {Code::invalid, "refers to a file outside the models folder: " + refused.substr(0, 200), 0});
      }
      for (const auto& [name, digest] : d.sha256) claims_.insert_or_assign(name, digest);
      std::string name = d.name;
      if (file.starts_with(kGallery)) {
        // The record of an installed model belongs to the definition of its file's name, whatever it calls itself.
        name = path::stem(file.substr(kGallery.size()));
        names_of_files_.try_emplace(name, name);
        records_[name].insert(records_[name].end(), d.files.begin(), d.files.end());
        continue;
      }
      if (name.empty()) name = path::stem(file);
      names_of_files_[std::string(path::stem(file))] = name;
      auto& into = named_[name];
      into.insert(into.end(), d.files.begin(), d.files.end());
    }
  }

  void model(const std::string& name, const std::vector<std::string>& files) {
    catalog::Model row;
    row.id = name;
    const std::uint32_t m = builder_.model(std::move(row));
    std::vector<std::string> all = files;
    for (const auto& [file, definition] : names_of_files_) {
      if (definition != name) continue;
      if (const auto it = records_.find(file); it != records_.end()) all.insert(all.end(), it->second.begin(), it->second.end());
    }
    for (const std::string& file : all) refer(m, file);
  }

  void refer(std::uint32_t m, const std::string& name) {
    if (const std::uint32_t* const e = entries_.find(name)) {
      for (const std::string& part : entries_.other_parts(name)) attach(m, part, *entries_.find(part));
      attach(m, name, *e);
      return;
    }
    // A folder of a diffusers or transformers model, or the id of one that the backend fetches itself.
    const std::string folder = name + "/";
    bool any = false;
    const auto& all = entries_.all();
    for (auto f = all.lower_bound(folder); f != all.end() && f->first.starts_with(folder); ++f) {
      any = true;
      attach(m, f->first, f->second);
    }
    if (!any && (claims_.contains(name) || !format_of_name(name).empty() || entries_.find(name + ".partial") != nullptr)) builder_.model_at(m).incomplete = true;
  }
  static std::string_view format_of_name(std::string_view name) { return mlxcache::stores::format_of(name); }

  void attach(std::uint32_t m, const std::string& name, std::uint32_t e) {
    Entry& entry = builder_.at(e);
    if (entry.role == Role::partial || entry.role == Role::broken) builder_.model_at(m).incomplete = true;
    if (entry.role != Role::payload && entry.role != Role::link && entry.role != Role::broken) return;
    builder_.join(m, e);
    const auto claim = claims_.find(name);
    if (claim == claims_.end() || entry.role != Role::payload) return;
    entry.claim = claim->second;
    entry.claim_checked_by_tool = true;
  }

  /// Weights that no definition names can be loaded by their file name all the same; those in folders belong to one.
  void loose() {
    for (const auto& [name, e] : entries_.all()) {
      Entry& entry = builder_.at(e);
      if (entry.model >= 0 || entry.role != Role::payload) continue;
      const bool on_top = !name.contains('/');
      if (!is_weights(name)) {
        if (on_top) continue;  // a file without an ending may be a model too, and is counted
        entry.role = Role::metadata;
        entry.links = catalog::kNoLinks;
        continue;
      }
      if (!on_top) {
        entry.role = Role::orphan;
        continue;
      }
      catalog::Model row;
      row.id = name;
      const std::uint32_t m = builder_.model(std::move(row));
      attach(m, name, e);
    }
  }

  const Context& context_;
  const Root& root_;
  ListingBuilder builder_;
  NamedEntries entries_{builder_};
  std::map<std::string, std::vector<std::string>> named_;                  // model → files of its definitions
  std::map<std::string, std::vector<std::string>, std::less<>> records_;   // definition's file without ending → files of its gallery record
  std::map<std::string, std::string> names_of_files_;                      // definition's file without ending → model
  std::map<std::string, mlxbase::Digest, std::less<>> claims_;
};

}  // namespace

std::vector<Root> discover(const Context& context) {
  const auto& env = context.environment;
  std::vector<Root> roots;
  if (const auto value = env.get_nonempty("LOCALAI_MODELS_PATH")) add_root(context, roots, StoreKind::localai, *value, "LOCALAI_MODELS_PATH");
  // Docker Model Runner reads MODELS_PATH too.
  if (const auto value = env.get_nonempty("MODELS_PATH")) {
    const std::string dir = env.absolute(*value);
    if (!context.fs.stat(path::join(dir, "models.json")) && !context.fs.stat(path::join(dir, "blobs"))) {
      add_root(context, roots, StoreKind::localai, dir, "MODELS_PATH");
    }
  }
  const std::pair<std::string, std::string_view> places[] = {
      {path::join(env.working_directory, "models"), "working directory"},
      {path::join(env.home, "localai/models"), "home"},
      {path::join(env.home, "LocalAI/models"), "home"},
      {env.system("/usr/share/local-ai/models"), "Linux service"},
      {env.system("/models"), "container image"},
  };
  for (const auto& [dir, origin] : places) {
    if (holds_store(context, dir)) add_root(context, roots, StoreKind::localai, dir, origin);
  }
  return roots;
}

Listing list(const Context& context, const Root& root) { return Lister(context, root).run(); }

std::string staging(const Root& /*root*/, const std::string& target, std::string_view token) { return staging_beside_target(target, token); }

std::vector<LockFile> locks(const Root& /*root*/, const Entry& /*entry*/) { return {}; }

}  // namespace mlxcache::stores::localai
