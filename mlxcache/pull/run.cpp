#include <algorithm>
#include <iterator>
#include <map>

#include "mlxbase/core/log.h"
#include "mlxbase/core/path.h"
#include "mlxcache/pull/obtain.h"
#include "mlxcache/pull/pull.h"
#include "mlxcache/pull/source.h"
#include "mlxcache/publish/files.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using change::Change;
using change::How;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using stores::ModelSource;

ModelSource source_of(const stores::Context& context, const Plan& plan, const Haul& haul) {
  ModelSource out = source_before_download(plan);
  for (std::size_t i = 0; i < out.files.size(); ++i) {
    stores::SourceFile& file = out.files[i];
    const Obtained& obtained = haul.files[i];
    file.path = obtained.path;
    file.state = obtained.state;
    file.sha256 = obtained.sha256;
    if (obtained.git_sha1) file.git_sha1 = obtained.git_sha1;
    file.shared_by = obtained.shared_by;
  }
  for (const stores::SourceFile& file : out.files) {
    const bool model = file.name.ends_with(".gguf") && !path::file_name(file.name).contains("mmproj");
    if (!model) continue;
    if (auto facts = stores::gguf_facts(context, file.path)) out.gguf = *std::move(facts);
    // As the repo calls it: what people ask for, and what a tool's own download would have left.
    if (out.tag == "latest") out.tag = publish::quant_of(path::file_name(file.name));
    if (out.tag.empty()) out.tag = out.gguf && !out.gguf->file_type.empty() ? out.gguf->file_type : "latest";
    break;
  }
  return out;
}

/// Whether this name is there already just as it shall be: then nobody need read its bytes once more.
bool is_there(mlxbase::os::FileSystem& fs, const Change& change) {
  const auto stat = fs.stat(change.path);
  if (!stat) return false;
  if (change.kind == change::Kind::make_folder) return stat->kind == mlxbase::os::FileKind::directory;
  if (change.ways.empty()) return false;
  if (change.ways.front() == How::link_text) {
    const auto text = stat->kind == mlxbase::os::FileKind::symlink ? fs.read_link(change.path) : Result<std::string>(fail(Code::invalid, ""));
    return text && *text == change.content;
  }
  if (stat->kind != mlxbase::os::FileKind::regular) return false;
  if (change.ways.front() == How::text) {
    const auto text = mlxbase::os::read_small_file(fs, change.path, change.content.size() + 1, mlxbase::os::Follow::no);
    return text && *text == change.content;
  }
  // The measured source itself, under this name or another of its inode.
  return change.source_state && catalog::fingerprint_of(*stat) == *change.source_state;
}

class Publishing {
 public:
  Publishing(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, const Options& options, Pulled& out)
      : m_(machinery), catalog_(catalog), client_(client), options_(options), out_(out) {}

  Status publish(const ModelSource& source, const std::vector<publish::Target>& targets, const publish::Adopted& adopted, bool first_must) {
    if (targets.empty()) return {};
    m_.progress.stage("publishing", 0, false);
    constexpr int kTries = 4, kWaits = 240;
    for (int tries = 1, waits = 0;;) {
      auto done = once(source, targets, adopted, first_must);
      if (done) return done;
      if (done.error().code == Code::changed && tries++ < kTries) continue;  // somebody put the very same file there between our look and our step
      if (done.error().code != Code::busy || waits++ == kWaits) return done;
      TRY(pause());  // a tool is at this very file, or another mlxcache at the stores: what was downloaded is worth the wait
    }
  }

  /// Where a download was to move, by where it lay.
  const std::map<std::string, std::string>& moved() const { return moved_; }

 private:
  Status once(const ModelSource& source, const std::vector<publish::Target>& targets, const publish::Adopted& adopted, bool first_must) {
    auto plan = TRY(publish::make_plan(m_.context, source, targets, adopted, options_.allow_copy));
    const bool refused = std::any_of(plan.refused.begin(), plan.refused.end(), [&](const auto& r) { return r.kind == targets.front().root.kind; });
    if (first_must && refused) return fail(Code::unsupported, plan.refused.front().reason);
    for (const Change& change : plan.changes.changes) {
      if (!change.ways.empty() && change.ways.front() == How::adopt) moved_.emplace(change.source, change.path);
    }
    std::erase_if(plan.changes.changes, [&](const Change& change) { return is_there(m_.context.fs, change); });
    if (!plan.changes.changes.empty()) {
      auto done = TRY(change::carry_out(m_, plan.changes));
      remember(done, source);
      if (!done.transaction.empty()) out_.changes.push_back(std::move(done));
    }
    std::move(plan.targets.begin(), plan.targets.end(), std::back_inserter(out_.visible));
    std::move(plan.refused.begin(), plan.refused.end(), std::back_inserter(out_.refused));
    return {};
  }

