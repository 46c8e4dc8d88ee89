#include "mlxcache/verify/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "mlxbase/core/parallel.h"
#include "mlxcache/verify/damage.h"
#include "mlxcache/verify/measure.h"
#include "mlxcache/verify/memory.h"
#include "mlxcache/verify/pieces.h"
#include "mlxcache/verify/select.h"
#include "mlxcache/verify/structure.h"
#include "mlxcache/verify/twins.h"

namespace mlxcache::verify {
namespace {

using catalog::Inode;
using catalog::Measured;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Error;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::os::File;
using mlxbase::os::FileStat;

const Digest* find(const std::vector<Digest>& digests, Algorithm algorithm) {
  if (algorithm == Algorithm::sha256_prefix) algorithm = Algorithm::sha256;
  for (const Digest& digest : digests) {
    if (digest.algorithm() == algorithm) return &digest;
  }
  return nullptr;
}

/// sha256 first, since all other rooms speak it; then by strength.
int strength(Algorithm algorithm) {
  constexpr std::array kOrder = {Algorithm::sha256, Algorithm::blake3, Algorithm::git_sha1, Algorithm::sha1, Algorithm::md5, Algorithm::sha256_prefix};
  return static_cast<int>(std::find(kOrder.begin(), kOrder.end(), algorithm) - kOrder.begin());
}

int badness(Verdict verdict) {
  switch (verdict) {
    case Verdict::damaged: return 0;
    case Verdict::malformed: return 1;
    case Verdict::unreadable: return 2;
    case Verdict::unclaimed: return 3;
    case Verdict::intact: break;
  }
  return 4;
}

/// One run: its parts, so that the steps need not pass them on.
class Run {
 public:
  Run(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory, const Options& options, mlxbase::Clock& clock,
      mlxbase::Progress& progress)
      : context_(context), catalog_(catalog), inventory_(inventory), options_(options), progress_(progress), memory_(catalog, clock) {}

  Result<Report> run() {
    subjects_ = TRY(select(context_, inventory_, options_.models, options_.deep));
    add_wanted();
    TRY(recall());
    checked_.resize(subjects_.size());
    std::vector<std::size_t> work;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      describe(i);
      std::sort(subjects_[i].claims.begin(), subjects_[i].claims.end(),
                [](const Claim& a, const Claim& b) { return strength(a.digest.algorithm()) < strength(b.digest.algorithm()); });
      if (settled_without_reading(i)) continue;
      work.push_back(i);
      bytes += inode(i).stat.size;
    }
    // Large files first: the last one then keeps one core busy for the shortest time.
    std::stable_sort(work.begin(), work.end(), [&](std::size_t a, std::size_t b) { return inode(a).stat.size > inode(b).stat.size; });
    progress_.stage("verify", bytes, true);
    read_all(work);
    memory_.flush();
    if (cancelled()) return stopped();
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      if (checked_[i].verdict == Verdict::damaged) TRY(find_twin(i));
    }
    memory_.flush();
    return report();
  }

 private:
  void add_wanted() {
    std::map<std::uint32_t, std::size_t> at;
    for (std::size_t i = 0; i < subjects_.size(); ++i) at.emplace(subjects_[i].inode, i);
    for (const auto& [inode, algorithm] : options_.also) {
      const auto [found, added] = at.emplace(inode, subjects_.size());
      if (added) {
        Subject subject;
        subject.inode = inode;
        subject.name = inventory_.inodes[inode].names.front();
        subjects_.push_back(std::move(subject));
      }
      subjects_[found->second].also.push_back(algorithm);
    }
  }
  const Inode& inode(std::size_t subject) const { return inventory_.inodes[subjects_[subject].inode]; }
  bool cancelled() const { return context_.cancel != nullptr && context_.cancel->requested(); }
  static std::unexpected<Error> stopped() { return mlxbase::fail(Code::cancelled, "verify: stopped; running it again goes on from here"); }

  /// What the catalog knows of each subject.
  Status recall() {
    std::vector<catalog::Fingerprint> prints;
    prints.reserve(subjects_.size());
    for (const Subject& subject : subjects_) prints.push_back(catalog::fingerprint_of(inventory_.inodes[subject.inode].stat));
    earlier_ = TRY(catalog_.look_up(prints));
    return {};
  }

