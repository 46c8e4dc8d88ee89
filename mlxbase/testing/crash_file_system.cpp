#include "mlxbase/testing/crash_file_system.h"

#include <set>

namespace mlxbase::testing {
namespace {

/// Small, and the same on every machine.
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15ULL + 0x1234567) {}
  std::size_t below(std::size_t n) {
    state_ ^= state_ << 13U, state_ ^= state_ >> 7U, state_ ^= state_ << 17U;
    return static_cast<std::size_t>((state_ >> 20U) % n);
  }

 private:
  std::uint64_t state_;
};

}  // namespace

void CrashFileSystem::settle() {
  for_each_inode([](Inode& inode) {
    inode.durable_metadata = inode.metadata;
    inode.durable_content = inode.content;
    inode.durable_entries = inode.entries;
    inode.unsynced_entries.clear();
    inode.synced = true;
  });
}

void CrashFileSystem::crash(std::uint64_t seed) {
  Chance chance(seed);
  std::set<Inode*> seen;
  std::map<Inode*, std::uint64_t> links;

  const auto choose_bytes = [&](Inode& inode) {
    const Content& old = inode.durable_content;  // empty if it was never synced
    switch (chance.below(3)) {
      case 0: inode.content = old; break;
      case 1: break;  // all of it got there
      default: {
        // The length and some of the blocks got there; others are as before, or zeros.
        Content mixed = chance.below(2) == 0 ? inode.content : old;
        for (std::size_t i = 0; i < mixed.blocks.size(); ++i) {
          const auto in = [&](const Content& c) { return i < c.blocks.size() ? c.blocks[i] : nullptr; };
          if (in(old) == in(inode.content)) continue;
          mixed.blocks[i] = chance.below(2) == 0 ? in(old) : in(inode.content);
        }
        inode.content = mixed;
      }
    }
    if (inode.synced && chance.below(2) == 0) inode.metadata = inode.durable_metadata;
  };

  const std::function<void(const Node&)> visit = [&](const Node& node) {
    if (!seen.insert(node.get()).second) return;
    if (node->kind == os::FileKind::regular) {
      choose_bytes(*node);
      return;
    }
    if (node->kind != os::FileKind::directory) return;
    node->entries = node->durable_entries;
    for (const auto& [name, values] : node->unsynced_entries) {
      const std::size_t pick = chance.below(values.size() + 1);
      if (pick == values.size()) continue;  // as it was at the last sync
      if (values[pick]) {
        node->entries[name] = values[pick];
      } else {
        node->entries.erase(name);
      }
    }
    for (const auto& [name, child] : node->entries) visit(child);
  };
  visit(root_);

  for_each_inode([&](Inode& inode) {
    for (const auto& [name, child] : inode.entries) ++links[child.get()];
    inode.guards = 0;
    inode.guard_broken = inode.held_for_writing = inode.locked = false;
    inode.waiting_writes.clear();
  });
  for (auto& [inode, count] : links) {
    if (inode->kind != os::FileKind::directory) inode->links = count;
  }
  settle();
}

}  // namespace mlxbase::testing
