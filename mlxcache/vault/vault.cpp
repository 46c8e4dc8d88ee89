#include "mlxcache/vault/vault.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/descriptors.h"
#include "mlxcache/change/session.h"
#include "mlxcache/vault/pack.h"

namespace mlxcache::vault {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr std::string_view kFormatText = "mlxcache vault 1\n";
constexpr std::string_view kPackSuffix = ".pack";
constexpr std::string_view kNewSuffix = ".new";
constexpr std::string_view kModelSuffix = ".frozen";
constexpr std::uint64_t kMaxModelFile = std::uint64_t{2} << 30U;

std::string packs_dir(const std::string& dir) { return path::join(dir, "packs"); }
std::string models_dir(const std::string& dir) { return path::join(dir, "models"); }

}  // namespace

Result<bool> is_vault(os::FileSystem& fs, const std::string& dir) {
  const auto stat = fs.stat(path::join(dir, "format"));
  if (stat) return stat->kind == os::FileKind::regular;
  if (stat.error().code == Code::not_found) return false;
  return fail(stat.error());
}

Vault::Vault(os::FileSystem& fs, std::string dir, Access access) : fs_(fs), dir_(std::move(dir)), finds_bases_(access != Access::read) {}
Vault::~Vault() {
  if (writer_) (void)fs_.unlink(packs_[writer_->pack]->path);  // no model speaks of it
}

Result<std::unique_ptr<Vault>> Vault::open(os::FileSystem& fs, const std::string& dir, Access access) {
  auto vault = std::unique_ptr<Vault>(new Vault(fs, dir, access));
  const std::string format = path::join(dir, "format");
  if (access == Access::write) {
    TRY(os::make_dirs(fs, packs_dir(dir), 0700));
    TRY(os::make_dirs(fs, models_dir(dir), 0700));
    auto lock = fs.try_lock(path::join(dir, "lock"), 0600);
    if (!lock && lock.error().code == Code::busy) return fail(Code::busy, fmt::format("another mlxcache writes to the vault {}", printable(dir)));
    if (!lock) return fail(lock.error());
    vault->lock_ = std::move(*lock);
    if (!TRY(is_vault(fs, dir))) TRY(os::write_file_atomically(fs, format, kFormatText, 0644));
  } else if (!TRY(is_vault(fs, dir))) {
    if (access == Access::look) return vault;
    return fail(Code::not_found, fmt::format("there is no vault at {} ('mlxcache freeze' makes one)", printable(dir)));
  }
  if (TRY(os::read_small_file(fs, format, 4096)) != kFormatText) {
    return fail(Code::unsupported, fmt::format("the vault {} is of a later version than this program", printable(dir)));
  }
  TRY(vault->load());
  return vault;
}

Status Vault::load() {
  if (lock_) {
    // Of a writer that did not finish: no model speaks of it.
    for (const std::string& dir : {packs_dir(dir_), models_dir(dir_)}) {
      for (const os::DirEntry& e : TRY(fs_.list(dir))) {
        if (e.name.ends_with(kNewSuffix)) TRY(fs_.unlink(path::join(dir, e.name)));
      }
    }
  }
  return refresh();
}

/// One that cannot be read is named, and the others go on. Errors: not_found, unsupported (a later version).
Status Vault::load_pack(std::uint32_t number) {
  Pack& pack = *packs_[number];
  const auto contents = [&]() -> Result<Contents> {
    auto file = TRY(fs_.open_read(pack.path));
    return read_contents(source_of(*file, TRY(file->stat()).size));
  }();
  pack.damaged = !contents || !contents->damage.empty();
  if (!contents) {
    if (contents.error().code == Code::not_found || contents.error().code == Code::unsupported) return fail(contents.error());
    damaged_.push_back({pack.path, contents.error().message});
    return {};
  }
  pack.salt = contents->salt;
  for (const Damage& d : contents->damage) damaged_.push_back({pack.path, fmt::format("bytes {} to {}: {}", d.begin, d.end, d.what)});
  for (const Entry& e : contents->entries) index({number, e});
  return {};
}

