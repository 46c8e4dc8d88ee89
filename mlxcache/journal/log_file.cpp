#include "mlxcache/journal/log_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/journal/crc32c.h"

namespace mlxcache::journal {
namespace {

using mlxbase::ByteReader;
using mlxbase::ByteWriter;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;

constexpr std::string_view kMagic = "MLXCJRNL";
constexpr std::uint64_t kMaxFile = std::uint64_t{2} << 30U;  // some three million intents
constexpr std::size_t kFlushAt = std::size_t{1} << 20U;

std::uint32_t frame_checksum(std::uint64_t salt, std::span<const std::byte> payload) {
  ByteWriter head;
  head.put(salt);
  head.put(static_cast<std::uint32_t>(payload.size()));
  return crc32c(payload, crc32c(head.bytes()));
}

std::vector<std::byte> make_header(std::uint64_t salt) {
  ByteWriter w;
  w.put_bytes(mlxbase::as_bytes(kMagic));
  w.put(kVersion);
  w.put(std::uint32_t{0});
  w.put(salt);
  w.put(std::uint32_t{0});
  w.put(crc32c(w.bytes()));
  return w.take();
}

/// The salt of a sound header.
Result<std::uint64_t> parse_header(std::span<const std::byte> file) {
  if (file.size() < kHeaderBytes) return fail(Code::corrupt, "it ends within its header");
  ByteReader r(file.first(kHeaderBytes));
  if (mlxbase::as_text(r.get_bytes(kMagicBytes)) != kMagic) return fail(Code::corrupt, "it is not a journal (its first bytes are others)");
  const auto version = r.get<std::uint32_t>();
  r.get<std::uint32_t>();
  const auto salt = r.get<std::uint64_t>();
  r.get<std::uint32_t>();
  if (r.get<std::uint32_t>() != crc32c(file.first(kHeaderBytes - 4))) return fail(Code::corrupt, "its header is damaged");
  if (version != kVersion) return fail(Code::unsupported, fmt::format("it was written by a later version (format {})", version));
  return salt;
}

/// The record that begins at `at`, and where it ends; nothing if there is none.
struct Framed {
  Record record;
  std::size_t end = 0;
};
std::optional<Framed> record_at(std::span<const std::byte> file, std::uint64_t salt, std::size_t at, std::size_t* checked = nullptr) {
  if (file.size() - at < kFrameBytes) return std::nullopt;
  ByteReader r(file.subspan(at, kFrameBytes));
  const std::size_t length = r.get<std::uint32_t>();
  const auto checksum = r.get<std::uint32_t>();
  if (length == 0 || length > kMaxRecord || length > file.size() - at - kFrameBytes) return std::nullopt;
  const auto payload = file.subspan(at + kFrameBytes, length);
  if (checked != nullptr) *checked += length;
  if (frame_checksum(salt, payload) != checksum) return std::nullopt;
  auto record = decode(payload);
  if (!record) return std::nullopt;
  return Framed{std::move(*record), at + kFrameBytes + length};
}

/// Not for two threads at once: whoever makes a journal holds the lock of MLXCACHE_HOME.
std::uint64_t fresh_salt() {
  static std::random_device random;  // opened once
  return static_cast<std::uint64_t>(random()) << 32U | random();
}

}  // namespace

Result<Contents> parse(std::span<const std::byte> file) {
  Contents out;
  out.salt = TRY(parse_header(file));
  out.good_bytes = kHeaderBytes;
  std::size_t at = kHeaderBytes;
  // Looking for the next whole record behind a damaged one tries every offset. The salt keeps bytes that lie in a name
  // or an attribute from passing as a record; the budget keeps a hostile file from costing more than a few passes.
  std::size_t checked = 0;
  const std::size_t budget = 8 * file.size() + (std::size_t{1} << 20U);
  while (at < file.size()) {
    if (auto found = record_at(file, out.salt, at)) {
      out.records.push_back(std::move(found->record));
      at = found->end;
      out.good_bytes = at;
      continue;
    }
    std::size_t next = at + 1;
    std::optional<Framed> later;
    for (; next < file.size() && checked < budget; ++next) {
      if (file.size() - next < kFrameBytes) break;
      later = record_at(file, out.salt, next, &checked);
      if (later) break;
    }
    if (!later) {
      out.damage.push_back(fmt::format("its last {} bytes are torn", file.size() - at));
      break;
    }
    out.damage.push_back(fmt::format("bytes {} to {} are damaged", at, next));
    at = next;
  }
  return out;
}

Result<Contents> read(os::FileSystem& fs, const std::string& file) {
  auto bytes = TRY(os::read_small_file(fs, file, kMaxFile, os::Follow::no));
  auto contents = parse(mlxbase::as_bytes(bytes));
  if (!contents) {
    auto error = contents.error();
    error.message = fmt::format("read journal {}: {}", mlxbase::printable(file), error.message);
    return fail(std::move(error));
  }
  return contents;
}

Result<Ends> read_ends(os::FileSystem& fs, const std::string& path) {
  auto file = TRY(fs.open_read(path));
  const auto stat = TRY(file->stat());
  constexpr std::size_t kHead = 64 * 1024;  // a command line of this length is not expected; a longer one is read whole elsewhere
  std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(stat.size, kHead)));
  head.resize(TRY(file->pread(0, head)));
  auto salt = parse_header(head);
  if (!salt) {
    auto error = salt.error();
    error.message = fmt::format("read journal {}: {}", mlxbase::printable(path), error.message);
    return fail(std::move(error));
  }
  Ends ends;
  if (auto first = record_at(head, *salt, kHeaderBytes)) {
    if (auto* begin = std::get_if<Begin>(&first->record)) ends.begin = std::move(*begin);
  }
  constexpr std::size_t kTail = kFrameBytes + kClosedBytes;
  if (stat.size >= kHeaderBytes + kTail) {
    std::vector<std::byte> tail(kTail);
    tail.resize(TRY(file->pread(stat.size - kTail, tail)));
    if (tail.size() == kTail) {
      if (auto last = record_at(tail, *salt, 0); last && last->end == kTail) {
        if (auto* closed = std::get_if<Closed>(&last->record)) ends.closed = *closed;
      }
    }
  }
  return ends;
}

