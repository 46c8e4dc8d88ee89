#include "mlxhub/serve/library.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/mlxcache.h"
#include "mlxhub/cpu/executor.h"

namespace mlxhub::serve {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace os = mlxbase::os;

namespace {

/// What to open of a model: the GGUF file, or the folder that its safetensors lie in beside a config.json.
std::optional<Found> openable(os::FileSystem& fs, const mlxcache::Listing& listing, const mlxcache::Model& model) {
  Found found{.id = model.id, .store = std::string(mlxcache::adapter_of(listing.root.kind).name), .format = model.format};
  const bool gguf = model.format == "gguf";
  if (model.incomplete || (!gguf && model.format != "safetensors")) return std::nullopt;
  std::uint64_t largest = 0;
  for (const std::uint32_t index : model.entries) {
    const mlxcache::Entry& entry = listing.entries[index];
    if (entry.role != mlxcache::Role::payload && entry.role != mlxcache::Role::link) continue;
    const auto stat = fs.stat(entry.path, os::Follow::yes);
    if (!stat || stat->kind != os::FileKind::regular) continue;
    if (!gguf && !entry.path.ends_with(".safetensors")) continue;
    found.bytes += stat->size;
    if (stat->size <= largest) continue;
    largest = stat->size;
    found.path = gguf ? entry.path : std::string(mlxbase::path::parent(entry.path));
  }
  if (found.path.empty()) return std::nullopt;
  if (!gguf && !fs.stat(mlxbase::path::join(found.path, "config.json"), os::Follow::yes)) return std::nullopt;
  return found;
}

}  // namespace

Result<std::vector<Found>> find_models(os::FileSystem& fs, const os::Environment& environment) {
  auto catalog = TRY(mlxcache::Catalog::in_memory());
  const mlxcache::Context context{.fs = fs, .environment = environment};
  mlxcache::ScanOptions options;
  options.find_duplicates = false;
  options.ask_sharing = false;
  const mlxcache::Inventory inventory = TRY(mlxcache::scan_stores(context, catalog, options, mlxbase::no_progress()));
  std::vector<Found> all;
  std::set<std::string> seen;
  for (const auto& listing : inventory.listings) {
    for (const auto& model : listing.models) {
      auto found = openable(fs, listing, model);
      if (found && seen.insert(found->id + '\n' + found->path).second) all.push_back(std::move(*found));
    }
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) { return a.id < b.id; });
  return all;
}

Result<Found> find_model(os::FileSystem& fs, const os::Environment& environment, const std::string& name) {
  if (name.starts_with('/') || name.starts_with("./") || name.starts_with("../") || name.starts_with("~/")) {
    const std::string path = environment.absolute(name);
    TRY(fs.stat(path, os::Follow::yes));
    return Found{.id = std::string(mlxbase::path::file_name(path)), .store = "path", .path = path};
  }
  const auto all = TRY(find_models(fs, environment));
  const auto matches = [&](const std::string& id) { return id == name || id == name + ":latest"; };
  const Found* match = nullptr;
  std::string near;
  for (const Found& found : all) {
    if (matches(found.id)) {
      // The same name in several stores: one model, whichever; the first by id order is as good as another.
      if (match == nullptr) match = &found;
    } else if (near.size() < 200 && found.id.find(name) != std::string::npos) {
      near += fmt::format("{}{}", near.empty() ? "; near it: " : ", ", mlxbase::printable(found.id));
    }
  }
  if (match == nullptr) return fail(Code::not_found, fmt::format("no model '{}' is on this machine{}", mlxbase::printable(name), near));
  return *match;
}

Result<std::shared_ptr<Loaded>> Library::get(const std::string& name) {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto at = by_name_.find(name); at != by_name_.end()) return at->second;
  }
  const std::scoped_lock one_at_a_time(loading_);
  {
    const std::scoped_lock lock(mutex_);
    if (const auto at = by_name_.find(name); at != by_name_.end()) return at->second;
    if (stopped_) return fail(Code::cancelled, "the server is ending");
  }
  const Found found = TRY(find_model(fs_, environment_, name));
  auto loaded = std::make_shared<Loaded>();
  loaded->id = found.store == "path" ? found.id : name;
  loaded->created = mlxbase::system_clock().wall_ns() / 1'000'000'000;
  loaded->model = TRY(model::open(fs_, found.path));
  loaded->tokenizer = &loaded->model->tokenizer;
  loaded->bos = loaded->model->bos;
  loaded->eos = loaded->model->eos;
  loaded->ends = loaded->model->ends;
  if (!loaded->model->chat_template.empty()) {
    auto chat = mlxstudio::jinja::Template::compile(loaded->model->chat_template);
    if (chat) {
      loaded->chat = std::make_unique<mlxstudio::jinja::Template>(std::move(*chat));
    } else {
      loaded->chat_error = chat.error().message;
    }
  }
  loaded->scheduler = std::make_unique<schedule::Scheduler>(cpu::make_executor(*loaded->model, {.threads = options_.threads}), *loaded->tokenizer, options_.schedule);
  const std::scoped_lock lock(mutex_);
  if (stopped_) return fail(Code::cancelled, "the server is ending");
  by_name_[name] = loaded;
  by_name_[loaded->id] = loaded;
  return loaded;
}

void Library::put(std::shared_ptr<Loaded> loaded) {
  const std::scoped_lock lock(mutex_);
  by_name_[loaded->id] = std::move(loaded);
}

std::vector<std::shared_ptr<Loaded>> Library::loaded() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<Loaded>> out;
  for (const auto& [name, loaded] : by_name_) {
    if (std::find(out.begin(), out.end(), loaded) == out.end()) out.push_back(loaded);
  }
  return out;
}

void Library::stop() {
  std::map<std::string, std::shared_ptr<Loaded>> all;
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    all.swap(by_name_);
  }
  for (auto& [name, loaded] : all) loaded->scheduler->end();
}

}  // namespace mlxhub::serve
