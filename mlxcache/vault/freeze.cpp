#include "mlxcache/vault/freeze.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/parallel.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxcache/change/session.h"
#include "mlxcache/vault/cut.h"
#include "mlxcache/vault/pack.h"
#include "mlxcache/vault/turns.h"

namespace mlxcache::vault {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Hasher;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr unsigned kMostWorkers = 4;

template <class Hash>
void hash_zeros(Hash& hasher, std::uint64_t n) {
  static const std::vector<std::byte> kZeros(std::size_t{1} << 20U);
  while (n > 0) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(n, kZeros.size()));
    hasher.update(std::span(kZeros).first(now));
    n -= now;
  }
}

bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes.front() == std::byte{0} && std::equal(bytes.begin() + 1, bytes.end(), bytes.begin()));
}

bool cancelled(const Means& means) { return means.cancel != nullptr && means.cancel->requested(); }

/// The first failure of several threads.
class FirstError {
 public:
  explicit FirstError(Turns& turns) : turns_(turns) {}
  void set(Error error) {
    {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::move(error);
    }
    turns_.stop();
  }
  Status status() const {
    if (error_) return fail(*error_);
    return {};
  }

 private:
  Turns& turns_;
  std::mutex mutex_;
  std::optional<Error> error_;
};

Reason reason_of(const Put& put) {
  if (put.known) return Reason::shared;
  switch (put.head.kind) {
    case Kind::plain: return Reason::plain;
    case Kind::coded: return Reason::coded;
    case Kind::delta: return Reason::delta;
    case Kind::pieces: return Reason::rows;
    case Kind::derived: return Reason::derived;
  }
  return Reason::plain;
}

/// A file that is being frozen, or estimated.
struct Opened {
  std::unique_ptr<os::File> file;
  os::FileStat stat;
  std::vector<Run> runs;
  Cuts cuts;
};

Result<Opened> open_file(os::FileSystem& fs, const std::string& name) {
  Opened o;
  o.file = TRY(fs.open_read(name));
  o.stat = TRY(o.file->stat());
  if (o.stat.dataless) return fail(Code::unsupported, fmt::format("{} is a placeholder whose bytes are in a cloud", printable(name)));
  std::uint64_t end = 0;
  for (const os::Extent& e : TRY(o.file->data_runs())) {
    const std::uint64_t from = std::max(e.logical, end);
    const std::uint64_t to = std::min(e.logical + e.length, o.stat.size);
    if (to <= from) continue;
    if (!o.runs.empty() && from == end) {
      o.runs.back().length += to - from;
    } else {
      o.runs.push_back({from, to - from});
    }
    end = to;
  }
  o.file->advise_sequential();
  o.cuts = TRY(cut_file(source_of(*o.file, o.stat.size), o.runs));
  return o;
}

Status read_exactly(os::File& file, std::uint64_t offset, std::span<std::byte> out) {
  std::size_t have = 0;
  while (have < out.size()) {
    const std::size_t got = TRY(file.pread(offset + have, out.subspan(have)));
    if (got == 0) return fail(Code::changed, "it became shorter while it was read");
    have += got;
  }
  return {};
}

class Freezer {
 public:
  Freezer(Vault& vault, const Subject& subject, const Means& means) : vault_(vault), subject_(subject), means_(means) {}
  Result<Frozen> run();

 private:
  Status add(const std::string& full);
  Status add_file(const std::string& full, FrozenName& name);
  Result<Segment> put(Segment::What what, std::span<const std::byte> bytes, const Cut& cut, const Digest& digest);
  void count(Reason reason, std::uint64_t bytes, std::uint64_t stored) {
    const std::lock_guard lock(mutex_);
    out_.tally.bytes[static_cast<std::size_t>(reason)] += bytes;
    out_.tally.stored[static_cast<std::size_t>(reason)] += stored;
  }

  Vault& vault_;
  const Subject& subject_;
  const Means& means_;
  std::mutex mutex_;
  Frozen out_;
  std::map<os::FileId, std::uint32_t> first_names_;  // of inodes with several
};

/// Few bytes are kept with the file's names, and zeros need no keeping.
Segment::What what_of(std::span<const std::byte> bytes) {
  if (all_zero(bytes)) return Segment::What::zeros;
  return bytes.size() <= kMaxLiteralBytes ? Segment::What::literal : Segment::What::object;
}