Status Vault::refresh() {
  const std::lock_guard guard(mutex_);
  bool again = true;
  for (int round = 0; again && round < 16; ++round) {
    std::unordered_set<std::string> there;
    for (const os::DirEntry& e : TRY(fs_.list(packs_dir(dir_)))) {
      if (e.name.ends_with(kPackSuffix)) there.insert(path::join(packs_dir(dir_), e.name));
    }
    bool lost = false;
    for (const auto& pack : packs_) {
      const bool gone = !there.contains(pack->path);
      lost = lost || (gone && !pack->gone);
      pack->gone = gone;
      there.erase(pack->path);
    }
    const std::size_t known = packs_.size();
    for (const std::string& full : there) {
      packs_.push_back(std::make_unique<Pack>());
      packs_.back()->path = full;
    }
    // Somebody has collected: what was in packs that are gone may be in any other.
    std::unordered_map<Digest, Place> before;
    if (lost) {
      before = std::move(places_);
      places_.clear();
      copies_.clear();
      candidates_.clear();
      damaged_.clear();
    }
    again = false;
    for (auto p = static_cast<std::uint32_t>(lost ? 0 : known); p < packs_.size(); ++p) {
      if (packs_[p]->gone) continue;
      const auto loaded = load_pack(p);
      if (loaded) continue;
      if (loaded.error().code != Code::not_found) return loaded;
      again = true;  // collected this moment: what was in it is in a pack that came after we had looked
    }
    if (lost) keep_what_is_open(before);
  }
  return {};
}

/// What only a pack has that is gone, but open, stays readable. The others give their room on the disk back.
void Vault::keep_what_is_open(const std::unordered_map<Digest, Place>& before) {
  std::unordered_set<std::uint32_t> used;
  for (const auto& [digest, place] : before) {
    const Pack& pack = *packs_[place.pack];
    if (!pack.gone || !pack.file || places_.contains(digest)) continue;
    index(place);
    used.insert(place.pack);
  }
  std::erase_if(open_packs_, [&](std::uint32_t p) {
    if (!packs_[p]->gone || used.contains(p)) return false;
    packs_[p]->file.reset();
    return true;
  });
}

void Vault::index(const Place& place) {
  const Head& head = place.entry.head;
  const auto [at, fresh] = places_.try_emplace(head.digest, place);
  if (!fresh) {
    copies_.emplace(head.digest, place)->second.entry.head.sketch = std::string();
    return;
  }
  if (const auto sketch = sketch_of(head); sketch && finds_bases_ && head.depth < kMaxDepth) candidates_[sketch->columns].add(head.digest, *sketch);
  // Its record has it; here it would be most of what a tensor takes.
  at->second.entry.head.sketch = std::string();
}

std::vector<Damaged> Vault::damaged() const {
  const std::lock_guard guard(mutex_);
  return damaged_;
}

std::optional<Vault::Place> Vault::place_of(const Digest& digest) const {
  const std::lock_guard guard(mutex_);
  const auto at = places_.find(digest);
  if (at == places_.end()) return std::nullopt;
  return at->second;
}

bool Vault::has_copies() const {
  const std::lock_guard guard(mutex_);
  return !copies_.empty();
}

std::vector<Vault::Place> Vault::copies_of(const Digest& digest) const {
  const std::lock_guard guard(mutex_);
  std::vector<Place> out;
  const auto [begin, end] = copies_.equal_range(digest);
  for (auto at = begin; at != end; ++at) out.push_back(at->second);
  return out;
}

/// It is read first from now on.
void Vault::prefer(const Place& place) {
  const std::lock_guard guard(mutex_);
  const auto first = places_.find(place.entry.head.digest);
  if (first == places_.end()) return;
  const auto [begin, end] = copies_.equal_range(first->first);
  for (auto at = begin; at != end; ++at) {
    if (at->second.pack == place.pack && at->second.entry.offset == place.entry.offset) return std::swap(at->second, first->second);
  }
}

