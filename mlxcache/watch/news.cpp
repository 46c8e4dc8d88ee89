#include "mlxcache/watch/news.h"

#include <algorithm>

namespace mlxcache::watch {
namespace {

using catalog::Inode;
using catalog::Inventory;
using catalog::Role;

constexpr std::int64_t kSecond = 1'000'000'000;
// What is not finished after a week is no download any more: an abandoned partial, an orphan. `dedup` and `gc` are there for it.
constexpr std::int64_t kForgetNs = std::int64_t{7} * 86'400 * kSecond;
// A file server's clock may be behind ours, and a volume may keep times in steps of 2 s. Looking at a file again costs nothing: it is known.
constexpr std::int64_t kMarginNs = std::int64_t{3600} * kSecond;
constexpr std::int64_t kShortestRetryNs = 60 * kSecond;

/// What one inode is, by all of its names.
struct Facts {
  bool payload = false, orphan = false, partial = false, incomplete = false, wanted = true;
  const catalog::Entry* first = nullptr;
};

Facts facts_of(const Inventory& inventory, const Inode& inode, const Rules& rules) {
  Facts f;
  for (const catalog::NameRef name : inode.names) {
    const auto& listing = inventory.listings[name.store];
    const catalog::Entry& entry = inventory.entry(name);
    if (f.first == nullptr) f.first = &entry;
    f.payload = f.payload || entry.role == Role::payload;
    f.orphan = f.orphan || entry.role == Role::orphan;
    f.partial = f.partial || entry.role == Role::partial;
    if (entry.model >= 0) f.incomplete = f.incomplete || listing.models[static_cast<std::size_t>(entry.model)].incomplete;
    const bool chosen = rules.stores.empty() || std::find(rules.stores.begin(), rules.stores.end(), listing.root.kind) != rules.stores.end();
    f.wanted = f.wanted && chosen;
  }
  return f;
}

}  // namespace

std::string_view to_string(Why why) {
  switch (why) {
    case Why::quiet: return "it changed a moment ago";
    case Why::download: return "its download is not finished";
    case Why::unnamed: return "no model refers to it yet";
    case Why::parts: return "its model is not complete yet";
    case Why::in_use: return "a program is using it";
    case Why::budget: return "the budget of --max-read is used up";
  }
  return {};
}

News look(const Inventory& inventory, const Rules& rules) {
  News news;
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    const Inode& inode = inventory.inodes[i];
    const std::int64_t ctime = inode.stat.ctime_ns;
    if (ctime < rules.since_ns || inode.stat.size < rules.min_size || inode.stat.dataless) continue;
    const Facts f = facts_of(inventory, inode, rules);
    if (!f.wanted || !(f.payload || f.orphan || f.partial)) continue;
    const bool old = ctime < rules.now_ns - kForgetNs;
    const auto wait = [&](Why why, std::int64_t until) {
      if (!old) news.waiting.push_back({f.first->path, why, until, ctime});
    };
    if (f.partial) {
      wait(Why::download, 0);
    } else if (ctime > rules.now_ns - rules.quiet_ns) {
      // A time far ahead is another machine's clock: that long nobody waits.
      wait(Why::quiet, std::min(ctime, rules.now_ns) + rules.quiet_ns);
    } else if (f.orphan) {
      wait(Why::unnamed, 0);
    } else if (f.incomplete) {
      wait(Why::parts, 0);
    } else {
      news.ready.push_back(i);
    }
  }
  std::sort(news.ready.begin(), news.ready.end(), [&](std::uint32_t a, std::uint32_t b) {
    const auto& x = inventory.inodes[a].stat;
    const auto& y = inventory.inodes[b].stat;
    return x.ctime_ns != y.ctime_ns ? x.ctime_ns < y.ctime_ns : a < b;
  });
  return news;
}

std::int64_t next_try(std::int64_t ctime_ns, std::int64_t now_ns) { return now_ns + std::max(kShortestRetryNs, (now_ns - ctime_ns) / 2); }

std::int64_t next_since(std::int64_t began_ns, const std::vector<Waiting>& waiting) {
  std::int64_t since = began_ns;
  for (const Waiting& w : waiting) since = std::min(since, w.ctime_ns);
  return since - kMarginNs;
}

}  // namespace mlxcache::watch
