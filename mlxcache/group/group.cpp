#include "mlxcache/group/group.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <span>
#include <utility>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/parallel.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/small_list.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/sha256_chain.h"
#include "mlxcache/group/inodes.h"
#include "mlxcache/group/knowledge.h"
#include "mlxcache/group/measure.h"
#include "mlxcache/group/sample.h"
#include "mlxcache/group/sharing.h"

namespace mlxcache::group {
namespace {

using catalog::Evidence;
using catalog::Fingerprint;
using catalog::Inode;
using catalog::Inventory;
using catalog::Measured;
using catalog::RareDigest;
using catalog::Role;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Error;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

// FAT keeps times in steps of 2 s, the coarsest there is: what was written within one step of being measured may be
// written again without a trace ("racily clean", as git says of its index).
constexpr std::int64_t kCoarsestClockNs = 2'000'000'000;
// Samples wait for the disk, not for the processor: this many are asked for at once.
constexpr unsigned kSamplersPerCore = 4;
// Measured digests are kept at least this often, so that a scan cut short was not for nothing.
constexpr std::int64_t kKeepEveryNs = 5'000'000'000;
// Files that the catalog is asked of at once (an answer is many times what is kept of it), and told of at once (each time costs three syncs).
constexpr std::size_t kAskedAtOnce = std::size_t{1} << 11U;
constexpr std::size_t kToldAtOnce = std::size_t{1} << 14U;
// Algorithms that can be computed, in the order of preference where they cost the same.
constexpr Algorithm kComputable[] = {Algorithm::sha256, Algorithm::git_sha1, Algorithm::sha1, Algorithm::blake3, Algorithm::md5};

/// An inode that may have twins.
struct Candidate {
  std::uint32_t inode = 0;
  Knowledge knowledge;
  RareDigest sample;  // where it is not the measured SHA-256 of the whole, as it is of small files
  RareDigest twin;    // candidates with equal marks were compared and are equal
  bool fresh = false;    // too young to be remembered
  bool touched = false;  // measured in this run: the catalog does not have it yet
};

/// Candidates whose bytes are equal as far as is known. `members` index the candidates; the first one is read for all.
struct Node {
  mlxbase::SmallList<std::uint32_t> members;
  Knowledge knowledge;
  bool unreadable = false;
};

class Grouper {
 public:
  Grouper(os::FileSystem& fs, catalog::Catalog& catalog, Inventory& inventory, const Options& options, mlxbase::Clock& clock,
          mlxbase::Progress& progress)
      : fs_(fs), catalog_(catalog), inventory_(inventory), options_(options), clock_(clock), progress_(progress),
        cores_(options.workers != 0 ? options.workers : mlxbase::worker_count()), kept_at_(clock.steady_ns()) {}

  Status run() {
    inventory_.groups.clear();
    inventory_.bytes_read = 0;
    collect();
    TRY(remember_known());
    cluster_by_digest();
    TRY(take_samples());
    TRY(take_digests());
    make_groups();
    return {};
  }

 private:
  using Range = std::pair<std::size_t, std::size_t>;

  Inode& inode_of(const Candidate& c) { return inventory_.inodes[c.inode]; }
  bool cancelled() const { return options_.cancel != nullptr && options_.cancel->requested(); }
  static std::unexpected<Error> stop() { return mlxbase::fail(Code::cancelled, "cancelled"); }

