#include "mlxcache/fetch/download_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::fetch {

using namespace mlxbase;

namespace {

constexpr std::uint64_t kSaveBytes = std::uint64_t{64} << 20U;
constexpr std::int64_t kSaveSoonest = 1'000'000'000;   // ns: a fast line would sync without end otherwise
constexpr std::int64_t kSaveLatest = 30'000'000'000;   // ns: a slow line would have nothing to go on from
constexpr std::uint32_t kFileMode = 0644;
constexpr std::uint64_t kWindow = std::uint64_t{16} << 20U;  // how far ahead of the hash a block is kept in memory
constexpr std::size_t kReadBytes = std::size_t{1} << 20U;
constexpr unsigned kTrials = 4;  // each reads the whole file

/// A sum by which one sees that a disk does not give back what was written; no more than that, and so at a tenth of a digest's price. Of parts it is the
/// sum of their sums: each aligned word counts with an odd factor of its own, a byte as its part of the word.
std::uint64_t sum_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  static_assert(std::endian::native == std::endian::little, "a byte's place in its word");
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15U;
  constexpr std::uint64_t kWord = sizeof(std::uint64_t);
  const auto factor = [](std::uint64_t word) { return (2 * word + 1) * kFactor; };
  const auto one = [&](std::uint64_t at, std::byte byte) { return (std::to_integer<std::uint64_t>(byte) << (8 * (at % kWord))) * factor(at / kWord); };
  std::uint64_t sum = 0;
  std::size_t i = 0;
  for (; i < bytes.size() && (offset + i) % kWord != 0; ++i) sum += one(offset + i, bytes[i]);
  for (std::uint64_t word = 0; i + kWord <= bytes.size(); i += kWord) {
    std::memcpy(&word, bytes.data() + i, kWord);
    sum += word * factor((offset + i) / kWord);
  }
  for (; i < bytes.size(); ++i) sum += one(offset + i, bytes[i]);
  return sum;
}

/// With its names forced to the device: what is handed on must not be lost with the folder it lies in.
Status make_folder(os::FileSystem& fs, const std::string& folder) {
  std::vector<std::string> parents;
  for (std::string at = folder; at.size() > 1 && !fs.stat(at, os::Follow::yes); at = parents.back()) parents.emplace_back(path::parent(at));
  TRY(os::make_dirs(fs, folder));
  for (const auto& parent : parents) TRY(fs.sync_dir(parent));
  return {};
}

Status remove_if_there(os::FileSystem& fs, const std::string& path) {
  auto removed = fs.unlink(path);
  if (!removed && removed.error().code == Code::not_found) return {};
  return removed;
}

}  // namespace

DownloadFile::DownloadFile(Tools tools, const Wanted& wanted, Listener& listener)
    : tools_(std::move(tools)), wanted_(wanted), listener_(listener), final_(wanted.folder + "/" + wanted.digest.hex()) {
  part_ = final_ + ".part";
  record_ = final_ + ".state";
}

void DownloadFile::tell(std::function<void(Listener&)> what) {
  tools_.post([this, what = std::move(what)] { what(listener_); });
}

/// Runs a step on a strand unless the file has stopped; its error stops it.
void DownloadFile::guarded(Strand& strand, std::function<Status()> task) {
  tools_.pool.post(strand, [this, task = std::move(task)] {
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return;
    }
    auto done = task();
    if (done) return;
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(stopped_, true)) return;
      in_memory_.clear();
    }
    tell([error = std::move(done.error())](Listener& listener) mutable { listener.on_failed(std::move(error)); });
  });
}

void DownloadFile::open() {
  guarded(writing_, [this] { return do_open(); });
}