  Status pause() {
    constexpr std::uint32_t kPauseMs = 500;
    const std::int64_t end = m_.clock.steady_ns() + std::int64_t{kPauseMs} * 1'000'000;
    while (m_.clock.steady_ns() < end) {
      if (m_.cancel != nullptr && m_.cancel->requested()) return fail(Code::cancelled, "cancelled");
      TRY(client_.poll(100));
    }
    return {};
  }

  /// What was measured while it came stays known under the name where it lies now: the next pull need not read it.
  void remember(const change::Done& done, const ModelSource& source) {
    std::vector<catalog::Measured> known;
    for (const Change& change : done.done) {
      if (change.kind != change::Kind::place || !change.source_digest || change.ways.empty() || change.ways.front() == How::symlink) continue;
      const auto stat = m_.context.fs.stat(change.path);
      if (!stat || stat->kind != mlxbase::os::FileKind::regular) continue;
      catalog::Measured measured;
      measured.of = catalog::fingerprint_of(*stat);
      measured.digests.push_back(*change.source_digest);
      for (const stores::SourceFile& file : source.files) {
        if (file.sha256 != *change.source_digest || !file.git_sha1) continue;
        measured.digests.push_back(*file.git_sha1);
        break;
      }
      measured.verified_at_ns = m_.clock.wall_ns();
      known.push_back(std::move(measured));
    }
    if (auto kept = catalog_.remember(known); !kept) mlxbase::log::warning("pull.remember", {{"error", kept.error().message}});
  }

  const change::Machinery& m_;
  catalog::Catalog& catalog_;
  mlxbase::net::Client& client_;
  const Options& options_;
  Pulled& out_;
  std::map<std::string, std::string> moved_;
};

/// Once a first target has taken the downloads in, others share from there.
void follow_moves(const stores::Context& context, const std::map<std::string, std::string>& moved, ModelSource& source) {
  for (stores::SourceFile& file : source.files) {
    const auto at = moved.find(file.path);
    const auto stat = at == moved.end() ? Result<mlxbase::os::FileStat>(fail(Code::not_found, "")) : context.fs.stat(at->second);
    if (!stat || stat->kind != mlxbase::os::FileKind::regular) continue;
    file.path = at->second;
    file.state = catalog::fingerprint_of(*stat);
  }
}

/// Leftovers of downloads whose bytes are in a store now. A folder that others still use stays.
void tidy(mlxbase::os::FileSystem& fs, const Plan& plan, const Haul& haul) {
  for (const Obtained& file : haul.files) {
    if (file.downloaded) (void)fs.unlink(file.path);
  }
  (void)fs.remove_dir(plan.downloads_folder);
}

/// First into the id's own store, which takes the downloads in; then into the others.
Status publish_everywhere(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, const Plan& plan, const Options& options,
                          ModelSource source, const publish::Adopted& adopted, Pulled& out) {
  const stores::Context& context = machinery.context;
  Publishing publishing(machinery, catalog, client, options, out);
  if (source.registry_manifest.empty() && adopted.empty()) {
    TRY(publishing.publish(source, plan.targets, adopted, true));
  } else {
    // The others share what the first has taken in, and of a registry's layers they want files: so they come after.
    TRY(publishing.publish(source, {plan.targets.front()}, adopted, true));
    follow_moves(context, publishing.moved(), source);
    ModelSource others = source_for_others(source, plan.resolved);
    if (!source.registry_manifest.empty() && !others.files.empty()) {
      if (auto facts = stores::gguf_facts(context, others.files.front().path)) others.gguf = *std::move(facts);
    }
    TRY(publishing.publish(others, {plan.targets.begin() + 1, plan.targets.end()}, {}, false));
  }
  return {};
}

}  // namespace

Result<Pulled> run(const change::Machinery& machinery, catalog::Catalog& catalog, mlxbase::net::Client& client, Plan plan, const Options& options,
                   const Watcher& watcher) {
  const Haul haul = TRY(obtain(machinery, catalog, client, plan, options, watcher));
  Pulled out;
  out.refused = plan.refused;
  out.downloaded_bytes = haul.downloaded_bytes;
  out.shared_bytes = haul.shared_bytes;

  const stores::Context& context = machinery.context;
  ModelSource source = source_of(context, plan, haul);
  publish::Adopted adopted;
  for (std::uint32_t i = 0; i < haul.files.size(); ++i) {
    if (haul.files[i].downloaded) adopted.emplace(i, haul.files[i].path);
  }
  const auto published = publish_everywhere(machinery, catalog, client, plan, options, std::move(source), adopted, out);
  if (!published) {
    give_back(context.fs, haul);
    return fail(published.error());
  }
  tidy(context.fs, plan, haul);
  return out;
}

}  // namespace mlxcache::pull