/// `digest` is theirs if they become an object.
Result<Segment> Freezer::put(Segment::What what, std::span<const std::byte> bytes, const Cut& cut, const Digest& digest) {
  Segment s;
  s.what = what;
  s.length = bytes.size();
  if (what == Segment::What::zeros) {
    count(Reason::empty, bytes.size(), 0);
    return s;
  }
  if (what == Segment::What::literal) {
    s.text = std::string(mlxbase::as_text(bytes));
    count(Reason::plain, bytes.size(), bytes.size());
    return s;
  }
  s.object = digest;
  const Put put = TRY(vault_.put(s.object, bytes, cut.layout));
  count(reason_of(put), bytes.size(), put.added);
  return s;
}

Status Freezer::add_file(const std::string& full, FrozenName& name) {
  Opened o = TRY(open_file(means_.fs, full));
  name.metadata = TRY(o.file->metadata());
  name.size = o.stat.size;
  const std::vector<Cut>& cuts = o.cuts.cuts;
  std::vector<Segment> segments(cuts.size());
  mlxbase::Sha256Chain whole;
  std::uint64_t hashed = 0;
  Turns turns;
  FirstError error(turns);
  mlxbase::parallel_for(cuts.size(), means_.workers, [&](std::size_t i) {
    if (turns.stopped()) return;
    if (cancelled(means_)) return error.set({Code::cancelled, "stopped while freezing; nothing was taken away"});
    const Cut& cut = cuts[i];
    std::vector<std::byte> bytes(static_cast<std::size_t>(cut.length));
    if (auto read = read_exactly(*o.file, cut.offset, bytes); !read) return error.set(read.error());
    const Segment::What what = what_of(bytes);
    Digest digest;
    if (!turns.wait(i)) return;
    hash_zeros(whole, cut.offset - hashed);
    if (what == Segment::What::object) {  // hashed for the file and for itself: in step that costs little more than once
      mlxbase::Sha256Chain own;
      mlxbase::Sha256Chain::update_pair(whole, bytes, own, bytes);
      digest = own.finish();
    } else {
      whole.update(bytes);
    }
    hashed = cut.offset + cut.length;
    turns.done();
    auto segment = put(what, bytes, cut, digest);
    if (!segment) return error.set(segment.error());
    segments[i] = std::move(*segment);
    means_.progress.advance(cut.length);
  });
  if (auto good = error.status(); !good) {
    Error e = good.error();
    if (e.code != Code::cancelled) e.message = fmt::format("{}: {}", printable(full), e.message);
    return fail(std::move(e));
  }
  hash_zeros(whole, o.stat.size - hashed);
  name.sha256 = whole.finish();
  name.segments.reserve(cuts.size() + 1);
  std::uint64_t at = 0;
  const auto hole_to = [&](std::uint64_t to) {
    if (to > at) {
      name.segments.push_back({Segment::What::hole, to - at, 0, {}, {}});
      count(Reason::empty, to - at, 0);
    }
    at = to;
  };
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    hole_to(cuts[i].offset);
    name.segments.push_back(std::move(segments[i]));
    at += cuts[i].length;
  }
  hole_to(o.stat.size);
  o.file->advise_done(0, o.stat.size);
  const os::FileStat now = TRY(o.file->stat());
  if (now.size != o.stat.size || now.mtime_ns != o.stat.mtime_ns) return fail(Code::changed, fmt::format("{} was written while it was read", printable(full)));
  out_.model.bytes += name.size;
  return {};
}

Status Freezer::add(const std::string& full) {
  FrozenName name;
  name.path = path::relative_to(subject_.root, full);
  const os::FileStat stat = TRY(means_.fs.stat(full));
  name.kind = stat.kind;
  switch (stat.kind) {
    case os::FileKind::directory: name.metadata = TRY(means_.fs.metadata(full)); break;
    case os::FileKind::symlink:
      name.metadata = TRY(means_.fs.metadata(full));
      name.link_text = TRY(means_.fs.read_link(full));
      break;
    case os::FileKind::regular: {
      const auto first = first_names_.find(stat.id);
      if (first != first_names_.end()) {
        name.same_as = first->second + 1;
        break;
      }
      if (stat.links > 1) first_names_.emplace(stat.id, static_cast<std::uint32_t>(out_.model.names.size()));
      TRY(add_file(full, name));
      break;
    }
    default: return fail(Code::unsupported, fmt::format("{} is a {}: only files, folders and symlinks can be frozen", printable(full), to_string(stat.kind)));
  }
  out_.model.names.push_back(std::move(name));
  return {};
}