Status DownloadFile::do_open() {
  auto& fs = tools_.fs;
  TRY(make_folder(fs, wanted_.folder));
  // The lock file stays: to remove it would let two processes hold "the" lock, each on an inode of its own.
  if (!wanted_.locked) {
    auto lock = fs.try_lock(lock_of(wanted_), kFileMode);
    if (!lock && lock.error().code == Code::busy) {
      tell([](Listener& listener) { listener.on_locked_out(); });
      return {};
    }
    if (!lock) return fail(std::move(lock.error()));
    lock_ = std::move(*lock);
  }
  const auto count = piece_count(wanted_.size);
  {
    const std::lock_guard guard(mutex_);
    pieces_.assign(count, {});
    to_check_.assign(count, false);
  }
  sums_.assign(count, {});
  sha256_.emplace();
  if (wanted_.digest.algorithm() == Algorithm::git_sha1) git_sha1_.emplace(Algorithm::git_sha1, wanted_.size);
  last_save_ns_ = tools_.clock.steady_ns();

  auto finished = fs.stat(final_);
  if (finished) {
    TRY(take_finished(*finished));
  } else if (finished.error().code != Code::not_found) {
    return fail(std::move(finished.error()));
  } else {
    TRY(take_part());
  }
  std::uint64_t here = 0;
  std::string validator;
  {
    const std::lock_guard guard(mutex_);
    for (const auto& piece : pieces_) here += piece.have;
    validator = validator_;
  }
  tell([here, validator](Listener& listener) { listener.on_opened(here, validator); });
  schedule_advance();
  return {};
}

/// An earlier run finished it and did not come to hand it on. Its bytes are read all the same.
Status DownloadFile::take_finished(const os::FileStat& stat) {
  if (stat.kind != os::FileKind::regular || stat.size != wanted_.size) {
    TRY(tools_.fs.unlink(final_));
    return take_part();
  }
  file_ = TRY(tools_.fs.open_read(final_));
  const std::lock_guard guard(mutex_);
  finished_before_ = true;
  for (std::uint64_t i = 0; i < pieces_.size(); ++i) pieces_[i].have = piece_size(wanted_.size, i);
  return {};
}

Status DownloadFile::take_part() {
  if (read_record()) {
    auto part = tools_.fs.open_write(part_);
    if (part) {
      file_ = std::move(*part);
      const auto stat = TRY(file_->stat());
      const std::lock_guard guard(mutex_);
      for (std::uint64_t i = 0; i < pieces_.size(); ++i) {
        if (i * kPieceBytes + pieces_[i].have > stat.size) pieces_[i] = {};
        to_check_[i] = pieces_[i].sha256.algorithm() != Algorithm::none;
      }
      record_exists_ = true;
      return {};
    }
  }
  return start_over();
}

bool DownloadFile::read_record() {
  const auto text = os::read_small_file(tools_.fs, record_, max_state_bytes(wanted_.size), os::Follow::no);
  if (!text) return false;
  auto state = parse_state(std::as_bytes(std::span(*text)));
  if (!state || state->size != wanted_.size || state->digest != wanted_.digest) return false;
  const std::lock_guard guard(mutex_);
  pieces_ = std::move(state->pieces);
  validator_ = std::move(state->validator);
  return true;
}

/// The record goes first, and for certain: it must never speak of another part file than its own.
Status DownloadFile::start_over() {
  auto& fs = tools_.fs;
  {
    const std::lock_guard guard(mutex_);
    pieces_.assign(piece_count(wanted_.size), {});
    validator_.clear();
  }
  if (fs.stat(record_)) {
    TRY(fs.unlink(record_));
    TRY(fs.sync_dir(wanted_.folder));
  }
  TRY(remove_if_there(fs, part_));
  file_ = TRY(fs.create(part_, kFileMode));
  if (wanted_.size > kBlockBytes) TRY(file_->allocate(wanted_.size));
  return {};
}

void DownloadFile::write(BlockPtr block) {
  ++writes_;
  guarded(writing_, [this, block = std::move(block)] {
    auto done = do_write(block);
    --writes_;
    return done;
  });
}

Status DownloadFile::do_write(const BlockPtr& block) {
  const std::uint64_t piece = block->offset / kPieceBytes;
  if (settled_) return {};
  {
    const std::lock_guard lock(mutex_);
    if (block->offset != piece * kPieceBytes + pieces_[piece].have) return {};  // from before a restart
  }
  TRY(file_->pwrite(block->offset, block->bytes()));
  sums_[piece].sum += sum_at(block->offset, block->bytes());
  sums_[piece].bytes += block->size;
  if (second_look_) TRY(hash_piece(block, piece));
  bool idle = false;
  {
    const std::lock_guard lock(mutex_);
    pieces_[piece].have += static_cast<std::uint32_t>(block->size);
    // Kept if its turn comes soon; what is far ahead is read back from the page cache.
    if (block->offset >= frontier_ && block->offset - frontier_ < kWindow && !second_look_ && tools_.blocks.plentiful()) {
      in_memory_.emplace(block->offset, block);
    }
    idle = !advancing_;
  }
  if (second_look_) return weigh(piece);
  if (idle) schedule_advance();
  unsaved_ += block->size;
  maybe_save();
  return {};
}