  void speak_of(Checked& checked, catalog::NameRef name) const {
    const catalog::Listing& listing = inventory_.listings[name.store];
    const catalog::Entry& entry = listing.entries[name.entry];
    checked.path = entry.path;
    checked.store = stores::adapter_of(listing.root.kind).name;
    checked.model = entry.model >= 0 ? listing.models[static_cast<std::size_t>(entry.model)].id : std::string();
  }
  void describe(std::size_t i) {
    speak_of(checked_[i], subjects_[i].name);
    checked_[i].inode = subjects_[i].inode;
    if (!subjects_[i].claims.empty()) checked_[i].claimed = subjects_[i].claims.front().digest;
  }

  /// Intact by an earlier run, or nothing to hold the bytes against.
  bool settled_without_reading(std::size_t i) {
    const Subject& subject = subjects_[i];
    Checked& checked = checked_[i];
    if (options_.deep) return false;
    const bool unclaimed = subject.claims.empty();
    if (unclaimed) {
      checked.verdict = Verdict::unclaimed;
      checked.reason = subject.xet_only ? "only a xet hash is claimed, which cannot be measured from the bytes" : "";
      if (subject.also.empty()) return true;
    }
    if (!earlier_[i]) return false;
    for (const Algorithm algorithm : subject.also) {
      if (find(earlier_[i]->digests, algorithm) == nullptr) return false;
    }
    for (const Claim& claim : subject.claims) {
      const Digest* known = find(earlier_[i]->digests, claim.digest.algorithm());
      if (known == nullptr || !agrees(claim.digest, *known)) return false;  // a mismatch is looked at again
    }
    // The catalog speaks of the file as the scan saw it; it may have changed since.
    const auto now = context_.fs.stat(checked.path);
    if (!now || !same_state(*now, inode(i).stat)) return false;
    checked.digests = earlier_[i]->digests;
    checked.from_catalog = true;
    if (unclaimed) return true;
    checked.verdict = Verdict::intact;
    checked.measured = *find(earlier_[i]->digests, subject.claims.front().digest.algorithm());
    return true;
  }

  /// Opens the inode by whichever of its names still leads to it.
  Result<std::unique_ptr<File>> open(const Inode& wanted, const std::string& first) const {
    auto file = context_.fs.open_read(first);
    if (file && TRY((*file)->stat()).id == wanted.stat.id) return file;
    for (const catalog::NameRef name : wanted.names) {
      auto other = context_.fs.open_read(inventory_.entry(name).path);
      if (other && TRY((*other)->stat()).id == wanted.stat.id) return other;
    }
    if (file) return mlxbase::fail(Code::changed, "replaced by another file since the scan");
    return file;
  }

  static std::vector<Algorithm> wanted_algorithms(const Subject& subject) {
    std::vector<Algorithm> out;
    for (const Claim& claim : subject.claims) out.push_back(claim.digest.algorithm());
    out.insert(out.end(), subject.also.begin(), subject.also.end());
    if (out.empty()) out.push_back(Algorithm::sha256);  // deep: to be held against what was measured before
    return out;
  }

  void unreadable(std::size_t i, std::string reason) {
    checked_[i].verdict = Verdict::unreadable;
    checked_[i].reason = std::move(reason);
  }

  /// A subject that a thread is reading.
  struct Open {
    std::size_t subject;
    std::unique_ptr<File> file;
    Measuring measuring;
  };

  /// Each thread has two files under its hands if there are enough for all: hashing two in step takes little longer than one.
  void read_all(const std::vector<std::size_t>& work) {
    const unsigned threads = mlxbase::worker_count();
    const std::size_t hands = mlxbase::can_pair() && work.size() >= 2 * std::size_t{threads} ? 2 : 1;
    std::atomic<std::size_t> next{0};
    mlxbase::parallel_for(threads, threads, [&](std::size_t) {
      std::vector<Open> held;
      for (;;) {
        while (held.size() < hands) {
          const std::size_t k = next.fetch_add(1);
          if (k >= work.size()) break;
          if (auto open = begin(work[k])) held.push_back(std::move(*open));
        }
        if (held.empty() || cancelled()) return;
        Measuring::go_on(held.front().measuring, held.size() == 2 ? &held.back().measuring : nullptr);
        std::erase_if(held, [&](Open& open) {
          if (!open.measuring.ended()) return false;
          finish(open);
          return true;
        });
      }
    });
  }