Result<Frozen> Freezer::run() {
  FrozenModel& m = out_.model;
  m.name = subject_.name;
  m.revision = subject_.revision;
  m.store = subject_.store;
  m.root = subject_.root;
  m.program = std::string(change::kProgramVersion);
  m.frozen_at_ns = means_.clock.wall_ns();
  for (const std::string& p : subject_.paths) {
    means_.progress.item(p);
    TRY(add(p));
  }
  m.stored = out_.tally.all_stored();
  TRY(vault_.publish());
  return std::move(out_);
}

}  // namespace

unsigned usual_workers() { return std::min(mlxbase::worker_count(), kMostWorkers); }

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::shared: return "equal";
    case Reason::rows: return "rows";
    case Reason::derived: return "derived";
    case Reason::delta: return "delta";
    case Reason::coded: return "coded";
    case Reason::plain: return "plain";
    case Reason::empty: return "zeros";
  }
  return {};
}

std::uint64_t Tally::all_bytes() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t b : bytes) sum += b;
  return sum;
}
std::uint64_t Tally::all_stored() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t b : stored) sum += b;
  return sum;
}

Result<Frozen> freeze(Vault& vault, const Subject& subject, const Means& means) { return Freezer(vault, subject, means).run(); }

Result<Estimate> estimate(Vault& vault, const Subject& subject, const Means& means, std::unordered_set<Digest>& seen) {
  constexpr std::size_t kLooks = 12;                          // of a file
  Estimate out;
  const std::int64_t begin = means.clock.steady_ns();
  std::map<os::FileId, bool> inodes;
  for (const std::string& p : subject.paths) {
    if (cancelled(means)) return fail(Code::cancelled, "stopped while looking");
    const os::FileStat stat = TRY(means.fs.stat(p));
    if (stat.kind != os::FileKind::regular || !inodes.emplace(stat.id, true).second) continue;
    means.progress.item(p);
    const Opened o = TRY(open_file(means.fs, p));
    std::uint64_t written = 0;
    for (const Cut& c : o.cuts.cuts) written += c.length;
    out.tally.bytes[static_cast<std::size_t>(Reason::empty)] += o.stat.size - written;
    Tally looked;
    std::mutex mutex;
    Turns turns;
    FirstError error(turns);
    const std::size_t step = std::max<std::size_t>(1, o.cuts.cuts.size() / kLooks);
    const std::size_t looks = (o.cuts.cuts.size() + step - 1) / step;
    mlxbase::parallel_for(looks, means.workers, [&](std::size_t i) {
      if (turns.stopped()) return;
      const Cut& cut = o.cuts.cuts[i * step];
      std::vector<std::byte> bytes(static_cast<std::size_t>(cut.length));
      if (auto read = read_exactly(*o.file, cut.offset, bytes); !read) return error.set(read.error());
      Reason reason = Reason::empty;
      std::uint64_t stored = 0;
      if (!all_zero(bytes)) {
        const Digest digest = digest_of(bytes);
        bool first = false;
        {
          const std::lock_guard lock(mutex);
          first = seen.insert(digest).second;
        }
        reason = Reason::shared;
        if (first) {
          const auto tried = vault.try_put(digest, bytes, cut.layout);
          if (!tried) return error.set(tried.error());
          reason = reason_of(*tried);
          stored = tried->added;
        }
      }
      const std::lock_guard lock(mutex);
      looked.bytes[static_cast<std::size_t>(reason)] += cut.length;
      looked.stored[static_cast<std::size_t>(reason)] += stored;
    });
    TRY(error.status());
    const double whole = looked.all_bytes() == 0 ? 0 : static_cast<double>(written) / static_cast<double>(looked.all_bytes());
    for (std::size_t r = 0; r < kReasons; ++r) {
      out.tally.bytes[r] += static_cast<std::uint64_t>(static_cast<double>(looked.bytes[r]) * whole);
      out.tally.stored[r] += static_cast<std::uint64_t>(static_cast<double>(looked.stored[r]) * whole);
    }
    out.looked_at += looked.all_bytes();
  }
  out.took_ns = means.clock.steady_ns() - begin;
  if (out.looked_at > 0) {
    // Reading back costs about as much again as a third of coding.
    const double factor = static_cast<double>(out.tally.all_bytes()) / static_cast<double>(out.looked_at);
    out.whole_ns = static_cast<std::int64_t>(static_cast<double>(out.took_ns) * factor * 1.4);
  }
  return out;
}