Status DownloadFile::hash_piece(const BlockPtr& block, std::uint64_t piece) {
  auto found = piece_hashes_.find(piece);
  if (found == piece_hashes_.end()) found = piece_hashes_.emplace(piece, PieceHash{Hasher(Algorithm::sha256), 0}).first;
  auto& hash = found->second;
  // What an earlier run left of this piece.
  for (const auto begin = piece * kPieceBytes; begin + hash.have < block->offset;) {
    std::vector<std::byte> bytes(std::min<std::uint64_t>(kReadBytes, block->offset - begin - hash.have));
    const auto n = TRY(file_->pread(begin + hash.have, bytes));
    if (n == 0) return fail(Code::io, fmt::format("{}: shorter than it was", printable(part_)));
    hash.hasher.update(std::span(bytes).first(n));
    hash.have += static_cast<std::uint32_t>(n);
  }
  hash.hasher.update(block->bytes());
  hash.have += static_cast<std::uint32_t>(block->size);
  if (hash.have < piece_size(wanted_.size, piece)) return {};
  const Digest digest = hash.hasher.finish();
  piece_hashes_.erase(found);
  const std::lock_guard lock(mutex_);
  pieces_[piece].sha256 = digest;
  return {};
}

void DownloadFile::schedule_advance() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(advancing_, true)) return;
  }
  guarded(chaining_, [this] { return advance(); });
}

/// Hashes as far as bytes are here without a gap.
Status DownloadFile::advance() {
  for (;;) {
    BlockPtr block;
    std::uint64_t check = UINT64_MAX, upto = 0;
    {
      const std::lock_guard lock(mutex_);
      if (stopped_) return {};
      while (!in_memory_.empty() && in_memory_.begin()->first < frontier_) in_memory_.erase(in_memory_.begin());
      if (frontier_ == wanted_.size) break;
      const std::uint64_t piece = frontier_ / kPieceBytes;
      const auto next = in_memory_.begin();
      upto = piece * kPieceBytes + pieces_[piece].have;
      if (to_check_[piece] && frontier_ % kPieceBytes == 0) {
        check = piece;
      } else if (next != in_memory_.end() && next->first == frontier_) {
        block = next->second;
        in_memory_.erase(next);
      } else if (upto > frontier_) {
        if (next != in_memory_.end()) upto = std::min(upto, next->first);
      } else {
        advancing_ = false;
        return {};
      }
    }
    if (check != UINT64_MAX) {
      TRY(check_resumed(check));
    } else if (block != nullptr) {
      sha256_->update(block->bytes());
      if (git_sha1_) git_sha1_->update(block->bytes());
      const std::lock_guard lock(mutex_);
      frontier_ += block->size;
    } else {
      TRY(hash_from_disk(upto));
    }
  }
  complete();
  return {};
}

Status DownloadFile::hash_from_disk(std::uint64_t upto) {
  if (buffer_ == nullptr) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kReadBytes);
  const std::span<std::byte> all(buffer_.get(), std::min<std::uint64_t>(kReadBytes, upto - frontier_));
  const auto n = TRY(file_->pread(frontier_, all));
  if (n == 0) return fail(Code::io, fmt::format("{}: shorter than it was", printable(part_)));
  sha256_->update(all.first(n));
  if (git_sha1_) git_sha1_->update(all.first(n));
  const std::lock_guard lock(mutex_);
  frontier_ += n;
  return {};
}

/// A piece of an earlier run: its bytes must be those that were recorded, or it is fetched again.
Status DownloadFile::check_resumed(std::uint64_t piece) {
  const std::uint64_t begin = piece * kPieceBytes, end = begin + piece_size(wanted_.size, piece);
  auto sha256 = sha256_->clone();
  std::optional<Hasher> git_sha1;
  if (git_sha1_) git_sha1 = git_sha1_->clone();
  Hasher own(Algorithm::sha256);
  if (buffer_ == nullptr) buffer_ = std::make_unique_for_overwrite<std::byte[]>(kReadBytes);
  std::uint64_t at = begin;
  while (at < end) {
    const std::span<std::byte> all(buffer_.get(), std::min<std::uint64_t>(kReadBytes, end - at));
    const auto n = TRY(file_->pread(at, all));
    if (n == 0) break;
    own.update(all.first(n));
    sha256_->update(all.first(n));
    if (git_sha1_) git_sha1_->update(all.first(n));
    at += n;
  }
  const bool whole = at == end;
  const Digest found = own.finish();
  bool good = false;
  {
    const std::lock_guard lock(mutex_);
    to_check_[piece] = false;
    good = whole && found == pieces_[piece].sha256;
    if (good) {
      frontier_ = end;
      return {};
    }
    pieces_[piece] = {};
  }
  sha256_ = std::move(sha256);
  git_sha1_ = std::move(git_sha1);
  tell([piece](Listener& listener) { listener.on_damaged(piece); });
  return {};
}