  /// Empty if it cannot be read, which is then its verdict, or has no bytes.
  std::optional<Open> begin(std::size_t i) {
    const auto refuse = [&](std::string reason) {
      unreadable(i, std::move(reason));
      return std::nullopt;
    };
    if (inode(i).stat.dataless) return refuse("its bytes are in the cloud; reading would download them");
    progress_.item(checked_[i].path);
    auto file = open(inode(i), checked_[i].path);
    if (!file) return refuse(file.error().message);
    auto measuring = Measuring::begin(**file, wanted_algorithms(subjects_[i]), progress_, bytes_read_);
    if (!measuring) return refuse(measuring.error().message);
    Open out{i, std::move(*file), std::move(*measuring)};
    if (!out.measuring.ended()) return out;
    finish(out);
    return std::nullopt;
  }

  void finish(Open& open) {
    const std::size_t i = open.subject;
    auto measured = open.measuring.finish();
    if (!measured) return unreadable(i, measured.error().message);
    if (measured->held_still) checked_[i].digests = measured->digests;
    judge(i, *measured);
    // Where only an earlier look tells of the damage, that look has to stay what later ones are held against.
    if (checked_[i].verdict != Verdict::damaged || !subjects_[i].claims.empty()) memory_.keep(*measured, earlier_[i]);
    if (options_.deep && measured->held_still) hold_against_structure(i, *open.file);
  }

  void judge(std::size_t i, const Measurement& measured) {
    const Subject& subject = subjects_[i];
    Checked& checked = checked_[i];
    for (const Claim& claim : subject.claims) {
      const Digest* now = measured.find(claim.digest.algorithm());
      if (agrees(claim.digest, *now)) continue;
      // A claim belongs to the file that the scan saw. What has changed since, or changes now, is no damage.
      if (!measured.held_still) return unreadable(i, "changed while it was read");
      if (measured.stat.size != inode(i).stat.size || measured.stat.mtime_ns != inode(i).stat.mtime_ns) return unreadable(i, "changed since the scan");
      speak_of(checked, claim.name);
      checked.verdict = Verdict::damaged;
      checked.claimed = claim.digest;
      checked.measured = *now;
      if (claim.digest.algorithm() == Algorithm::sha256_prefix) checked.reason = "its name is no prefix of its SHA-256; names like this are a convention only";
      return;
    }
    if (!subject.claims.empty()) {
      checked.verdict = Verdict::intact;
      checked.measured = *measured.find(subject.claims.front().digest.algorithm());
      return;
    }
    checked.verdict = Verdict::unclaimed;
    if (subject.xet_only) checked.reason = "only a xet hash is claimed, which cannot be measured from the bytes";
    if (!measured.held_still) return unreadable(i, "changed while it was read");
    checked.measured = measured.digests.front();
    const Digest* before = earlier_[i] ? find(earlier_[i]->digests, Algorithm::sha256) : nullptr;
    if (before != nullptr && earlier_[i]->of == catalog::fingerprint_of(measured.stat) && *before != *checked.measured) {
      checked.verdict = Verdict::damaged;
      checked.claimed = *before;
      checked.reason = "no tool claims a digest, but other bytes were measured here earlier, and neither size nor times have changed since";
    }
  }

  void hold_against_structure(std::size_t i, File& file) {
    Checked& checked = checked_[i];
    const auto sound = check_structure(file, subjects_[i].container);
    if (sound) return;
    if (sound.error().code == Code::corrupt) {
      checked.reason = checked.verdict == Verdict::intact ? "published so (its digest is what is claimed): " + sound.error().message : sound.error().message;
      if (checked.verdict != Verdict::damaged) checked.verdict = Verdict::malformed;
    } else if (checked.reason.empty()) {
      checked.reason = "structure not checked: " + sound.error().message;
    }
  }