std::size_t Vault::doubt(const FrozenModel& model) {
  std::unordered_set<Digest> seen;
  std::size_t count = 0;
  for (const FrozenName& n : model.names) {
    for (const Segment& s : n.segments) {
      if (s.what != Segment::What::object || !seen.insert(s.object).second) continue;
      const auto bytes = read(s.object);
      if (bytes ? digest_of(*bytes) == s.object : bytes.error().code == Code::unsupported) continue;
      const std::lock_guard guard(mutex_);
      const auto at = places_.find(s.object);
      if (at == places_.end()) continue;
      copies_.emplace(at->first, at->second);
      places_.erase(at);
      ++count;
    }
  }
  return count;
}

std::optional<Head> Vault::find(const Digest& digest) const {
  auto place = place_of(digest);
  if (!place) return std::nullopt;
  return std::move(place->entry.head);
}

std::vector<Head> Vault::heads() const {
  const std::lock_guard guard(mutex_);
  std::vector<Head> out;
  out.reserve(places_.size());
  for (const auto& [digest, place] : places_) out.push_back(place.entry.head);
  return out;
}

// ---- reading ---------------------------------------------------------------------------------------------------------------

Result<std::shared_ptr<os::File>> Vault::file_of(std::uint32_t number) {
  const std::lock_guard guard(mutex_);
  Pack& pack = *packs_[number];
  if (pack.file) return pack.file;
  pack.file = std::shared_ptr<os::File>(TRY(fs_.open_read(pack.path)));
  pack.size = TRY(pack.file->stat()).size;
  open_packs_.push_back(number);
  if (open_packs_.size() > most_open_) {
    // The oldest, but none that is gone: there would be no way back to it. Who reads it now holds it.
    auto oldest = std::ranges::find_if(open_packs_, [&](std::uint32_t p) {
      const auto stat = packs_[p]->file->stat();
      return p != number && stat && stat->links > 0;
    });
    if (oldest == open_packs_.end()) oldest = open_packs_.begin();
    packs_[*oldest]->file.reset();
    open_packs_.erase(oldest);
  }
  return pack.file;
}

Result<std::vector<std::byte>> Vault::payload_of(const Stored& stored) {
  std::vector<std::byte> payload(static_cast<std::size_t>(stored.head.payload));
  (void)TRY(stored.payload.read(0, payload));  // all of it, since all is asked for
  return payload;
}

Result<std::vector<std::byte>> Vault::read_at(const Digest& digest, int depth) {
  const auto from = [&](Result<Stored> found) -> Result<std::vector<std::byte>> {
    const Stored stored = TRY(std::move(found));
    return decode(stored.head, TRY(payload_of(stored)), depth);
  };
  auto bytes = from(stored(digest));
  if (bytes) return bytes;
  for (const Place& copy : copies_of(digest)) {
    auto again = from(stored_at(copy));
    if (!again) continue;
    prefer(copy);
    return again;
  }
  if (bytes.error().code == Code::corrupt && !bytes.error().message.starts_with("object ")) {
    return fail(Code::corrupt, fmt::format("object {}: {}", digest.hex().substr(0, 16), bytes.error().message));
  }
  return bytes;
}

Result<std::vector<std::byte>> Vault::read(const Digest& digest) { return read_at(digest, 0); }

