#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/publish/publish.h"
#include "mlxcache/publish/ways.h"

namespace mlxcache::publish {
namespace {

namespace path = mlxbase::path;
using change::Change;
using change::How;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using stores::NewName;

class Planner {
 public:
  Planner(const stores::Context& context, const stores::ModelSource& source, const Adopted& adopted, bool allow_copy)
      : context_(context), source_(source), adopted_(adopted), allow_copy_(allow_copy), ways_(context) {}

  Plan run(const std::vector<Target>& targets) {
    for (const Target& target : targets) {
      if (auto made = add(target); !made) plan_.refused.push_back({target.root.kind, made.error().message});
    }
    return std::move(plan_);
  }

 private:
  /// All changes of one target or none of them.
  mlxbase::Status add(const Target& target) {
    const stores::Adapter& adapter = stores::adapter_of(target.root.kind);
    if (adapter.publish == nullptr) return fail(Code::unsupported, fmt::format("{} cannot be given models", adapter.title));
    const auto publication = TRY(adapter.publish(context_, target.root, source_));
    std::vector<Change> changes;
    Published published{target.root, publication.visible_as, publication.notes, 0};
    if (target.new_root) TRY(add_root_folders(target.root, changes));
    std::map<std::uint32_t, std::string> now_at;
    for (const NewName& name : publication.names) {
      if (!path::is_within(target.root.path, name.path)) {
        return fail(Code::invalid, fmt::format("{} would be written outside of {}", printable(name.path), printable(target.root.path)));
      }
      Change change;
      change.path = name.path;
      change.root = target.root;
      change.mode = name.mode;
      change.kind = change::Kind::place;
      switch (name.what) {
        case NewName::What::folder: change.kind = change::Kind::make_folder; break;
        case NewName::What::text:
          change.ways = {How::text};
          change.content = name.content;
          if (name.replaces && name.expected) {
            change.kind = change::Kind::replace;
            change.expected = name.expected;
          }
          break;
        case NewName::What::link_text:
          change.ways = {How::link_text};
          change.content = name.content;
          break;
        case NewName::What::payload:
          if (name.file >= source_.files.size()) return fail(Code::invalid, "a publication names a file that the model does not have");
          TRY(payload(target.root, name, change, published));
          if (!change.ways.empty() && change.ways.front() == How::adopt) now_at.emplace(name.file, name.path);
          break;
      }
      changes.push_back(std::move(change));
    }
    // Two tools may have one store (llama.cpp looks into the hub cache): what the first target brings is there for the second.
    std::vector<Change> fresh;
    for (Change& change : changes) {
      const auto planned = planned_.find(change.path);
      if (planned == planned_.end()) {
        fresh.push_back(std::move(change));
        continue;
      }
      const Change& first = plan_.changes.changes[planned->second];
      if (first.kind != change.kind || first.content != change.content || first.source_digest != change.source_digest) {
        return fail(Code::changed, fmt::format("{} would get other content than for another tool", printable(change.path)));
      }
    }
    for (Change& change : fresh) {
      planned_.emplace(change.path, plan_.changes.changes.size());
      plan_.changes.changes.push_back(std::move(change));
    }
    plan_.targets.push_back(std::move(published));
    moved_.merge(now_at);
    return {};
  }

  /// The tool has no store yet: its folder, and what is missing above it.
  mlxbase::Status add_root_folders(const catalog::Root& root, std::vector<Change>& changes) {
    std::vector<std::string> missing;
    for (std::string at = root.path; at.size() > 1 && !context_.fs.stat(at, mlxbase::os::Follow::yes); at = std::string(path::parent(at))) missing.push_back(at);
    for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
      Change change;
      change.kind = change::Kind::make_folder;
      change.path = *it;
      change.root = root;
      change.mode = 0755;
      changes.push_back(std::move(change));
    }
    return {};
  }

  mlxbase::Status payload(const catalog::Root& root, const NewName& name, Change& change, Published& published) {
    const stores::SourceFile& file = source_.files[name.file];
    change.source_digest = file.sha256;
    const auto there = context_.fs.stat(name.path);
    if (const auto adopted = adopted_.find(name.file); adopted != adopted_.end()) {
      if (const auto moved = moved_.find(name.file); moved == moved_.end()) {
        change.source = adopted->second;
        change.ways = {How::adopt};
        return {};
      } else {
        // An earlier target has taken the download in: this one shares from there.
        stores::SourceFile from = file;
        from.path = moved->second;
        change.source = moved->second;
        return pick(root, name, from, there.has_value(), change, published);
      }
    }
    change.source = file.path;
    change.source_state = file.state;
    return pick(root, name, file, there.has_value(), change, published);
  }

  mlxbase::Status pick(const catalog::Root& root, const NewName& name, const stores::SourceFile& file, bool there, Change& change, Published& published) {
    Ways found = ways_.between(file, root, name.path, name.links, allow_copy_);
    // A name that is there already is compared, and left alone if it has these bytes: no link is needed for that.
    if (found.ways.empty() && there) found.ways = {How::copy};
    if (found.ways.empty()) return fail(Code::unsupported, found.reason);
    change.ways = std::move(found.ways);
    if (change.ways.front() == How::copy && !there) {
      change.bytes = file.size;
      published.new_bytes += file.size;
    }
    return {};
  }

  const stores::Context& context_;
  const stores::ModelSource& source_;
  const Adopted& adopted_;
  bool allow_copy_;
  WayFinder ways_;
  std::map<std::string, std::size_t> planned_;  // path → index of its change
  std::map<std::uint32_t, std::string> moved_;  // files that a target has adopted, and where they are then
  Plan plan_;
};

}  // namespace

Result<Target> target_of(const stores::Context& context, const catalog::Inventory& inventory, catalog::StoreKind kind) {
  const stores::Adapter& adapter = stores::adapter_of(kind);
  if (adapter.publish == nullptr) return fail(Code::unsupported, fmt::format("{} cannot be given models", adapter.title));
  for (const catalog::Listing& listing : inventory.listings) {
    if (listing.root.kind == kind && !listing.root.origin.starts_with("bundled")) return Target{listing.root, false};
  }
  if (adapter.default_root != nullptr) {
    if (auto root = adapter.default_root(context)) {
      const bool there = context.fs.stat(root->path, mlxbase::os::Follow::yes).has_value();
      return Target{std::move(*root), !there};
    }
  }
  return fail(Code::unsupported, fmt::format("{} has no store on this machine, and where it would look cannot be told", adapter.title));
}

Result<Plan> make_plan(const stores::Context& context, const stores::ModelSource& source, const std::vector<Target>& targets, const Adopted& adopted,
                       bool allow_copy) {
  for (const stores::SourceFile& file : source.files) {
    if (!path::is_safe_relative(file.name)) return fail(Code::invalid, fmt::format("'{}' is no name that a file of a model may have", printable(file.name)));
  }
  stores::ModelSource marked = source;
  for (const auto& [file, where] : adopted) {
    if (file < marked.files.size()) marked.files[file].moves = true;
  }
  return Planner(context, marked, adopted, allow_copy).run(targets);
}

}  // namespace mlxcache::publish