  /// Inodes that share their size with another, largest size first.
  void collect() {
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < inventory_.inodes.size(); ++i) {
      const Inode& inode = inventory_.inodes[i];
      if (inode.stat.size < std::max<std::uint64_t>(options_.min_size, 1)) continue;
      if (options_.sizes != nullptr && !options_.sizes->contains(inode.stat.size)) continue;
      if (inode.stat.dataless) continue;  // reading it would download it
      bool shareable = false;
      bool moving = false;
      for (const auto name : inode.names) {
        const Role role = inventory_.entry(name).role;
        shareable = shareable || role == Role::payload || role == Role::orphan;
        moving = moving || role == Role::partial;  // another name of it is a running download
      }
      if (shareable && !moving) order.push_back(i);
    }
    const auto size_of = [&](std::uint32_t i) { return inventory_.inodes[i].stat.size; };
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return size_of(a) != size_of(b) ? size_of(a) > size_of(b) : a < b;
    });
    candidates_.reserve(order.size());
    for (std::size_t begin = 0; begin < order.size();) {
      std::size_t end = begin + 1;
      while (end < order.size() && size_of(order[end]) == size_of(order[begin])) ++end;
      if (end - begin > 1) {
        const std::size_t first = candidates_.size();
        for (std::size_t i = begin; i < end; ++i) candidates_.emplace_back().inode = order[i];
        classes_.emplace_back(first, candidates_.size());
      }
      begin = end;
    }
  }

  /// What the catalog and the stores say of the candidates.
  Status remember_known() {
    // A part at a time, in the order of the catalog's key: what it answers is many times what is kept of it.
    std::vector<std::uint32_t> order(candidates_.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return inode_of(candidates_[a]).stat.id < inode_of(candidates_[b]).stat.id; });
    const std::span<const std::uint32_t> all(order);
    for (std::size_t at = 0; at < all.size(); at += kAskedAtOnce) TRY(remember_known(all.subspan(at, std::min(kAskedAtOnce, all.size() - at))));
    return {};
  }

  Status remember_known(std::span<const std::uint32_t> part) {
    std::vector<Fingerprint> asked;
    asked.reserve(part.size());
    for (const std::uint32_t i : part) asked.push_back(catalog::fingerprint_of(inode_of(candidates_[i]).stat));
    const auto known = TRY(catalog_.look_up(asked));
    const std::int64_t now = clock_.wall_ns();
    for (std::size_t i = 0; i < part.size(); ++i) {
      Candidate& c = candidates_[part[i]];
      Inode& inode = inode_of(c);
      const std::int64_t youngest = std::max(inode.stat.mtime_ns, inode.stat.ctime_ns);
      c.fresh = youngest > now - kCoarsestClockNs && youngest < now + kCoarsestClockNs;
      for (const auto name : inode.names) {
        const auto& claim = inventory_.entry(name).claim;
        if (claim) c.knowledge.claim(claim);
      }
      c.knowledge.settle();
      if (!known[i]) continue;
      c.twin = known[i]->twin;
      for (const Digest& digest : known[i]->digests) learn(c, digest);
      keep_sample(c, known[i]->sample);
    }
    return {};
  }

  void learn(Candidate& c, const RareDigest& digest) {
    c.knowledge.measured(digest);
    if (digest->algorithm() == Algorithm::sha256) inode_of(c).sha256 = digest;
  }

  void keep_sample(Candidate& c, const std::optional<Digest>& sample) {
    const Digest* const whole = whole_of(c);
    if (whole == nullptr || sample != *whole) c.sample = sample;
  }
  /// The measured SHA-256 of a file that is its own sample.
  const Digest* whole_of(const Candidate& c) const {
    if (!sample_is_whole(inventory_.inodes[c.inode].stat.size)) return nullptr;
    const auto* item = c.knowledge.of(Algorithm::sha256);
    return item != nullptr && item->measured ? &*item->digest : nullptr;
  }
  /// Null if none is known.
  const Digest* sample_of(const Candidate& c) const { return c.sample ? &*c.sample : whole_of(c); }
  const Digest* sample_of(const Node& node) const { return sample_of(candidates_[node.members.front()]); }

  /// Joins candidates of one class that agree on a digest, unless another digest says that they differ.
  void cluster_by_digest() {
    for (const auto& [begin, end] : classes_) {
      auto nodes = joined(singles(begin, end));
      // Mostly all is known by now (the next scan of the same disk): then only the groups are kept.
      if (are_decided(pointers(nodes)) && !has_nameless(nodes)) {
        make_groups_of(nodes);
      } else {
        nodes_of_class_.push_back(std::move(nodes));
      }
    }
  }

  std::vector<Node> singles(std::size_t begin, std::size_t end) const {
    std::vector<Node> nodes;
    nodes.reserve(end - begin);
    for (std::size_t i = begin; i < end; ++i) nodes.push_back({{static_cast<std::uint32_t>(i)}, candidates_[i].knowledge});
    return nodes;
  }

  /// Measured digests join first, claims after them: a claim that lies then meets the contradiction and is left alone.
  std::vector<Node> joined(std::vector<Node> nodes) const {
    struct Tie {
      bool claimed;
      const Digest* digest;
      std::uint32_t node;
    };
    std::vector<Tie> ties;  // they point into `nodes`, which changes only when they are edges
    for (std::uint32_t n = 0; n < nodes.size(); ++n) {
      for (const auto& item : nodes[n].knowledge.items()) {
        // A few hex digits of a SHA-256 prove nothing.
        if (item.digest->algorithm() != Algorithm::sha256_prefix) ties.push_back({!item.measured, &*item.digest, n});
      }
      for (const std::uint32_t m : nodes[n].members) {
        if (candidates_[m].twin) ties.push_back({false, &*candidates_[m].twin, n});
      }
    }
    std::stable_sort(ties.begin(), ties.end(), [](const Tie& a, const Tie& b) { return *a.digest < *b.digest; });
    std::vector<std::uint32_t> root(nodes.size());
    std::iota(root.begin(), root.end(), 0U);
    const auto find = [&](std::uint32_t n) {
      while (root[n] != n) n = root[n] = root[root[n]];
      return n;
    };
    struct Edge {
      bool claimed;
      std::uint32_t a, b;
    };
    std::vector<Edge> edges;
    for (std::size_t begin = 0; begin < ties.size();) {
      std::size_t end = begin + 1;
      while (end < ties.size() && *ties[end].digest == *ties[begin].digest) ++end;
      std::stable_sort(ties.begin() + static_cast<std::ptrdiff_t>(begin), ties.begin() + static_cast<std::ptrdiff_t>(end),
                       [](const Tie& a, const Tie& b) { return a.claimed < b.claimed; });
      for (std::size_t i = begin + 1; i < end; ++i) edges.push_back({ties[i].claimed, ties[begin].node, ties[i].node});
      begin = end;
    }
    std::stable_sort(edges.begin(), edges.end(), [](const Edge& x, const Edge& y) { return x.claimed < y.claimed; });
    for (const Edge& edge : edges) {
      std::uint32_t a = find(edge.a);
      std::uint32_t b = find(edge.b);
      if (a == b || nodes[a].knowledge.contradicts(nodes[b].knowledge)) continue;
      if (b < a) std::swap(a, b);
      root[b] = a;
      nodes[a].knowledge.take_in(nodes[b].knowledge);
      nodes[a].members.append(nodes[b].members.begin(), nodes[b].members.end());
      nodes[a].unreadable = nodes[a].unreadable && nodes[b].unreadable;
    }
    std::vector<Node> out;
    for (std::uint32_t n = 0; n < nodes.size(); ++n) {
      if (find(n) != n) continue;
      std::sort(nodes[n].members.begin(), nodes[n].members.end());
      out.push_back(std::move(nodes[n]));
    }
    return out;
  }

  /// Whether one algorithm that all nodes have a digest of tells them apart without reading.
  static bool are_decided(const std::vector<const Node*>& nodes) {
    if (nodes.size() < 2) return true;
    for (const auto& item : nodes.front()->knowledge.items()) {
      const Algorithm a = item.digest->algorithm();
      if (a == Algorithm::sha256_prefix) continue;
      if (std::all_of(nodes.begin(), nodes.end(), [&](const Node* n) { return n->knowledge.has(a); })) return true;
    }
    return false;
  }

  static std::vector<const Node*> pointers(const std::vector<Node>& nodes) {
    std::vector<const Node*> out;
    for (const Node& n : nodes) out.push_back(&n);
    return out;
  }

  /// Samples one candidate of each node whose class is not decided.
  Status take_samples() {
    std::vector<Node*> todo;
    for (std::size_t k = 0; k < nodes_of_class_.size(); ++k) {
      if (are_decided(pointers(nodes_of_class_[k]))) continue;
      undecided_.push_back(k);
      for (Node& node : nodes_of_class_[k]) {
        if (sample_of(node) == nullptr) todo.push_back(&node);
      }
    }
    // In the order of inodes, which on most file systems is near the order on the disk.
    std::sort(todo.begin(), todo.end(), [&](const Node* a, const Node* b) {
      return inode_of(candidates_[a->members.front()]).stat.id < inode_of(candidates_[b->members.front()]).stat.id;
    });
    progress_.stage("sampling", todo.size(), false);
    std::map<std::size_t, Error> errors;
    std::mutex mutex;  // of errors
    mlxbase::parallel_for(todo.size(), cores_ * kSamplersPerCore, [&](std::size_t i) {
      if (cancelled()) return;
      Candidate& c = candidates_[todo[i]->members.front()];
      if (auto sampled = sample_one(c); !sampled) {
        const std::scoped_lock lock(mutex);
        errors.emplace(i, sampled.error());
      }
      progress_.advance(1);
    });
    for (const auto& [i, error] : errors) {
      todo[i]->unreadable = true;
      failed_.emplace_back(todo[i]->members.front(), error);
    }
    for (Node* node : todo) {
      Candidate& c = candidates_[node->members.front()];
      if (!c.sample || !sample_is_whole(inode_of(c).stat.size)) continue;
      const RareDigest digest = c.sample;
      learn(c, digest);
      node->knowledge.measured(digest);
      c.sample = std::nullopt;
    }
    // What comes next keeps it as well, and each keeping costs three syncs.
    if (cancelled() || clock_.steady_ns() - kept_at_ > kKeepEveryNs) TRY(keep_touched());
    if (cancelled()) return stop();
    return {};
  }

  Status sample_one(Candidate& c) {
    Inode& inode = inode_of(c);
    auto file = TRY(open_unchanged(fs_, inventory_, inode));
    const Digest digest = TRY(sample(*file, inode.stat.size));
    TRY(still_unchanged(*file, inode));
    for (const auto& range : sample_ranges(inode.stat.size)) inode.bytes_read += range.length;
    c.sample = std::optional(digest);
    c.touched = true;
    return {};
  }

  /// Files to be read in step for one algorithm.
  struct Task {
    std::vector<Node*> nodes;
    Algorithm algorithm{};
    Node* reference = nullptr;  // compare with this one first; what differs is hashed
    std::uint64_t bytes = 0;
  };

  /// Reads whole what neither digests nor samples told apart.
  Status take_digests() {
    std::vector<Task> tasks;
    for (const std::size_t k : undecided_) {
      std::vector<Node*> alike;
      for (Node& node : nodes_of_class_[k]) {
        if (sample_of(node) != nullptr && !node.unreadable) alike.push_back(&node);
      }
      std::stable_sort(alike.begin(), alike.end(), [&](const Node* a, const Node* b) { return *sample_of(*a) < *sample_of(*b); });
      for (std::size_t begin = 0; begin < alike.size();) {
        std::size_t end = begin + 1;
        while (end < alike.size() && *sample_of(*alike[end]) == *sample_of(*alike[begin])) ++end;
        add_tasks({alike.begin() + static_cast<std::ptrdiff_t>(begin), alike.begin() + static_cast<std::ptrdiff_t>(end)}, tasks);
        begin = end;
      }
    }
    add_nameless(tasks);
    // One file cannot be hashed by two cores, so the longest work starts first.
    std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) { return a.bytes > b.bytes; });
    std::uint64_t total = 0;
    for (const Task& t : tasks) total += t.bytes;
    progress_.stage("hashing", total, true);
    Status kept;
    std::mutex mutex;  // of everything that is not the task's own
    mlxbase::parallel_for(tasks.size(), cores_, [&](std::size_t i) {
      if (cancelled()) return;
      Task& task = tasks[i];
      if (task.reference != nullptr) compare(task, mutex);
      std::vector<std::uint32_t> inodes;
      for (const Node* n : task.nodes) inodes.push_back(candidates_[n->members.front()].inode);
      auto hashed = hash_side_by_side(fs_, inventory_, inodes, task.algorithm, progress_, options_.cancel);
      const std::scoped_lock lock(mutex);
      for (std::size_t n = 0; n < task.nodes.size(); ++n) {
        Candidate& c = candidates_[task.nodes[n]->members.front()];
        inode_of(c).bytes_read += hashed[n].bytes_read;
        if (hashed[n].digest) {
          const RareDigest digest(*hashed[n].digest);
          learn(c, digest);
          task.nodes[n]->knowledge.measured(digest);
          c.touched = true;
          if (!hashed[n].links.empty()) chains_.push_back({.sha256 = *hashed[n].digest, .size = inode_of(c).stat.size, .links = std::move(hashed[n].links)});
        } else if (hashed[n].digest.error().code != Code::cancelled) {
          task.nodes[n]->unreadable = true;
          failed_.emplace_back(static_cast<std::uint32_t>(&c - candidates_.data()), hashed[n].digest.error());
        }
      }
      if (kept && clock_.steady_ns() - kept_at_ > kKeepEveryNs) kept = keep_touched();
    });
    TRY(kept);
    TRY(keep_touched());
    if (cancelled()) return stop();
    // In the order of the listing: what was read in which order, by whichever thread, nobody needs to know.
    std::sort(failed_.begin(), failed_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [candidate, error] : failed_) report(candidates_[candidate], error);
    for (const std::size_t k : undecided_) nodes_of_class_[k] = joined(std::move(nodes_of_class_[k]));
    return {};
  }

  /// Nodes of one size and sample: has the algorithm computed that costs the fewest bytes.
  void add_tasks(const std::vector<Node*>& alike, std::vector<Task>& tasks) {
    if (are_decided({alike.begin(), alike.end()})) return;
    std::vector<Node*> best;
    Algorithm algorithm = Algorithm::none;
    for (const Algorithm a : kComputable) {
      std::vector<Node*> lacking;
      for (Node* n : alike) {
        if (!n->knowledge.has(a)) lacking.push_back(n);
      }
      if (algorithm == Algorithm::none || lacking.size() < best.size()) {
        best = std::move(lacking);
        algorithm = a;
      }
    }
    Node* const reference = best.size() + 1 == alike.size() ? reference_among(alike, best) : nullptr;
    for (std::size_t begin = 0; begin < best.size(); begin += kSideBySide) {
      const std::size_t end = std::min(begin + kSideBySide, best.size());
      Task& task = tasks.emplace_back();
      task.nodes.assign(best.begin() + static_cast<std::ptrdiff_t>(begin), best.begin() + static_cast<std::ptrdiff_t>(end));
      task.algorithm = algorithm;
      task.reference = reference;
      task.bytes = inode_of(candidates_[best.front()->members.front()]).stat.size * task.nodes.size();
    }
  }

  static bool is_nameless(const Node& node) { return node.members.size() > 1 && best_digest(node) == nullptr; }
  static bool has_nameless(const std::vector<Node>& nodes) { return std::any_of(nodes.begin(), nodes.end(), &is_nameless); }

  /// Twins by an earlier comparison whose claim is gone since have no digest to be called by: one of them is hashed.
  void add_nameless(std::vector<Task>& tasks) {
    std::vector<Node*> busy;
    for (const Task& task : tasks) busy.insert(busy.end(), task.nodes.begin(), task.nodes.end());
    std::sort(busy.begin(), busy.end());
    for (auto& nodes : nodes_of_class_) {
      for (Node& node : nodes) {
        if (!is_nameless(node) || std::binary_search(busy.begin(), busy.end(), &node)) continue;
        tasks.push_back({.nodes = {&node}, .algorithm = Algorithm::sha256, .bytes = inode_of(candidates_[node.members.front()]).stat.size});
      }
    }
  }

  static const Knowledge::Item* best_digest(const Node& node) {
    for (const Algorithm a : {Algorithm::sha256, Algorithm::git_sha1, Algorithm::sha1, Algorithm::blake3, Algorithm::md5, Algorithm::xet}) {
      if (const auto* item = node.knowledge.of(a)) return item;
    }
    return nullptr;
  }

  /// The one node that has a digest already, if it and all the others lie in the cache: then comparing them with it costs half of
  /// hashing them, and proves more. From a disk it would cost a second reading.
  Node* reference_among(const std::vector<Node*>& alike, const std::vector<Node*>& lacking) {
    for (const Node* n : alike) {
      Candidate& c = candidates_[n->members.front()];
      const auto file = open_unchanged(fs_, inventory_, inode_of(c));
      if (!file || !is_cached(**file, inode_of(c).stat.size)) return nullptr;
    }
    const auto at = std::find_if(alike.begin(), alike.end(), [&](Node* n) { return std::find(lacking.begin(), lacking.end(), n) == lacking.end(); });
    return at == alike.end() ? nullptr : *at;
  }

  /// Takes the nodes out of the task that have the bytes of its reference, and marks them as its twins.
  void compare(Task& task, std::mutex& mutex) {
    Candidate& reference = candidates_[task.reference->members.front()];
    std::vector<std::uint32_t> inodes;
    for (const Node* n : task.nodes) inodes.push_back(candidates_[n->members.front()].inode);
    std::uint64_t read_of_reference = 0;
    const auto compared = compare_side_by_side(fs_, inventory_, reference.inode, inodes, read_of_reference, progress_, options_.cancel);
    const std::scoped_lock lock(mutex);
    inode_of(reference).bytes_read += read_of_reference;
    std::vector<Node*> left;
    for (std::size_t n = 0; n < task.nodes.size(); ++n) {
      Candidate& c = candidates_[task.nodes[n]->members.front()];
      inode_of(c).bytes_read += compared[n].bytes_read;
      if (!compared[n].equal || !*compared[n].equal) {
        left.push_back(task.nodes[n]);  // an error comes again when it is hashed, and is reported then
        continue;
      }
      if (!reference.twin) reference.twin = std::optional(new_mark(reference));
      reference.touched = true;
      // All that were marked as twins of this one are now twins of the reference.
      const std::optional<Digest> before = c.twin.get();
      for (const std::uint32_t m : task.nodes[n]->members) {
        Candidate& member = candidates_[m];
        if (&member != &c && !(before && member.twin.get() == before)) continue;
        member.twin = reference.twin.get();
        member.touched = true;
      }
      // What was measured of one is true of the other.
      for (const auto& item : reference.knowledge.items()) {
        if (!item.measured) continue;
        learn(c, item.digest);
        task.nodes[n]->knowledge.measured(item.digest);
      }
    }
    task.nodes = std::move(left);
  }

  /// A mark no other pair has: of this inode in this state, at this time.
  Digest new_mark(const Candidate& c) {
    const auto& stat = inventory_.inodes[c.inode].stat;
    mlxbase::ByteWriter words;
    for (const std::uint64_t v : {stat.id.device, stat.id.inode, stat.size}) words.put(v);
    for (const std::int64_t v : {stat.mtime_ns, stat.ctime_ns, clock_.wall_ns(), clock_.steady_ns()}) words.put(v);
    mlxbase::Hasher hasher(Algorithm::sha256);
    hasher.update(words.bytes());
    return {Algorithm::none, hasher.finish().bytes()};
  }

  /// Gives the catalog what was measured since the last call.
  Status keep_touched() {
    std::vector<std::uint32_t> order;
    for (std::uint32_t i = 0; i < candidates_.size(); ++i) {
      Candidate& c = candidates_[i];
      if (c.touched && !c.fresh) order.push_back(i);
      c.touched = false;
    }
    // In the order of the catalog's key each page of it is written once; a part at a time, since rows are many times what is kept here.
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return inode_of(candidates_[a]).stat.id < inode_of(candidates_[b]).stat.id; });
    kept_at_ = clock_.steady_ns();
    const std::int64_t now = clock_.wall_ns();
    const std::span<const std::uint32_t> all(order);
    for (std::size_t at = 0; at < all.size(); at += kToldAtOnce) {
      std::vector<Measured> rows;
      for (const std::uint32_t i : all.subspan(at, std::min(kToldAtOnce, all.size() - at))) rows.push_back(measured_of(candidates_[i], now));
      TRY(catalog_.remember(rows));
    }
    return catalog_.remember_chains(std::exchange(chains_, {}));
  }

  Measured measured_of(const Candidate& c, std::int64_t now) const {
    const Digest* const sample = sample_of(c);
    Measured row{.of = catalog::fingerprint_of(inventory_.inodes[c.inode].stat),
                 .sample = sample != nullptr ? std::optional(*sample) : std::nullopt,
                 .digests = {},
                 .twin = c.twin.get(),
                 .verified_at_ns = 0};
    for (const auto& item : c.knowledge.items()) {
      if (item.measured) row.digests.push_back(*item.digest);
    }
    if (!row.digests.empty()) row.verified_at_ns = now;
    return row;
  }

  void report(const Candidate& c, const Error& error) {
    const auto name = inode_of(c).names.front();
    const std::string& path = inventory_.entry(name).path;
    inventory_.listings[name.store].problems.push_back(
        {path, Error{error.code, fmt::format("compare {}: {}", mlxbase::printable(path), error.message), error.os_errno}});
  }

  void make_groups() {
    for (const auto& nodes : nodes_of_class_) make_groups_of(nodes);
    for (const auto& inode : inventory_.inodes) inventory_.bytes_read += inode.bytes_read;
  }

  void make_groups_of(const std::vector<Node>& nodes) {
    for (const Node& node : nodes) {
      if (node.members.size() < 2) continue;
      catalog::Group group;
      const Knowledge::Item* best = best_digest(node);
      if (best == nullptr) continue;  // twins that cannot be read any more
      group.digest = *best->digest;
      group.inodes.reserve(node.members.size());
      std::size_t unmeasured = 0;
      bool compared = true;  // all that are not measured bear one mark
      std::optional<Digest> mark;
      for (const std::uint32_t m : node.members) {
        const Candidate& c = candidates_[m];
        group.inodes.push_back(c.inode);
        const auto& items = c.knowledge.items();
        if (std::any_of(items.begin(), items.end(), [](const auto& i) { return i.measured; })) continue;
        ++unmeasured;
        if (!mark) mark = c.twin.get();
        compared = compared && c.twin && *c.twin == *mark;
      }
      group.evidence = unmeasured <= 1 ? Evidence::measured : compared ? Evidence::compared : Evidence::claimed;
      group.size = inode_of(candidates_[node.members.front()]).stat.size;
      inventory_.groups.push_back(std::move(group));
    }
  }

  os::FileSystem& fs_;
  catalog::Catalog& catalog_;
  Inventory& inventory_;
  const Options& options_;
  mlxbase::Clock& clock_;
  mlxbase::Progress& progress_;
  unsigned cores_;
  std::int64_t kept_at_;  // steady time
  std::vector<Candidate> candidates_;
  std::vector<Range> classes_;                     // of candidates of one size
  std::vector<std::vector<Node>> nodes_of_class_;  // of classes that what was known did not settle
  std::vector<std::size_t> undecided_;             // indices of classes that digests alone do not settle
  std::vector<std::pair<std::uint32_t, Error>> failed_;
  std::vector<mlxbase::Chain> chains_;             // of what was hashed and is not kept yet
};

}  // namespace

Status find_groups(os::FileSystem& fs, catalog::Catalog& catalog, Inventory& inventory, const Options& options, mlxbase::Clock& clock,
                   mlxbase::Progress& progress) {
  TRY(Grouper(fs, catalog, inventory, options, clock, progress).run());
  measure_sharing(fs, inventory, options);
  std::stable_sort(inventory.groups.begin(), inventory.groups.end(), [](const auto& a, const auto& b) {
    if (a.reclaimable_bytes != b.reclaimable_bytes) return a.reclaimable_bytes > b.reclaimable_bytes;
    return a.inodes.front() < b.inodes.front();
  });
  count_totals(inventory);
  return {};
}

}  // namespace mlxcache::group
