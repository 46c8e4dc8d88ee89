#include "mlxcache/repair/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
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
  explicit Mender(const change::Machinery& machinery) : machinery_(machinery), fs_(machinery.context.fs) {}

  struct Made {
    std::string path;
    mlxbase::Digest sha256;
  };
  /// A whole file of the right bytes at a temporary name beside `file`'s store. Errors: corrupt (the digest is not the right one).
  Result<Made> make(const File& file) {
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
  Result<mlxbase::Digest> fill(const File& file, const std::string& staging) {
    auto twin = TRY(fs_.open_read(file.twin));
    if (!fs_.clone_file(file.twin, staging)) TRY(put_together(file, *twin, staging));
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

  /// The good bytes of the damaged file, and the twin's where they differ.
  Status put_together(const File& file, os::File& twin, const std::string& staging) {
    const std::uint64_t size = TRY(twin.stat()).size;
    auto out = TRY(fs_.create(staging, 0600));
    auto damaged = TRY(fs_.open_read(file.path));
    if (!(catalog::fingerprint_of(TRY(damaged->stat())) == file.seen)) return fail(Code::changed, fmt::format("{} changed meanwhile", printable(file.path)));
    std::uint64_t at = 0;
    for (const verify::Range& range : file.ranges) {
      const std::uint64_t begin = std::min(range.offset, size);
      const std::uint64_t end = std::min(range.offset + range.length, size);
      TRY(copy_range(*damaged, *out, at, begin - at, machinery_.cancel, machinery_.progress));
      TRY(copy_range(twin, *out, begin, end - begin, machinery_.cancel, machinery_.progress));
      at = end;
    }
    TRY(copy_range(*damaged, *out, at, size - at, machinery_.cancel, machinery_.progress));
    return out->sync();
  }

  const change::Machinery& machinery_;
  os::FileSystem& fs_;
};

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
                       mlxbase::Clock& clock, mlxbase::Progress& progress) {
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
      if (c.twin.empty()) file.reason = "no intact copy of it is on this machine; downloading it again with its own tool replaces it";
      if (c.claimed->algorithm() == mlxbase::Algorithm::sha256_prefix) {
        file.state = State::no_source;
        file.reason = c.reason;
      }
      plan.files.push_back(std::move(file));
    }
  }
  return plan;
}

Result<change::Done> run(const change::Machinery& machinery, Plan& plan) {
  Mender mender(machinery);
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
    auto made = mender.make(file);
    if (!made && made.error().code == Code::cancelled) {
      for (const auto& [j, name] : staged) mender.discard(plan.files[j], name);
      return fail(made.error());
    }
    if (!made) {
      file.state = State::failed;
      file.reason = made.error().message;
      continue;
    }
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
