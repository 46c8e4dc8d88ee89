#include "mlxcache/group/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/catalog/catalog.h"

namespace mlxcache::group {
namespace {

using catalog::Inode;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Hasher;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

// Two buffers of this size stay in the processor's second-level cache while they are compared and hashed.
constexpr std::size_t kChunk = std::size_t{512} << 10U;

using Buffer = std::vector<std::byte>;

/// Of SHA-256 the states between pieces are kept too: by them rot is found later, and they cost nothing beside the hash.
class RunningHash {
 public:
  RunningHash(mlxbase::Algorithm algorithm, std::uint64_t size) {
    algorithm == mlxbase::Algorithm::sha256 ? void(chain_.emplace()) : void(other_.emplace(algorithm, size));
  }
  void update(std::span<const std::byte> bytes) { chain_ ? chain_->update(bytes) : other_->update(bytes); }
  RunningHash clone() const {
    RunningHash out;
    if (chain_) out.chain_.emplace(chain_->clone());
    if (other_) out.other_.emplace(other_->clone());
    return out;
  }
  Digest finish() { return chain_ ? chain_->finish() : other_->finish(); }
  std::vector<mlxbase::ChainLink> links() const { return chain_ ? chain_->links() : std::vector<mlxbase::ChainLink>(); }

 private:
  RunningHash() = default;
  std::optional<mlxbase::Sha256Chain> chain_;
  std::optional<Hasher> other_;
};

/// Files whose bytes were equal up to here, and the hash of these bytes.
struct Strand {
  RunningHash hasher;
  std::vector<std::size_t> members;  // the first one is read for all
};

}  // namespace

Result<std::unique_ptr<os::File>> open_unchanged(os::FileSystem& fs, const catalog::Inventory& inventory, const catalog::Inode& inode) {
  mlxbase::Error last{Code::not_found, "it has no name", 0};
  for (const auto name : inode.names) {
    const std::string& path = inventory.entry(name).path;
    auto file = fs.open_read(path, os::Follow::no);
    if (!file) {
      last = file.error();
      if (last.code == Code::not_found) continue;  // another name may still be there
      break;
    }
    if (auto same = still_unchanged(**file, inode); !same) {
      last = same.error();
      if (last.code == Code::changed) continue;  // the name was given to another file
      break;
    }
    return file;
  }
  return mlxbase::fail(std::move(last));
}

Status still_unchanged(os::File& file, const catalog::Inode& inode) {
  const auto now = TRY(file.stat());
  if (catalog::fingerprint_of(now) != catalog::fingerprint_of(inode.stat)) {
    return mlxbase::fail(Code::changed, "it changed after it was listed");
  }
  return {};
}

std::vector<Hashed> hash_side_by_side(os::FileSystem& fs, const catalog::Inventory& inventory, std::span<const std::uint32_t> inodes,
                                      mlxbase::Algorithm algorithm, mlxbase::Progress& progress, const mlxbase::Cancel* cancel) {
  assert(inodes.size() <= kSideBySide);
  const Digest none;
  std::vector<Hashed> out(inodes.size(), Hashed{Result<Digest>(none), 0, {}});
  std::vector<std::unique_ptr<os::File>> files(inodes.size());
  if (inodes.empty()) return out;
  const std::uint64_t size = inventory.inodes[inodes.front()].stat.size;

  std::vector<Strand> strands;
  strands.push_back({RunningHash(algorithm, size), {}});
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    auto file = open_unchanged(fs, inventory, inventory.inodes[inodes[i]]);
    if (!file) {
      out[i].digest = mlxbase::fail(file.error());
      continue;
    }
    files[i] = std::move(*file);
    files[i]->advise_sequential();
    strands.front().members.push_back(i);
  }
  progress.item(inventory.entry(inventory.inodes[inodes.front()].names.front()).path);

  static thread_local Buffer leader_buffer(kChunk);
  static thread_local Buffer follower_buffer(kChunk);

  /// Reads the chunk of one file; on failure the file is out.
  const auto read = [&](std::size_t member, std::uint64_t at, std::span<std::byte> into) {
    auto got = files[member]->pread(at, into);
    if (got && *got != into.size()) got = mlxbase::fail(Code::changed, "it became shorter while it was read");
    if (!got) {
      out[member].digest = mlxbase::fail(got.error());
      return false;
    }
    out[member].bytes_read += into.size();
    progress.advance(into.size());
    return true;
  };

