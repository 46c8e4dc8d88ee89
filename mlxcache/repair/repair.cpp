#include "mlxcache/repair/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/change/session.h"
#include "mlxcache/verify/measure.h"

namespace mlxcache::repair {
namespace {

namespace os = mlxbase::os;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::size_t kBlock = std::size_t{1} << 20U;

/// Copies [at, at + length) of `from`.
Status copy_range(os::File& from, os::File& to, std::uint64_t at, std::uint64_t length, const mlxbase::Cancel* cancel, mlxbase::Progress& progress) {
  std::vector<std::byte> block(static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, std::max<std::uint64_t>(length, 1))));
  for (std::uint64_t done = 0; done < length;) {
    if (cancel != nullptr && cancel->requested()) return fail(Code::cancelled, "repair: stopped; nothing was changed");
    const auto part = std::span(block).first(static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), length - done)));
    const std::size_t got = TRY(from.pread(at + done, part));
    if (got == 0) return fail(Code::changed, "it became shorter while it was read");
    TRY(to.pwrite(at + done, part.first(got)));
    done += got;
    progress.advance(got);
  }
  return {};
}

class Mender {
 public:
  Mender(const change::Machinery& machinery, Upstream* upstream, const DownloadsFolder& downloads)
      : machinery_(machinery), fs_(machinery.context.fs), upstream_(upstream), downloads_(downloads) {}

  struct Made {
    std::string path;
    mlxbase::Digest sha256;
  };
  /// A whole file of the right bytes at a temporary name beside `file`'s store. Errors: corrupt (the digest is not the right one).
  Result<Made> make(File& file) {
    const auto names = TRY(change::temporary_names(fs_, file.root, file.path, file.seen.id.device, false));
    TRY(change::make_staging_folder(fs_, file.root, names.staging));
    auto made = fill(file, names.staging);
    if (!made) {
      discard(file, names.staging);
      return fail(made.error());
    }
    return Made{names.staging, *made};
  }
  void discard(const File& file, const std::string& staging) {
    (void)change::remove_if_there(fs_, staging);
    change::remove_staging_folder(fs_, file.path, staging);
  }

 private:
  Result<mlxbase::Digest> fill(File& file, const std::string& staging) {
    if (!file.twin.empty()) {
      auto twin = TRY(fs_.open_read(file.twin));
      if (!fs_.clone_file(file.twin, staging)) {
        const Source from_twin = [&](const verify::Range& range, os::File& out) {
          return copy_range(*twin, out, range.offset, range.length, machinery_.cancel, machinery_.progress);
        };
        TRY(put_together(file, TRY(twin->stat()).size, from_twin, staging));
      }
    } else if (file.chain) {
      const Source from_upstream = [&](const verify::Range& range, os::File& out) { return fetch_pieces(file, range, out); };
      auto made = put_together(file, file.chain->size, from_upstream, staging);
      if (!made && made.error().code == Code::corrupt) {
        // A server that gives no ranges: the whole is the only thing it has.
        TRY(change::remove_if_there(fs_, staging));
        file.reason = "its server gives no parts of files, so all of it was fetched";
        made = fetch_whole(file, staging);
      }
      TRY(made);
    } else {
      TRY(fetch_whole(file, staging));
    }
    auto whole = TRY(fs_.open_read(staging));
    std::atomic<std::uint64_t> bytes{0};
    const auto measured = TRY(verify::measure(*whole, {file.claimed.algorithm(), mlxbase::Algorithm::sha256}, machinery_.cancel, machinery_.progress, bytes));
    const auto* digest = measured.find(file.claimed.algorithm());
    if (digest == nullptr || !verify::agrees(file.claimed, *digest)) {
      return fail(Code::corrupt, fmt::format("{} put together is {}, not {}", printable(file.path), digest != nullptr ? digest->to_string() : "unknown",
                                             file.claimed.to_string()));
    }
    return *measured.find(mlxbase::Algorithm::sha256);
  }

  /// Writes the right bytes of a range.
  using Source = std::function<Status(const verify::Range& range, os::File& out)>;