Result<Writer> Writer::create(os::FileSystem& fs, const std::string& home, const Begin& begin) {
  const std::string dir = folder(home);
  TRY(os::make_dirs(fs, dir, 0700));
  const std::string path = file_of(home, begin.id);
  if (fs.stat(path)) return fail(Code::invalid, fmt::format("make journal {}: the name is taken", mlxbase::printable(path)), EEXIST);
  // Under its own name a journal has always been whole once: one cut short while it was made is a *.new, and means nothing.
  const std::string beginning = path + ".new";
  if (auto removed = fs.unlink(beginning); !removed && removed.error().code != Code::not_found) return fail(removed.error());
  const std::uint64_t salt = fresh_salt();
  auto file = TRY(fs.create(beginning, 0600));
  Writer writer(std::move(file), salt, 0);
  writer.waiting_ = make_header(salt);
  const auto finish = [&]() -> Status {
    TRY(writer.append(begin));
    TRY(writer.sync());
    TRY(fs.rename(beginning, path));
    TRY(fs.sync_dir(dir));
    // The folders may be new themselves.
    TRY(fs.sync_dir(home));
    return fs.sync_dir(std::string(mlxbase::path::parent(home)));
  };
  if (auto done = finish(); !done) {
    if (!fs.unlink(beginning)) (void)fs.unlink(path);  // nothing was done under it
    return fail(done.error());
  }
  return writer;
}

Result<Writer> Writer::reopen(os::FileSystem& fs, const std::string& path, const Contents& contents) {
  auto file = TRY(fs.open_write(path));
  const auto stat = TRY(file->stat());
  if (stat.size > contents.good_bytes) {
    TRY(file->truncate(contents.good_bytes));
    TRY(file->sync());
  }
  return Writer(std::move(file), contents.salt, contents.good_bytes);
}

Status Writer::append(const Record& record) {
  if (broken_) return fail(*broken_);
  const auto payload = encode(record);
  if (payload.size() > kMaxRecord) return fail(Code::invalid, fmt::format("journal: a record of {} bytes is too long", payload.size()));
  ByteWriter frame;
  frame.put(static_cast<std::uint32_t>(payload.size()));
  frame.put(frame_checksum(salt_, payload));
  waiting_.insert(waiting_.end(), frame.bytes().begin(), frame.bytes().end());
  waiting_.insert(waiting_.end(), payload.begin(), payload.end());
  return waiting_.size() >= kFlushAt ? flush() : Status{};
}

Status Writer::flush() {
  if (broken_) return fail(*broken_);
  if (waiting_.empty()) return {};
  if (auto written = file_->pwrite(end_, waiting_); !written) {
    broken_ = written.error();
    return written;
  }
  end_ += waiting_.size();
  waiting_.clear();
  unsynced_ = true;
  return {};
}

Status Writer::sync() {
  TRY(flush());
  if (!unsynced_) return {};
  if (auto synced = file_->sync(); !synced) {
    broken_ = synced.error();
    return synced;
  }
  unsynced_ = false;
  return {};
}

}  // namespace mlxcache::journal
