// What nobody needs any more, and what is no longer as it should be.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "mlxbase/core/parallel.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/vault/pack.h"

namespace mlxcache::vault {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

Result<Vault::Verified> Vault::verify(unsigned workers, mlxbase::Progress& progress, const mlxbase::Cancel* cancel) {
  Verified out;
  out.damaged = damaged();
  const std::vector<Head> all = heads();
  out.objects = all.size();
  for (const Head& h : all) out.bytes += h.size;
  progress.stage("verify the vault", out.bytes, true);
  std::mutex mutex;
  std::unordered_map<Digest, std::string> bad;
  mlxbase::parallel_for(all.size(), workers, [&](std::size_t i) {
    if (cancel != nullptr && cancel->requested()) return;
    const Head& h = all[i];
    std::string why;
    if (const auto bytes = read(h.digest); !bytes) {
      why = bytes.error().message;
    } else {
      mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
      hasher.update(*bytes);
      if (hasher.finish() != h.digest) why = fmt::format("object {}: its bytes have another SHA-256", h.digest.hex().substr(0, 16));
    }
    progress.advance(h.size);
    if (why.empty()) return;
    const std::lock_guard guard(mutex);
    bad.emplace(h.digest, std::move(why));
  });
  if (cancel != nullptr && cancel->requested()) return fail(Code::cancelled, "stopped");
  for (const auto& [digest, why] : bad) {
    out.bad.push_back(digest);
    out.damaged.push_back({dir_, why});
  }
  TRY(each_model([](ModelFile&) { return Status{}; }, out.damaged));
  return out;
}

namespace {

/// Everything that the models are made of, and what that is coded against; false: some of that is not there, so that nobody knows its bases.
Result<bool> mark(Vault& vault, std::unordered_set<Digest>& needed) {
  std::vector<Damaged> damaged;
  std::vector<Digest> open;
  TRY(vault.each_model([&](ModelFile& file) -> Status {
    for (const FrozenName& n : file.model.names) {
      for (const Segment& s : n.segments) {
        if (s.what == Segment::What::object && needed.insert(s.object).second) open.push_back(s.object);
      }
    }
    return {};
  }, damaged));
  for (const Damaged& d : damaged) {
    // What a model that cannot be read needs, nobody knows.
    if (!d.what.starts_with("one of its two copies")) return fail(Code::corrupt, fmt::format("{}: {}; nothing was removed", d.path, d.what));
  }
  bool all = true;
  while (!open.empty()) {
    const Digest digest = open.back();
    open.pop_back();
    const auto head = vault.find(digest);
    all = all && head;
    if (!head) continue;
    for (const Digest& base : head->bases) {
      if (needed.insert(base).second) open.push_back(base);
    }
  }
  return all;
}

}  // namespace

bool Vault::can_be_read(const Place& place) {
  const auto stored = stored_at(place);
  return stored && payload_of(*stored);
}

/// Whether a pack can go once `keep` is copied. One of which something cannot be read stays: its model names it, and perhaps somebody can mend it.
/// Of what it has twice with other packs, those must be good.
bool Vault::may_go(std::uint32_t pack, const std::vector<Place>& keep, const std::unordered_set<Digest>& needed) {
  for (const Place& place : keep) {
    if (!can_be_read(place)) return false;
  }
  const auto file = file_of(pack);
  if (!file) return false;
  const auto contents = read_contents(source_of(**file, packs_[pack]->size));
  if (!contents) return false;
  for (const Entry& e : contents->entries) {
    const auto used = place_of(e.head.digest);
    if (used && used->pack != pack && needed.contains(e.head.digest) && !can_be_read(*used)) return false;
  }
  return true;
}

Result<Vault::Collected> Vault::collect(bool apply, mlxbase::Progress& progress, const mlxbase::Cancel* cancel) {
  constexpr std::uint64_t kWorthIt = 10;  // per cent of a pack that must be dead before the rest is copied
  if (apply && !lock_) return fail(Code::invalid, "the vault was opened to be read");
  TRY(publish());
  std::unordered_set<Digest> needed;
  const bool all_known = TRY(mark(*this, needed));
  if (has_copies()) {
    // Where the first copy is no good and another is, the other counts: so the pack of the first may go.
    for (const Digest& digest : needed) {
      const auto copies = copies_of(digest);
      const auto first = place_of(digest);
      if (copies.empty() || !first || can_be_read(*first)) continue;
      const auto good = std::ranges::find_if(copies, [&](const Place& copy) { return can_be_read(copy); });
      if (good != copies.end()) prefer(*good);
    }
  }
  struct Share {
    std::uint64_t live = 0, dead = 0, dead_objects = 0;
    std::vector<Place> keep;
  };
  std::vector<Share> shares;
  std::vector<bool> damaged_pack;
  {
    const std::lock_guard guard(mutex_);
    shares.resize(packs_.size());
    for (const auto& pack : packs_) {
      damaged_pack.push_back(pack->damaged);
      // What is in it may be mended, but not without its bases, and only it knows them.
      if (pack->damaged && !all_known) return fail(Code::corrupt, fmt::format("{} is damaged, and a model needs what was in it; nothing was removed", pack->path));
    }
    for (const auto& [digest, place] : places_) {
      Share& share = shares[place.pack];
      if (needed.contains(digest)) {
        share.live += place.entry.head.payload;
        share.keep.push_back(place);
      } else {
        share.dead += place.entry.head.payload;
        ++share.dead_objects;
      }
    }
  }
  Collected out;
  std::vector<std::uint32_t> old;
  for (std::uint32_t p = 0; p < shares.size(); ++p) {
    Share& share = shares[p];
    // What cannot be read of it now can perhaps be mended.
    if (damaged_pack[p]) continue;
    if (share.dead_objects == 0 && !share.keep.empty()) continue;
    out.objects += share.dead_objects;
    out.payload_bytes += share.dead;
    if (!share.keep.empty() && share.dead * 100 < (share.dead + share.live) * kWorthIt) continue;
    if (!apply || may_go(p, share.keep, needed)) old.push_back(p);
  }
  if (!apply) {
    for (const std::uint32_t p : old) out.bytes_freed += shares[p].dead;
    return out;
  }
  const std::uint64_t before = TRY(stored_bytes());
  for (const std::uint32_t p : old) {
    Share& share = shares[p];
    std::sort(share.keep.begin(), share.keep.end(), [](const Place& a, const Place& b) { return a.entry.offset < b.entry.offset; });
    for (const Place& place : share.keep) {
      if (cancel != nullptr && cancel->requested()) return fail(Code::cancelled, "stopped; the vault is as it was");
      Stored stored = TRY(stored_at(place));
      auto payload = TRY(payload_of(stored));
      const Choice choice{std::move(stored.head), std::move(payload)};
      {
        const std::lock_guard guard(mutex_);
        places_.erase(choice.head.digest);
      }
      TRY(append(choice));
      progress.advance(choice.head.payload);
    }
  }
  TRY(publish());
  for (const std::uint32_t p : old) {
    const std::lock_guard guard(mutex_);
    TRY(fs_.unlink(packs_[p]->path));
    packs_[p]->file.reset();
    std::erase_if(places_, [&](const auto& item) { return item.second.pack == p; });
    std::erase_if(copies_, [&](const auto& item) { return item.second.pack == p; });
    ++out.packs_rewritten;
  }
  TRY(fs_.sync_dir(dir_ + "/packs"));
  const std::uint64_t after = TRY(stored_bytes());
  out.bytes_freed = before > after ? before - after : 0;
  return out;
}

Result<bool> Vault::take_over(Vault& from, const Digest& digest, int most_depth) {
  if (find(digest)) return false;
  Stored stored = TRY(from.stored(digest));
  const auto wrong = [&](std::string_view why) { return fail(Code::corrupt, fmt::format("object {}: {}", digest.hex().substr(0, 16), why)); };
  if (stored.head.depth > most_depth) return wrong("it does not lie below what is coded against it");
  for (const Digest& base : stored.head.bases) TRY(take_over(from, base, stored.head.depth - 1));
  auto payload = TRY(payload_of(stored));
  // Whoever finds a digest here later trusts that its bytes are those.
  const auto bytes = TRY(decode(stored.head, payload, 0));
  if (digest_of(bytes) != digest) return wrong("its bytes have another SHA-256");
  const auto copies = copies_of(digest);
  if (std::ranges::any_of(copies, [&](const Place& copy) { return copy.entry.head.depth < stored.head.depth; })) {
    // Others here may be coded against it, as it was.
    return !TRY(put(digest, bytes, stored.head.layout)).known;
  }
  TRY(append({std::move(stored.head), std::move(payload)}));
  return true;
}

}  // namespace mlxcache::vault