void DownloadFile::complete() {
  measured_ = sha256_->finish();
  links_ = sha256_->links();
  const Digest wanted = git_sha1_ ? git_sha1_->finish() : measured_;
  if (wanted != wanted_.digest) {
    tell([](Listener& listener) { listener.on_mismatch(); });  // advancing_ stays: nothing goes on before a restart
    return;
  }
  guarded(saving_, [this] { return do_finish(); });
}

Status DownloadFile::do_finish() {
  auto& fs = tools_.fs;
  if (!finished_before_) {
    TRY(file_->sync());
    TRY(fs.rename(part_, final_));
    TRY(fs.sync_dir(wanted_.folder));
  }
  if (record_exists_) TRY(remove_if_there(fs, record_));
  Downloaded out;
  out.path = final_;
  out.sha256 = measured_;
  out.links = links_;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  tell([out = std::move(out)](Listener& listener) mutable { listener.on_whole(std::move(out)); });
  return {};
}

DownloadState DownloadFile::snapshot() {
  const std::lock_guard lock(mutex_);
  return {.size = wanted_.size, .digest = wanted_.digest, .validator = validator_, .pieces = pieces_};
}

void DownloadFile::maybe_save() {
  if (unsaved_ == 0 || pieces_.size() < 2) return;  // a small file is fetched again
  const auto since = tools_.clock.steady_ns() - last_save_ns_;
  if (since < kSaveSoonest || (unsaved_ < kSaveBytes && since < kSaveLatest)) return;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(save_scheduled_, true)) return;
  }
  unsaved_ = 0;
  last_save_ns_ = tools_.clock.steady_ns();
  guarded(saving_, [this] { return save(false); });
}

/// Digests of the pieces that have come whole and have none yet, for the record. Not as they come: a file that is whole before the first record is due needs none.
/// False: it is not worth a record any more, unless it is the `last` one.
Result<bool> DownloadFile::measure_pieces(bool last) {
  if (!tools_.pieces || wanted_.size <= kPieceBytes) return true;
  for (std::uint64_t piece = 0; piece < piece_count(wanted_.size); ++piece) {
    std::uint64_t of = 0;
    {
      const std::lock_guard lock(mutex_);
      if (frontier_ == wanted_.size && !last) return false;
      if (pieces_[piece].have < piece_size(wanted_.size, piece) || pieces_[piece].sha256.algorithm() != Algorithm::none) continue;
      of = round_;
    }
    Hasher hasher(Algorithm::sha256);
    TRY(hash_range(piece * kPieceBytes, piece_size(wanted_.size, piece), [&](std::span<const std::byte> bytes) { hasher.update(bytes); }));
    const Digest digest = hasher.finish();
    const std::lock_guard lock(mutex_);
    if (of != round_) return false;  // all of it comes again
    pieces_[piece].sha256 = digest;
  }
  return true;
}

/// First the bytes, then the record that speaks of them.
Status DownloadFile::save(bool last) {
  constexpr int kRounds = 3;  // pieces come meanwhile, each time fewer
  for (int i = 0; i < kRounds; ++i) {
    if (TRY(measure_pieces(last))) continue;
    const std::lock_guard lock(mutex_);
    save_scheduled_ = false;
    return {};
  }
  const auto state = snapshot();
  if (sync_file_ == nullptr) sync_file_ = TRY(tools_.fs.open_write(part_));
  TRY(sync_file_->sync());
  record_exists_ = true;
  const auto written = os::write_file_atomically(tools_.fs, record_, encode_state(state), kFileMode);
  const std::lock_guard lock(mutex_);
  save_scheduled_ = false;
  if (!written && written.error().code != Code::out_of_space) return written;  // the bytes' own space is reserved: they may still fit
  return {};
}