Result<Vault::Stored> Vault::stored_at(const Place& place) {
  const auto file = TRY(file_of(place.pack));
  std::uint64_t salt = 0;
  std::uint64_t size = 0;
  std::string name;
  {
    const std::lock_guard guard(mutex_);
    salt = packs_[place.pack]->salt;
    size = packs_[place.pack]->size;
    name = std::string(path::file_name(packs_[place.pack]->path));
  }
  const auto in_pack = [name](mlxbase::Error error) {
    error.message = fmt::format("{}: {}", printable(name), error.message);
    return fail(std::move(error));
  };
  auto read = read_record(source_of(*file, size), place.entry.offset, salt);
  if (!read) return in_pack(read.error());
  const std::string sketch = std::exchange(read->head.sketch, std::string());
  const bool same = read->head == place.entry.head;
  read->head.sketch = sketch;
  if (!same) return in_pack({Code::corrupt, fmt::format("the record at byte {} is not the one in the index", place.entry.offset)});
  Stored out;
  out.head = read->head;
  const auto record = std::make_shared<const Record>(std::move(*read));
  out.payload.size = record->head.payload;
  out.payload.read = [file, record, salt, in_pack, at = place.entry.offset](std::uint64_t offset, std::span<std::byte> to) -> Result<std::size_t> {
    const std::uint64_t length = record->head.payload;
    if (offset >= length || to.empty()) return std::size_t{0};
    const std::uint64_t end = offset + std::min<std::uint64_t>(to.size(), length - offset);
    // Whole blocks, since each has one checksum; straight to where they are wanted if that is all of them.
    const std::uint64_t first = offset / kBlockBytes;
    const std::uint64_t begin = first * kBlockBytes;
    const std::uint64_t whole_end = std::min<std::uint64_t>(length, (end + kBlockBytes - 1) / kBlockBytes * kBlockBytes);
    std::vector<std::byte> room;
    std::span<std::byte> blocks = to.first(static_cast<std::size_t>(end - offset));
    if (begin != offset || whole_end != end) {
      room.resize(static_cast<std::size_t>(whole_end - begin));
      blocks = room;
    }
    for (std::size_t have = 0; have < blocks.size();) {
      const std::size_t got = TRY(file->pread(record->payload_offset + begin + have, blocks.subspan(have)));
      if (got == 0) return in_pack({Code::corrupt, fmt::format("it ends within the record at byte {}", at)});
      have += got;
    }
    if (auto good = check_blocks(*record, first, blocks, salt); !good) return in_pack(good.error());
    if (!room.empty()) std::copy_n(room.begin() + static_cast<std::ptrdiff_t>(offset - begin), end - offset, to.begin());
    return static_cast<std::size_t>(end - offset);
  };
  return out;
}

Result<Vault::Stored> Vault::stored(const Digest& digest) {
  const auto place = place_of(digest);
  if (place) {
    auto found = stored_at(*place);
    if (found || found.error().code != Code::not_found || lock_) return found;
  }
  if (!lock_) {
    TRY(refresh());  // collected since, or frozen since
    if (const auto moved = place_of(digest)) return stored_at(*moved);
  }
  return fail(Code::not_found, fmt::format("the vault does not hold {}", digest.hex().substr(0, 16)));
}

void Vault::hold_packs() {
  std::size_t count = 0;
  {
    const std::lock_guard guard(mutex_);
    most_open_ = os::descriptors_to_spare();
    count = packs_.size();
  }
  for (std::uint32_t p = 0; p < count; ++p) (void)file_of(p);  // one that is gone is found anew when it is needed
}

// ---- writing ---------------------------------------------------------------------------------------------------------------

Status Vault::begin_pack() {
  if (!lock_) return fail(Code::invalid, "the vault was opened to be read");
  const std::string token = change::random_token();
  std::uint64_t salt = 0;
  for (const char c : token) salt = salt << 4U | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  auto pack = std::make_unique<Pack>();
  pack->path = path::join(packs_dir(dir_), token + std::string(kPackSuffix) + std::string(kNewSuffix));
  pack->salt = salt;
  pack->file = std::shared_ptr<os::File>(TRY(fs_.create(pack->path, 0600)));
  auto header = encode_pack_header(salt);
  TRY(pack->file->pwrite(0, header));
  pack->size = header.size();
  packs_.push_back(std::move(pack));
  writer_ = std::make_unique<Writer>();
  writer_->pack = static_cast<std::uint32_t>(packs_.size() - 1);
  return {};
}

Result<Put> Vault::append(const Choice& choice) {
  const std::lock_guard guard(mutex_);
  if (const auto known = places_.find(choice.head.digest); known != places_.end()) return Put{known->second.entry.head, true, 0};
  if (writer_ && packs_[writer_->pack]->size >= pack_bytes_) TRY(close_pack());
  if (!writer_) TRY(begin_pack());
  Pack& pack = *packs_[writer_->pack];
  const Entry entry{choice.head, pack.size};
  const auto front = encode_record(choice.head, choice.payload, pack.salt);
  TRY(pack.file->pwrite(pack.size, front));
  TRY(pack.file->pwrite(pack.size + front.size(), choice.payload));
  pack.size += front.size() + choice.payload.size();
  writer_->entries.push_back(entry);
  index({writer_->pack, entry});
  return Put{choice.head, false, front.size() + choice.payload.size()};
}

