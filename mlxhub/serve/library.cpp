#include "mlxhub/serve/library.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/os/memory.h"
#include "mlxcache/mlxcache.h"
#include "mlxhub/cpu/executor.h"

namespace mlxhub::serve {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace os = mlxbase::os;

namespace {

constexpr std::size_t kTokensToCount = 4096;  // keys and values that a model is counted with; more are taken if there is room

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
    found.modified_ns = stat->mtime_ns;
    found.digest = entry.claim && entry.claim->algorithm() == mlxbase::Algorithm::sha256 ? entry.claim->hex() : std::string();
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

std::shared_ptr<const grammar::Vocabulary> Loaded::vocabulary() {
  std::call_once(vocabulary_once_, [&] { vocabulary_ = std::make_shared<const grammar::Vocabulary>(*tokenizer, text::tool_markers()); });
  return vocabulary_;
}

Library::Library(os::FileSystem& fs, const os::Environment& environment, const LibraryOptions& options)
    : fs_(fs), environment_(environment), options_(options), sweeper_([this] { sweep(); }) {}

Library::~Library() {
  stop();
  sweeper_.join();
}

std::shared_ptr<Loaded> Library::known(const std::string& name) const {
  for (const Entry& entry : entries_) {
    if (!entry.names.contains(name)) continue;
    entry.loaded->used_ns = mlxbase::system_clock().steady_ns();
    return entry.loaded;
  }
  return nullptr;
}

/// One whose file was shortened underneath is of no more use: it goes, and is loaded again, if it can be.
std::shared_ptr<Loaded> Library::intact(const std::string& name) {
  auto loaded = known(name);
  if (loaded == nullptr || loaded->model == nullptr) return loaded;
  const auto& mappings = loaded->model->mappings;
  if (std::none_of(mappings.begin(), mappings.end(), [](const auto& mapping) { return mapping.damaged(); })) return loaded;
  std::erase_if(entries_, [&](const Entry& entry) { return entry.loaded == loaded; });
  leaving_.push_back(std::move(loaded));
  stopping_.notify_all();
  return nullptr;
}

Result<std::uint64_t> Library::make_room(const Loaded& loaded) {
  std::uint64_t room = 0;
  if (options_.memory_bytes) {
    room = *options_.memory_bytes;
  } else {
    const auto memory = os::machine_memory(fs_);
    if (!memory) return UINT64_MAX / 4;  // a machine that does not tell: then whoever loads a model has to know
    room = memory->available;  // weights that are mapped are a part of it: their pages keep files
  }
  std::unique_lock lock(mutex_);
  const auto used = [&] {
    std::uint64_t sum = 0;
    for (const Entry& entry : entries_) sum += entry.loaded->memory_bytes;
    return sum;
  };
  for (int tries = 0; used() + loaded.memory_bytes > room && tries < 200; ++tries) {
    auto oldest = entries_.end();
    bool soon = false;  // its last answer is out, but who gave it has not let go yet
    for (auto at = entries_.begin(); at != entries_.end(); ++at) {
      if (at->loaded->pinned) continue;
      if (at->loaded.use_count() > 1) {
        const schedule::Stats stats = at->loaded->scheduler->stats();
        soon = soon || stats.active + stats.waiting == 0;
      } else if (oldest == entries_.end() || at->loaded->used_ns < oldest->loaded->used_ns) {
        oldest = at;
      }
    }
    if (oldest != entries_.end()) {
      leaving_.push_back(std::move(oldest->loaded));
      entries_.erase(oldest);
      stopping_.notify_all();
    } else if (soon) {
      stopping_.wait_for(lock, std::chrono::milliseconds(5));
    } else {
      break;
    }
  }
  if (const std::uint64_t all = used() + loaded.memory_bytes; all <= room) return room - all;
  std::string others;
  for (const Entry& entry : entries_) others += fmt::format("{}{} {}", others.empty() ? "; loaded, and in use or kept: " : ", ", mlxbase::printable(entry.loaded->id), mlxbase::format_bytes(entry.loaded->memory_bytes));
  const std::uint64_t weights = loaded.model->weight_bytes;
  return fail(Code::out_of_memory, fmt::format("{} needs {} of memory ({} of weights, {} of keys and values); {} {}{}", mlxbase::printable(loaded.id), mlxbase::format_bytes(loaded.memory_bytes), mlxbase::format_bytes(weights),
                                               mlxbase::format_bytes(loaded.memory_bytes - weights), mlxbase::format_bytes(room), options_.memory_bytes ? "are allowed" : "are left", others));
}

Result<std::shared_ptr<Loaded>> Library::get(const std::string& name, bool pinned) {
  {
    const std::scoped_lock lock(mutex_);
    if (auto loaded = intact(name)) return loaded;
  }
  const std::scoped_lock one_at_a_time(loading_);
  {
    const std::scoped_lock lock(mutex_);
    if (auto loaded = intact(name)) return loaded;
    if (stopped_) return fail(Code::cancelled, "the server is ending");
  }
  auto loaded = std::make_shared<Loaded>();
  loaded->found = TRY(find_model(fs_, environment_, name));
  {
    // The same file under another name.
    const std::scoped_lock lock(mutex_);
    for (Entry& entry : entries_) {
      if (entry.loaded->found.path != loaded->found.path) continue;
      entry.names.insert(name);
      return known(name);
    }
  }
  loaded->id = loaded->found.id;
  loaded->created = mlxbase::system_clock().wall_ns() / 1'000'000'000;
  loaded->pinned = pinned;
  loaded->keep_ns = options_.keep_seconds < 0 ? -1 : options_.keep_seconds * 1'000'000'000;
  loaded->model = TRY(model::open(fs_, loaded->found.path));
  if (loaded->found.bytes == 0) loaded->found.bytes = loaded->model->weight_bytes;
  loaded->tokenizer = &loaded->model->tokenizer;
  loaded->bos = loaded->model->bos;
  loaded->eos = loaded->model->eos;
  loaded->ends = loaded->model->ends;
  loaded->tool_syntax = text::tool_syntax_of(loaded->model->chat_template);
  loaded->chat_takes_tools = loaded->model->chat_template.find("tools") != std::string::npos;
  if (!loaded->model->chat_template.empty()) {
    auto chat = mlxstudio::jinja::Template::compile(loaded->model->chat_template);
    if (chat) {
      loaded->chat = std::make_unique<mlxstudio::jinja::Template>(std::move(*chat));
    } else {
      loaded->chat_error = chat.error().message;
    }
  }
  auto executor = cpu::make_executor(*loaded->model, {.threads = options_.threads});
  const engine::Facts& facts = executor->facts();
  loaded->memory_bytes = facts.weight_bytes + facts.bytes_a_token * std::min(facts.context, kTokensToCount);
  const std::uint64_t left = TRY(make_room(*loaded));
  schedule::Options schedule = options_.schedule;
  schedule.cache_bytes = std::min(schedule.cache_bytes, loaded->memory_bytes - facts.weight_bytes + left / 2);
  loaded->scheduler = std::make_unique<schedule::Scheduler>(std::move(executor), *loaded->tokenizer, schedule);
  const std::scoped_lock lock(mutex_);
  if (stopped_) return fail(Code::cancelled, "the server is ending");
  entries_.push_back({.loaded = loaded, .names = {name, loaded->id}});
  loaded->used_ns = mlxbase::system_clock().steady_ns();
  stopping_.notify_all();  // the sweeper may have had nothing to look after
  return loaded;
}

std::shared_ptr<Loaded> Library::if_loaded(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  return known(name);
}

void Library::put(std::shared_ptr<Loaded> loaded) {
  const std::scoped_lock lock(mutex_);
  std::set<std::string> names{loaded->id};
  entries_.push_back({.loaded = std::move(loaded), .names = std::move(names)});
}

std::vector<std::shared_ptr<Loaded>> Library::loaded() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::shared_ptr<Loaded>> out;
  for (const Entry& entry : entries_) out.push_back(entry.loaded);
  return out;
}

bool Library::let_go(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto at = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.names.contains(name); });
  if (at == entries_.end()) return false;
  leaving_.push_back(std::move(at->loaded));
  entries_.erase(at);
  stopping_.notify_all();
  return true;
}