  /// Whether the candidate's bytes are the expected ones: by this run, by the catalog (unless deep), or by reading it now.
  Result<bool> is_intact(std::uint32_t candidate, const Digest& expected, File& file) {
    const auto before = TRY(file.stat());
    const auto key = std::array{catalog::fingerprint_of(before)};
    const auto known = TRY(catalog_.look_up(key));
    // What this run measured is in the catalog by now.
    if (known[0] && (!options_.deep || was_read_now(candidate))) {
      if (const Digest* digest = find(known[0]->digests, expected.algorithm())) return agrees(expected, *digest);
    }
    auto measured = TRY(measure(file, {expected.algorithm()}, context_.cancel, progress_, bytes_read_));
    memory_.keep(measured, known[0]);
    return measured.held_still && agrees(expected, *measured.find(expected.algorithm()));
  }
  bool was_read_now(std::uint32_t candidate) const {
    return std::any_of(subjects_.begin(), subjects_.end(), [&](const Subject& subject) { return subject.inode == candidate; });
  }

  Status find_twin(std::size_t i) {
    Checked& checked = checked_[i];
    for (const std::uint32_t candidate : twin_candidates(inventory_, subjects_[i].inode, *checked.claimed)) {
      if (cancelled()) return stopped();
      const Inode& twin = inventory_.inodes[candidate];
      const std::string& path = inventory_.entry(twin.names.front()).path;
      if (twin.stat.dataless) continue;
      auto file = open(twin, path);
      if (!file) continue;
      const auto intact = is_intact(candidate, *checked.claimed, **file);
      if (!intact && intact.error().code == Code::cancelled) return stopped();
      if (!intact || !*intact) continue;
      checked.twin = path;
      auto damaged = open(inode(i), checked.path);
      if (!damaged) return {};  // gone meanwhile: the verdict stands, the ranges cannot be had
      auto ranges = compare(**damaged, **file, context_.cancel, bytes_read_);
      if (!ranges && ranges.error().code == Code::cancelled) return stopped();
      if (ranges) checked.damage = std::move(*ranges);
      return {};
    }
    return find_pieces(i);
  }

  /// No copy is here: what was kept of the bytes when they were whole tells which pieces are bad.
  Status find_pieces(std::size_t i) {
    Checked& checked = checked_[i];
    if (checked.claimed->algorithm() != Algorithm::sha256 || !mlxbase::can_chain()) return {};
    const auto chain = TRY(catalog_.chain_of(*checked.claimed));
    if (!chain) return {};
    auto file = open(inode(i), checked.path);
    if (!file) return {};
    auto ranges = damaged_pieces(**file, *chain, context_.cancel, bytes_read_);
    if (!ranges && ranges.error().code == Code::cancelled) return stopped();
    if (!ranges || ranges->empty()) return {};
    checked.damage = std::move(*ranges);
    checked.by_pieces = true;
    return {};
  }

  Report report() {
    Report out;
    out.bytes_read = bytes_read_.load();
    out.files = std::move(checked_);
    std::stable_sort(out.files.begin(), out.files.end(), [](const Checked& a, const Checked& b) {
      return std::tuple(badness(a.verdict), std::string_view(a.path)) < std::tuple(badness(b.verdict), std::string_view(b.path));
    });
    return out;
  }

  const stores::Context& context_;
  catalog::Catalog& catalog_;
  const catalog::Inventory& inventory_;
  const Options& options_;
  mlxbase::Progress& progress_;
  Memory memory_;
  std::vector<Subject> subjects_;
  std::vector<std::optional<Measured>> earlier_;  // beside subjects_
  std::vector<Checked> checked_;                  // beside subjects_
  std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::intact: return "intact";
    case Verdict::damaged: return "damaged";
    case Verdict::unclaimed: return "unclaimed";
    case Verdict::malformed: return "malformed";
    case Verdict::unreadable: return "unreadable";
  }
  return "unreadable";
}

Result<Report> verify(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory, const Options& options,
                      mlxbase::Clock& clock, mlxbase::Progress& progress) {
  return Run(context, catalog, inventory, options, clock, progress).run();
}

}  // namespace mlxcache::verify