  for (std::uint64_t at = 0; at < size; at += kChunk) {
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, size - at));
    if (cancel != nullptr && cancel->requested()) {
      for (const auto& strand : strands) {
        for (const std::size_t member : strand.members) out[member].digest = mlxbase::fail(Code::cancelled, "cancelled");
      }
      return out;
    }
    std::vector<Strand> fresh;
    for (auto& strand : strands) {
      // What leaves this strand in this chunk, with its own bytes of it. Rare: twins by size and sample are mostly twins.
      std::vector<std::pair<Strand, Buffer>> parted;
      const auto lead = std::span(leader_buffer).first(length);
      const auto follow = std::span(follower_buffer).first(length);
      auto& members = strand.members;
      while (!members.empty() && !read(members.front(), at, lead)) members.erase(members.begin());
      for (std::size_t m = 1; m < members.size();) {
        const std::size_t member = members[m];
        if (!read(member, at, follow)) {
          members.erase(members.begin() + static_cast<std::ptrdiff_t>(m));
          continue;
        }
        if (std::memcmp(lead.data(), follow.data(), length) == 0) {
          ++m;
          continue;
        }
        members.erase(members.begin() + static_cast<std::ptrdiff_t>(m));
        const auto twin = std::find_if(parted.begin(), parted.end(),
                                       [&](const auto& p) { return std::memcmp(p.second.data(), follow.data(), length) == 0; });
        if (twin != parted.end()) {
          twin->first.members.push_back(member);
        } else {
          parted.emplace_back(Strand{strand.hasher.clone(), {member}}, Buffer(follow.begin(), follow.end()));
        }
      }
      if (!members.empty()) strand.hasher.update(lead);
      for (auto& [own, bytes] : parted) {
        own.hasher.update(bytes);
        fresh.push_back(std::move(own));
      }
    }
    std::move(fresh.begin(), fresh.end(), std::back_inserter(strands));
    std::erase_if(strands, [](const Strand& s) { return s.members.empty(); });
    if (strands.empty()) return out;
  }

  for (auto& strand : strands) {
    const Digest digest = strand.hasher.finish();
    auto links = strand.hasher.links();
    for (const std::size_t member : strand.members) {
      // Bytes that changed under the reading prove nothing.
      if (auto same = still_unchanged(*files[member], inventory.inodes[inodes[member]]); !same) {
        out[member].digest = mlxbase::fail(same.error());
      } else {
        out[member].digest = digest;
        out[member].links = std::exchange(links, {});
      }
    }
  }
  return out;
}

std::vector<Compared> compare_side_by_side(os::FileSystem& fs, const catalog::Inventory& inventory, std::uint32_t reference,
                                           std::span<const std::uint32_t> inodes, std::uint64_t& bytes_of_reference,
                                           mlxbase::Progress& progress, const mlxbase::Cancel* cancel) {
  assert(inodes.size() <= kSideBySide);
  std::vector<Compared> out(inodes.size(), Compared{Result<bool>(true), 0});
  const Inode& leader = inventory.inodes[reference];
  const auto fail_all = [&](const mlxbase::Error& error) {
    for (auto& compared : out) {
      if (compared.equal && *compared.equal) compared.equal = mlxbase::fail(error);
    }
    return out;
  };
  auto lead = open_unchanged(fs, inventory, leader);
  if (!lead) return fail_all(lead.error());
  std::vector<std::unique_ptr<os::File>> files(inodes.size());
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    if (auto file = open_unchanged(fs, inventory, inventory.inodes[inodes[i]])) {
      files[i] = std::move(*file);
    } else {
      out[i].equal = mlxbase::fail(file.error());
    }
  }
  progress.item(inventory.entry(leader.names.front()).path);
  static thread_local Buffer leader_buffer(kChunk);
  static thread_local Buffer follower_buffer(kChunk);
  const auto still_equal = [](const Compared& c) { return c.equal && *c.equal; };
  for (std::uint64_t at = 0; at < leader.stat.size; at += kChunk) {
    if (cancel != nullptr && cancel->requested()) return fail_all({Code::cancelled, "cancelled", 0});
    if (std::none_of(out.begin(), out.end(), still_equal)) return out;
    const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, leader.stat.size - at));
    const auto ours = std::span(leader_buffer).first(length);
    const auto theirs = std::span(follower_buffer).first(length);
    const auto got = (*lead)->pread(at, ours);
    if (!got) return fail_all(got.error());
    if (*got != length) return fail_all({Code::changed, "it became shorter while it was read", 0});
    bytes_of_reference += length;
    for (std::size_t i = 0; i < inodes.size(); ++i) {
      if (!still_equal(out[i])) continue;
      const auto read = files[i]->pread(at, theirs);
      if (!read) {
        out[i].equal = mlxbase::fail(read.error());
      } else if (*read != length) {
        out[i].equal = mlxbase::fail(Code::changed, "it became shorter while it was read");
      } else {
        out[i].bytes_read += length;
        out[i].equal = std::memcmp(ours.data(), theirs.data(), length) == 0;
        progress.advance(length);
      }
    }
  }
  if (auto same = still_unchanged(**lead, leader); !same) return fail_all(same.error());
  for (std::size_t i = 0; i < inodes.size(); ++i) {
    if (!still_equal(out[i])) continue;
    if (auto same = still_unchanged(*files[i], inventory.inodes[inodes[i]]); !same) out[i].equal = mlxbase::fail(same.error());
  }
  return out;
}

bool is_cached(os::File& file, std::uint64_t size) {
  constexpr std::uint64_t kPlaces = 8;
  for (std::uint64_t i = 0; i < kPlaces; ++i) {
    if (!file.in_cache(size / kPlaces * i + size / kPlaces / 2)) return false;
  }
  return true;
}

}  // namespace mlxcache::group