void Library::sweep() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    const std::int64_t now = mlxbase::system_clock().steady_ns();
    for (auto at = entries_.begin(); at != entries_.end();) {
      Loaded& loaded = *at->loaded;
      const std::int64_t keep = loaded.keep_ns;
      if (at->loaded.use_count() > 1) loaded.used_ns = now;  // who gets a model does so under the lock, so nobody can come in between
      if (at->loaded.use_count() == 1 && !loaded.pinned && keep >= 0 && now - loaded.used_ns >= keep) {
        leaving_.push_back(std::move(at->loaded));
        at = entries_.erase(at);
      } else {
        ++at;
      }
    }
    std::vector<std::shared_ptr<Loaded>> ending;
    for (auto& loaded : leaving_) {
      if (loaded.use_count() == 1) ending.push_back(std::move(loaded));
    }
    std::erase(leaving_, nullptr);
    if (!ending.empty()) {
      lock.unlock();
      ending.clear();
      lock.lock();
    }
    if (stopped_) return;
    if (entries_.empty() && leaving_.empty()) {
      stopping_.wait(lock);
    } else {
      stopping_.wait_for(lock, std::chrono::milliseconds(leaving_.empty() ? 1000 : 100));
    }
  }
}

void Library::stop() {
  std::vector<std::shared_ptr<Loaded>> all;
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
    for (Entry& entry : entries_) all.push_back(std::move(entry.loaded));
    for (auto& loaded : leaving_) all.push_back(std::move(loaded));
    entries_.clear();
    leaving_.clear();
  }
  stopping_.notify_all();
  for (auto& loaded : all) loaded->scheduler->end();
}

}  // namespace mlxhub::serve