  /// Piece by piece, each held against what the catalog knows of it before it is written.
  Status fetch_pieces(File& file, const verify::Range& range, os::File& out) {
    for (std::uint64_t at = range.offset; at < range.offset + range.length;) {
      const std::uint64_t piece = at / mlxbase::kChainPieceBytes;
      const std::uint64_t size = file.chain->piece_size(piece);
      const auto bytes = TRY(fetch::fetch_range(upstream_->client(), file.wanted, at, size, upstream_->retry(), machinery_.cancel));
      file.fetched_bytes += bytes.size();
      mlxbase::PieceCheck check(*file.chain, piece);
      check.update(bytes);
      if (!check.finish()) {
        return fail(Code::changed, fmt::format("{} sends other bytes than {} had at {} to {}; they were not taken", printable(file.upstream), printable(file.path), at, at + size));
      }
      TRY(out.pwrite(at, bytes));
      machinery_.progress.advance(size);
      at += size;
    }
    return {};
  }

  Status fetch_whole(File& file, const std::string& staging) {
    fetch::Wanted wanted = file.wanted;
    wanted.folder = downloads_(file.root);
    const auto taken = [&](std::size_t, fetch::Downloaded&& downloaded) {
      file.fetched_bytes += downloaded.bytes_transferred;
      return fs_.rename_new(downloaded.path, staging);
    };
    return fetch::download(fs_, upstream_->client(), machinery_.clock, {wanted}, {.retry = upstream_->retry()}, machinery_.progress, machinery_.cancel, taken);
  }

  /// The good bytes of the damaged file, and others where it is damaged.
  Status put_together(const File& file, std::uint64_t size, const Source& source, const std::string& staging) {
    auto out = TRY(fs_.create(staging, 0600));
    auto damaged = TRY(fs_.open_read(file.path));
    if (!(catalog::fingerprint_of(TRY(damaged->stat())) == file.seen)) return fail(Code::changed, fmt::format("{} changed meanwhile", printable(file.path)));
    std::uint64_t at = 0;
    for (const verify::Range& range : file.ranges) {
      const std::uint64_t begin = std::min(range.offset, size);
      const std::uint64_t end = std::min(range.offset + range.length, size);
      TRY(copy_range(*damaged, *out, at, begin - at, machinery_.cancel, machinery_.progress));
      if (end > begin) TRY(source({begin, end - begin}, *out));
      at = end;
    }
    TRY(copy_range(*damaged, *out, at, size - at, machinery_.cancel, machinery_.progress));
    return out->sync();
  }

  const change::Machinery& machinery_;
  os::FileSystem& fs_;
  Upstream* upstream_;
  const DownloadsFolder& downloads_;
};

/// No twin is here: whether upstream has the bytes, and which of them it takes.
Status ask_upstream(File& file, const catalog::Listing& listing, const verify::Checked& checked, catalog::Catalog& catalog, Upstream* upstream) {
  constexpr std::string_view kElse = "no intact copy of it is on this machine";
  if (upstream == nullptr) {
    file.reason = fmt::format("{}, and nobody else was asked", kElse);
    return {};
  }
  auto offer = upstream->find(listing, file.model, file.claimed);
  if (!offer) {
    if (offer.error().code == Code::cancelled) return fail(offer.error());
    file.reason = fmt::format("{}, and upstream cannot help: {}", kElse, offer.error().message);
    return {};
  }
  file.state = State::mendable;
  file.upstream = offer->from;
  file.wanted = {.name = offer->file.path, .urls = {offer->file.url}, .credential = offer->credential, .size = offer->file.size, .digest = file.claimed, .folder = {}};
  file.fetch_bytes = offer->file.size;
  if (!checked.by_pieces) {
    file.reason = "which of its bytes are damaged cannot be told (they were never measured whole here), so all of it is fetched";
    return {};
  }
  file.chain = TRY(catalog.chain_of(file.claimed));
  if (file.chain && file.chain->size == offer->file.size) {
    file.ranges = checked.damage;
    file.fetch_bytes = file.damaged_bytes();
  } else {
    file.chain.reset();
  }
  return {};
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::mendable: return "mendable";
    case State::no_source: return "no_source";
    case State::mended: return "mended";
    case State::failed: return "failed";
  }
  return "failed";
}

std::uint64_t File::damaged_bytes() const {
  std::uint64_t sum = 0;
  for (const verify::Range& r : ranges) sum += r.length;
  return sum;
}