void DownloadFile::remember_validator(std::string validator) {
  const std::lock_guard lock(mutex_);
  validator_ = validator.size() <= kMaxValidator ? std::move(validator) : std::string{};
}

void DownloadFile::restart() {
  guarded(writing_, [this] { return do_restart(); });
}

Status DownloadFile::do_restart() {
  piece_hashes_.clear();
  sums_.assign(sums_.size(), {});
  unsaved_ = 0;
  second_look_ = false;
  if (finished_before_) {  // all was here, so nobody else is at work on it
    file_.reset();
    TRY(remove_if_there(tools_.fs, final_));
    TRY(start_over());
  }
  {
    const std::lock_guard lock(mutex_);
    ++round_;
    finished_before_ = false;
    earlier_.clear();
    for (auto& piece : pieces_) earlier_.push_back(std::exchange(piece, {}).sha256);
    validator_.clear();
  }
  rest_chain(true);
  return {};
}

/// The hash of the whole begins anew (or does not run), and no record speaks of what was. One strand after the other, so that none is in the middle of something.
void DownloadFile::rest_chain(bool follow) {
  guarded(chaining_, [this, follow]() -> Status {
    sha256_.emplace();
    if (git_sha1_) git_sha1_.emplace(Algorithm::git_sha1, wanted_.size);
    {
      const std::lock_guard lock(mutex_);
      frontier_ = 0;
      advancing_ = !follow;
      to_check_.assign(pieces_.size(), false);
      in_memory_.clear();
    }
    guarded(saving_, [this, follow]() -> Status {
      if (record_exists_) {
        TRY(remove_if_there(tools_.fs, record_));
        record_exists_ = false;
      }
      tell([](Listener& listener) { listener.on_restarted(); });
      if (follow) schedule_advance();  // an empty file is whole already
      return Status{};
    });
    return Status{};
  });
}

void DownloadFile::look_again() {
  guarded(writing_, [this] { return do_look_again(); });
}

Status DownloadFile::do_look_again() {
  std::vector<DownloadState::Piece> came;
  {
    const std::lock_guard lock(mutex_);
    came = pieces_;
  }
  if (came.size() < 2 || finished_before_ || !tools_.pieces) return do_restart();
  std::vector<DownloadState::Piece> still = came;
  // The disk is held against what came, and, by the states of the hash between pieces, against what was hashed.
  const Chain chain{.sha256 = measured_, .size = wanted_.size, .links = links_};
  const bool chained = can_chain() && links_.size() == chain_length(wanted_.size);
  for (std::uint64_t i = 0; i < came.size() && !closing_; ++i) {
    Hasher hasher(Algorithm::sha256);
    std::optional<PieceCheck> check;
    if (chained) check.emplace(chain, i);
    std::uint64_t sum = 0;
    std::uint64_t at = i * kPieceBytes;
    TRY(hash_range(at, came[i].have, [&](std::span<const std::byte> bytes) {
      hasher.update(bytes);
      sum += sum_at(at, bytes);
      at += bytes.size();
      if (check) check->update(bytes);
    }));
    const Digest now = hasher.finish();
    const bool known = came[i].sha256.algorithm() == Algorithm::sha256;
    const bool sums_agree = sums_[i].bytes != came[i].have || sums_[i].sum == sum;
    const bool as_it_came = (!check || check->finish()) && sums_agree && (!known || came[i].sha256 == now);
    if (!known) came[i].sha256 = now;
    still[i] = as_it_came ? came[i] : DownloadState::Piece{};
  }
  const bool damaged_here = still != came;
  piece_hashes_.clear();
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (!damaged_here || still[i].have == 0) sums_[i] = {};
  }
  unsaved_ = 0;
  second_look_ = !damaged_here;
  untried_ = false;
  trials_left_ = kTrials;
  {
    const std::lock_guard lock(mutex_);
    ++round_;
    earlier_.clear();
    if (damaged_here) {
      pieces_ = std::move(still);
    } else {
      for (const auto& piece : came) earlier_.push_back(piece.sha256);
      pieces_.assign(came.size(), {});
    }
    validator_.clear();
  }
  rest_chain(damaged_here);
  return {};
}