/// Under the mutex.
Status Vault::close_pack() {
  Pack& pack = *packs_[writer_->pack];
  const auto tail = encode_index(writer_->entries, pack.size, pack.salt);
  TRY(pack.file->pwrite(pack.size, tail));
  TRY(pack.file->sync());
  pack.size += tail.size();
  std::string final_name = pack.path.substr(0, pack.path.size() - kNewSuffix.size());
  TRY(fs_.rename(pack.path, final_name));
  pack.path = std::move(final_name);
  TRY(fs_.sync_dir(packs_dir(dir_)));
  pack.file->advise_done(0, pack.size);  // what is read back comes from the disk
  pack.file.reset();
  writer_.reset();
  return {};
}

Status Vault::publish() {
  const std::lock_guard guard(mutex_);
  if (!writer_) return {};
  return close_pack();
}

Result<Put> Vault::put(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout) {
  if (auto head = find(digest)) return Put{std::move(*head), true, 0};
  return append(TRY(choose(digest, bytes, layout)));
}

Result<Put> Vault::try_put(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout) {
  if (auto head = find(digest)) return Put{std::move(*head), true, 0};
  const Choice choice = TRY(choose(digest, bytes, layout));
  return Put{choice.head, false, encode_record(choice.head, choice.payload, 0).size() + choice.payload.size()};
}

// ---- models ----------------------------------------------------------------------------------------------------------------

Status Vault::each_model(const std::function<Status(ModelFile&)>& see, std::vector<Damaged>& damaged) {
  std::vector<std::string> names;
  for (const os::DirEntry& e : TRY(fs_.list(models_dir(dir_)))) {
    if (e.name.ends_with(kModelSuffix)) names.push_back(e.name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string full = path::join(models_dir(dir_), name);
    auto text = os::read_small_file(fs_, full, kMaxModelFile, os::Follow::no);
    if (!text && text.error().code == Code::not_found) continue;
    if (!text) {
      damaged.push_back({full, text.error().message});
      continue;
    }
    auto parsed = parse_frozen(mlxbase::as_bytes(*text));
    if (!parsed) {
      damaged.push_back({full, parsed.error().message});
      continue;
    }
    if (parsed->damaged) damaged.push_back({full, "one of its two copies is damaged; the other is used"});
    ModelFile file{name.substr(0, name.size() - kModelSuffix.size()), std::move(parsed->model)};
    TRY(see(file));
  }
  return {};
}

Result<std::string> Vault::add_model(const FrozenModel& model) {
  TRY(publish());
  // The time first: so names sort by age.
  const std::string id = fmt::format("{:016x}-{}", static_cast<std::uint64_t>(model.frozen_at_ns), change::random_token().substr(0, 4));
  const auto bytes = encode_frozen(model);
  TRY(os::write_file_atomically(fs_, path::join(models_dir(dir_), id + std::string(kModelSuffix)), mlxbase::as_text(bytes), 0600));
  return id;
}

Status Vault::remove_model(const std::string& id) {
  if (!lock_) return fail(Code::invalid, "the vault was opened to be read");
  TRY(fs_.unlink(path::join(models_dir(dir_), id + std::string(kModelSuffix))));
  return fs_.sync_dir(models_dir(dir_));
}

Result<std::uint64_t> Vault::stored_bytes() {
  std::uint64_t sum = 0;
  for (const std::string& dir : {packs_dir(dir_), models_dir(dir_)}) {
    for (const os::DirEntry& e : TRY(fs_.list(dir))) {
      if (const auto stat = fs_.stat(path::join(dir, e.name)); stat && stat->kind == os::FileKind::regular) sum += stat->size;
    }
  }
  return sum;
}

}  // namespace mlxcache::vault
