#include <algorithm>

#include "mlxbase/core/log.h"
#include "mlxbase/core/path.h"
#include "mlxcache/pull/obtain.h"
#include "mlxcache/pull/pull.h"
#include "mlxcache/pull/source.h"

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
    break;
  }
  if (out.tag == "latest" && out.gguf && !out.gguf->file_type.empty()) out.tag = out.gguf->file_type;
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
  Publishing(const change::Machinery& machinery, catalog::Catalog& catalog, const Options& options, Pulled& out)
      : m_(machinery), catalog_(catalog), options_(options), out_(out) {}

  Status publish(const ModelSource& source, const std::vector<publish::Target>& targets, const publish::Adopted& adopted, bool first_must) {
    if (targets.empty()) return {};
    m_.progress.stage("publishing", 0, false);
    constexpr int kTries = 4;
    for (int i = 1;; ++i) {
      auto done = once(source, targets, adopted, first_must);
      // Another tool has put the very same file there between our look and our step: looked at again, it is simply there.
      if (done || done.error().code != Code::changed || i == kTries) return done;
    }
  }

 private:
  Status once(const ModelSource& source, const std::vector<publish::Target>& targets, const publish::Adopted& adopted, bool first_must) {
    auto plan = TRY(publish::make_plan(m_.context, source, targets, adopted, options_.allow_copy));
    const bool refused = std::any_of(plan.refused.begin(), plan.refused.end(), [&](const auto& r) { return r.kind == targets.front().root.kind; });
    if (first_must && refused) return fail(Code::unsupported, plan.refused.front().reason);
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
  const Options& options_;
  Pulled& out_;
};

/// Once a first target has taken the downloads in, others share from there.
void follow_moves(const stores::Context& context, const Pulled& pulled, ModelSource& source) {
  for (const change::Done& done : pulled.changes) {
    for (const Change& change : done.done) {
      for (stores::SourceFile& file : source.files) {
        if (file.path != change.source || change.ways.empty() || change.ways.front() != How::adopt) continue;
        const auto stat = context.fs.stat(change.path);
        if (!stat) continue;
        file.path = change.path;
        file.state = catalog::fingerprint_of(*stat);
      }
    }
  }
}

/// Leftovers of downloads whose bytes are in a store now. A folder that others still use stays.
void tidy(mlxbase::os::FileSystem& fs, const Plan& plan, const Haul& haul) {
  for (const Obtained& file : haul.files) {
    if (file.downloaded) (void)fs.unlink(file.path);
  }
  (void)fs.remove_dir(plan.downloads_folder);
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
  Publishing publishing(machinery, catalog, options, out);
  if (source.registry_manifest.empty()) {
    TRY(publishing.publish(source, plan.targets, adopted, true));
  } else {
    // Ollama keeps layers, the others want files: two descriptions of one model, so two transactions.
    TRY(publishing.publish(source, {plan.targets.front()}, adopted, true));
    follow_moves(context, out, source);
    ModelSource others = source_for_others(source, plan.resolved);
    if (!others.files.empty()) {
      if (auto facts = stores::gguf_facts(context, others.files.front().path)) others.gguf = *std::move(facts);
    }
    TRY(publishing.publish(others, {plan.targets.begin() + 1, plan.targets.end()}, {}, false));
  }
  tidy(context.fs, plan, haul);
  return out;
}

}  // namespace mlxcache::pull