/// A block of the second look is written.
Status DownloadFile::weigh(std::uint64_t piece) {
  bool all = false;
  {
    const std::lock_guard lock(mutex_);
    if (pieces_[piece].have < piece_size(wanted_.size, piece)) return {};
    untried_ = untried_ || pieces_[piece].sha256 != earlier_[piece];
    all = std::ranges::all_of(pieces_, [](const auto& one) { return one.sha256.algorithm() == Algorithm::sha256; });
  }
  if (untried_ && (all || trials_left_ > 0)) {
    untried_ = false;
    trials_left_ -= trials_left_ > 0 ? 1 : 0;
    settled_ = TRY(measure_whole());
    if (settled_) guarded(saving_, [this] { return do_finish(); });
  }
  if (all && !settled_) tell([](Listener& listener) { listener.on_mismatch(); });
  return {};
}

Status DownloadFile::hash_range(std::uint64_t at, std::uint64_t length, const std::function<void(std::span<const std::byte>)>& each) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kReadBytes);
  while (length > 0) {
    const auto n = TRY(file_->pread(at, {buffer.get(), static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, length))}));
    if (n == 0) return fail(Code::io, fmt::format("{}: shorter than it was", printable(part_)));
    each({buffer.get(), n});
    at += n;
    length -= n;
  }
  return {};
}

/// Reads all of the file as it is now. True: those are the wanted bytes, and their pieces are noted.
Result<bool> DownloadFile::measure_whole() {
  mlxbase::Sha256Chain sha256;
  std::optional<Hasher> git_sha1;
  if (git_sha1_) git_sha1.emplace(Algorithm::git_sha1, wanted_.size);
  std::vector<DownloadState::Piece> found(piece_count(wanted_.size));
  for (std::uint64_t i = 0; i < found.size(); ++i) {
    if (closing_) return false;
    Hasher own(Algorithm::sha256);
    found[i].have = piece_size(wanted_.size, i);
    TRY(hash_range(i * kPieceBytes, found[i].have, [&](std::span<const std::byte> bytes) {
      own.update(bytes);
      sha256.update(bytes);
      if (git_sha1) git_sha1->update(bytes);
    }));
    found[i].sha256 = own.finish();
  }
  const Digest measured = sha256.finish();
  if ((git_sha1 ? git_sha1->finish() : measured) != wanted_.digest) return false;
  const std::lock_guard lock(mutex_);
  measured_ = measured;
  links_ = sha256.links();
  pieces_ = std::move(found);
  return true;
}

void DownloadFile::close(bool keep_record) {
  closing_ = true;
  auto& pool = tools_.pool;
  pool.post(writing_, [this, &pool, keep_record] {
    bool save_it = false;
    {
      const std::lock_guard lock(mutex_);
      save_it = keep_record && !stopped_ && file_ != nullptr && !finished_before_;
      stopped_ = true;
      in_memory_.clear();
    }
    pool.post(chaining_, [this, &pool, save_it] {
      pool.post(saving_, [this, save_it] {
        if (save_it) (void)save(true);  // what could not be recorded is fetched again
        sync_file_.reset();
        file_.reset();
        lock_.reset();
        tell([](Listener& listener) { listener.on_closed(); });
      });
    });
  });
}

std::vector<std::uint32_t> DownloadFile::have() {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> out;
  for (const auto& piece : pieces_) out.push_back(piece.have);
  return out;
}

bool DownloadFile::came_twice() {
  const std::lock_guard lock(mutex_);
  const auto known = [](const Digest& digest) { return digest.algorithm() == Algorithm::sha256; };
  return !earlier_.empty() && std::ranges::all_of(earlier_, known) && std::ranges::all_of(pieces_, [&](const auto& piece) { return known(piece.sha256); });
}

std::string DownloadFile::ranges_that_differed() {
  const std::lock_guard lock(mutex_);
  std::string out;
  for (std::size_t i = 0; i < earlier_.size() && i < pieces_.size() && out.size() < 200; ++i) {
    if (earlier_[i].algorithm() == Algorithm::none || pieces_[i].sha256.algorithm() == Algorithm::none || earlier_[i] == pieces_[i].sha256) continue;
    if (!out.empty()) out += ", ";
    out += fmt::format("bytes {}-{}", i * kPieceBytes, i * kPieceBytes + piece_size(wanted_.size, i) - 1);
  }
  return out;
}

}  // namespace mlxcache::fetch