Status make_file(Vault& vault, const FrozenName& name, const Means& means, const std::function<Status(const Piece&)>& sink) {
  std::vector<std::uint64_t> offsets;
  offsets.reserve(name.segments.size());
  std::uint64_t at = 0;
  for (const Segment& s : name.segments) {
    offsets.push_back(at);
    at += s.length;
  }
  Hasher whole(mlxbase::Algorithm::sha256);
  Turns turns;
  FirstError error(turns);
  mlxbase::parallel_for(name.segments.size(), means.workers, [&](std::size_t i) {
    if (turns.stopped()) return;
    if (cancelled(means)) return error.set({Code::cancelled, "stopped"});
    const Segment& s = name.segments[i];
    std::vector<std::byte> bytes;
    Piece piece{offsets[i], s.length, s.what == Segment::What::hole, {}};
    if (s.what == Segment::What::object) {
      auto read = vault.read(s.object);
      if (!read) return error.set(read.error());
      if (s.offset > read->size() || s.length > read->size() - s.offset) return error.set({Code::corrupt, "a segment lies beyond its object's end"});
      bytes = std::move(*read);
      piece.bytes = std::span<const std::byte>(bytes).subspan(static_cast<std::size_t>(s.offset), static_cast<std::size_t>(s.length));
    } else if (s.what == Segment::What::literal) {
      piece.bytes = mlxbase::as_bytes(s.text);
    }
    if (auto taken = sink(piece); !taken) return error.set(taken.error());
    if (!turns.wait(i)) return;
    if (piece.bytes.empty()) {
      hash_zeros(whole, s.length);
    } else {
      whole.update(piece.bytes);
    }
    turns.done();
    means.progress.advance(s.length);
  });
  if (auto good = error.status(); !good) {
    Error e = good.error();
    if (e.code != Code::cancelled) e.message = fmt::format("{}: {}", printable(name.path), e.message);
    return fail(std::move(e));
  }
  if (whole.finish() != name.sha256) return fail(Code::corrupt, fmt::format("{}: what the vault gives back has another SHA-256", printable(name.path)));
  return {};
}

Result<std::string> copy_model(Vault& to, Vault& from, const FrozenModel& model, const Means& means) {
  const auto once = [&]() -> Status {
    means.progress.stage(fmt::format("copy {}", printable(model.name)), model.bytes, true);
    for (const FrozenName& n : model.names) {
      for (const Segment& s : n.segments) {
        if (cancelled(means)) return fail(Code::cancelled, "stopped; what was copied completely stays");
        if (s.what == Segment::What::object) TRY(to.take_over(from, s.object));
        means.progress.advance(s.length);
      }
    }
    TRY(to.publish());
    means.progress.stage(fmt::format("read {} back", printable(model.name)), model.bytes, true);
    return read_back(to, model, means);
  };
  TRY(twice(to, model, once));
  return to.add_model(model);
}

Status twice(Vault& vault, const FrozenModel& model, const std::function<Status()>& store) {
  Status done = store();
  if (done || (done.error().code != Code::corrupt && done.error().code != Code::io) || vault.doubt(model) == 0) return done;
  return store();
}

Status read_back(Vault& vault, const FrozenModel& model, const Means& means) {
  for (const FrozenName& n : model.names) {
    if (n.kind != os::FileKind::regular || n.same_as != 0) continue;
    means.progress.item(n.path);
    TRY(make_file(vault, n, means, [](const Piece&) { return Status{}; }));
  }
  return {};
}

}  // namespace mlxcache::vault