Result<Plan> make_plan(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory, const std::vector<std::string>& models,
                       mlxbase::Clock& clock, mlxbase::Progress& progress, Upstream* upstream) {
  // Rot leaves size and times as they were: only reading finds it.
  const auto report = TRY(verify::verify(context, catalog, inventory, {.models = models, .deep = true}, clock, progress));
  std::map<std::string, std::uint32_t> inode_of;
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    for (const catalog::NameRef name : inventory.inodes[i].names) inode_of.emplace(inventory.entry(name).path, i);
  }
  Plan plan;
  for (const verify::Checked& c : report.files) {
    if (c.verdict == verify::Verdict::intact) ++plan.intact;
    if (c.verdict == verify::Verdict::unclaimed) ++plan.unclaimed;
    const auto inode = inode_of.find(c.path);
    if (c.verdict != verify::Verdict::damaged || !c.claimed || inode == inode_of.end()) continue;
    // Each name of the inode: mending one would leave the others with the damage.
    for (const catalog::NameRef name : inventory.inodes[inode->second].names) {
      const catalog::Listing& listing = inventory.listings[name.store];
      const catalog::Entry& entry = listing.entries[name.entry];
      File file;
      file.path = entry.path;
      file.root = listing.root;
      file.model = entry.model >= 0 ? listing.models[static_cast<std::size_t>(entry.model)].id : std::string();
      file.size = entry.stat.size;
      file.claimed = *c.claimed;
      file.seen = catalog::fingerprint_of(entry.stat);
      file.ranges = c.damage;
      file.twin = c.twin;
      file.state = c.twin.empty() ? State::no_source : State::mendable;
      if (c.claimed->algorithm() == mlxbase::Algorithm::sha256_prefix) {
        file.state = State::no_source;
        file.reason = c.reason;
      } else if (c.twin.empty()) {
        TRY(ask_upstream(file, listing, c, catalog, upstream));
      }
      const bool again = std::any_of(plan.files.begin(), plan.files.end(), [&](const File& f) { return f.claimed == file.claimed && !f.upstream.empty(); });
      if (again) file.fetch_bytes = 0;  // one that is fetched serves them all
      plan.files.push_back(std::move(file));
    }
  }
  return plan;
}

Result<change::Done> run(const change::Machinery& machinery, Plan& plan, Upstream* upstream, const DownloadsFolder& downloads) {
  Mender mender(machinery, upstream, downloads);
  std::map<mlxbase::Digest, std::string> made_of;  // what was fetched once serves all names of it
  change::Plan changes;
  changes.whole = false;
  std::vector<std::pair<std::size_t, std::string>> staged;
  std::uint64_t bytes = 0;
  for (const File& f : plan.files) bytes += f.state == State::mendable ? 2 * f.size : 0;
  machinery.progress.stage("mending", bytes, true);
  for (std::size_t i = 0; i < plan.files.size(); ++i) {
    File& file = plan.files[i];
    if (file.state != State::mendable) continue;
    machinery.progress.item(file.path);
    const auto again = file.twin.empty() ? made_of.find(file.claimed) : made_of.end();
    if (again != made_of.end()) {
      file.twin = again->second;
      file.fetch_bytes = 0;
      if (!file.chain) file.ranges = {{0, file.wanted.size}};
    }
    auto made = mender.make(file);
    if (again != made_of.end()) file.twin.clear();
    if (!made && made.error().code == Code::cancelled) {
      for (const auto& [j, name] : staged) mender.discard(plan.files[j], name);
      return fail(made.error());  // what was downloaded of a whole file stays, and is gone on with
    }
    if (!made) {
      file.state = State::failed;
      file.reason = made.error().message;
      continue;
    }
    if (file.twin.empty()) made_of.emplace(file.claimed, made->path);
    change::Change change;
    change.kind = change::Kind::replace;
    change.path = file.path;
    change.root = file.root;
    change.ways = {change::How::adopt};
    change.source = made->path;
    change.source_digest = made->sha256;
    change.expected = file.seen;
    changes.changes.push_back(std::move(change));
    staged.emplace_back(i, std::move(made->path));
  }
  if (changes.changes.empty()) return change::Done{};
  auto done = change::carry_out(machinery, changes);
  for (const auto& [i, name] : staged) mender.discard(plan.files[i], name);  // what was not taken
  if (!done) return fail(done.error());
  for (const auto& [i, name] : staged) {
    File& file = plan.files[i];
    const auto left = std::find_if(done->skipped.begin(), done->skipped.end(), [&](const change::Skipped& s) { return s.path == file.path; });
    file.state = left == done->skipped.end() ? State::mended : State::failed;
    if (left != done->skipped.end()) file.reason = left->reason;
  }
  return done;
}

}  // namespace mlxcache::repair
