#include "mlxcache/change/session.h"

#include <fmt/format.h>

#include <cctype>
#include <cerrno>
#include <ctime>
#include <random>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::printable;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr std::string_view kStagingFolder = ".mlxcache-staging";

/// Not for two threads at once: whoever asks holds the lock of MLXCACHE_HOME.
std::uint32_t chance() {
  static std::random_device random;
  return random();
}

}  // namespace

Result<std::unique_ptr<os::Lock>> lock_home(os::FileSystem& fs, const std::string& home) {
  TRY(os::make_dirs(fs, home, 0700));
  const std::string file = path::join(home, "lock");
  auto lock = fs.try_lock(file, 0600);
  if (!lock && lock.error().code == Code::busy) {
    return fail(Code::busy, fmt::format("another mlxcache is changing files of this machine (it holds {}); try again when it is done", printable(file)));
  }
  return lock;
}

std::string random_token() {
  return fmt::format("{:08x}{:08x}", chance(), chance());
}

std::string new_transaction_id(std::int64_t wall_ns) {
  const auto seconds = static_cast<std::time_t>(wall_ns / 1'000'000'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}-{:04x}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     chance() & 0xFFFFU);
}

bool is_transaction_id(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (const char c : id) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-') return false;
  }
  return true;
}

std::string folder_of(const std::string& p) { return std::string(path::parent(p)); }

Status check_within(os::FileSystem& fs, const std::string& root, const std::string& p) {
  const std::string real_root = TRY(fs.real_path(root));
  const std::string real = TRY(fs.real_path(folder_of(p)));
  if (!path::is_within(real_root, real)) {
    return fail(Code::changed, fmt::format("its folder leads out of {} by a symlink", printable(root)));
  }
  return {};
}

Result<TemporaryNames> temporary_names(os::FileSystem& fs, const catalog::Root& root, const std::string& target, std::uint64_t device, bool inside) {
  // The folder's device, not the file's: on overlayfs they differ.
  if (const auto folder = fs.stat(folder_of(target), os::Follow::yes)) device = folder->id.device;
  const auto& adapter = stores::adapter_of(root.kind);
  TemporaryNames names{adapter.staging(root, target, random_token()), adapter.staging(root, target, random_token())};
  bool fits = !inside;
  if (fits) {
    // The folder may not be there yet; the one above it decides the volume.
    auto there = fs.stat(folder_of(names.staging), os::Follow::no);
    if (!there) there = fs.stat(folder_of(folder_of(names.staging)), os::Follow::yes);
    fits = there && there->id.device == device;
  }
  if (!fits) {
    names.staging = path::join(root.path, kStagingFolder, random_token());
    names.keep = path::join(root.path, kStagingFolder, random_token());
    auto there = fs.stat(root.path, os::Follow::yes);
    if (!there || there->id.device != device) {
      // A volume mounted below the root: beside the file is the one place left.
      names.staging = path::join(path::parent(target), fmt::format(".mlxcache-{}.tmp", random_token()));
      names.keep = path::join(path::parent(target), fmt::format(".mlxcache-{}.tmp", random_token()));
    }
  }
  return names;
}

Status make_staging_folder(os::FileSystem& fs, const catalog::Root& root, const std::string& staging) {
  const std::string dir = folder_of(staging);
  if (auto made = fs.make_dir(dir, 0700); !made && made.error().os_errno != EEXIST) return made;
  // In the root, or beside it (where a tool would take any file below its root for a model).
  const std::string real = TRY(fs.real_path(dir));
  const std::string real_root = TRY(fs.real_path(root.path));
  if (path::is_within(real_root, real)) return {};
  const std::string beside = path::join(TRY(fs.real_path(folder_of(root.path))), path::file_name(dir));
  const bool lexically_outside = !path::is_within(root.path, dir);
  if (lexically_outside && real == beside) return {};
  return fail(Code::changed, fmt::format("{} leads elsewhere by a symlink", printable(dir)));
}

void remove_staging_folder(os::FileSystem& fs, const std::string& target, const std::string& staging) {
  const std::string dir = folder_of(staging);
  if (path::is_within(dir, target)) return;  // the store's own folder
  if (path::file_name(dir).starts_with(".mlxcache")) (void)fs.remove_dir(dir);  // fails while somebody's file is in it, as it should
}

Status LockSet::take(const catalog::Root& root, const std::string& p, const os::FileStat& stat) {
  catalog::Entry entry;
  entry.path = p;
  entry.stat = stat;
  for (const auto& file : stores::adapter_of(root.kind).locks(root, entry)) {
    if (held_.contains(file.path)) continue;
    auto lock = fs_.try_lock(file.path, file.mode);
    if (!lock && lock.error().code == Code::not_found) {
      // Nobody has needed the lock yet; a tool that comes now has to find ours. No symlink may lead its folders out of the store.
      std::string there = file.path;
      while (there != folder_of(there) && !fs_.stat(folder_of(there), os::Follow::no)) there = folder_of(there);
      TRY(check_within(fs_, root.path, there));
      TRY(os::make_dirs(fs_, folder_of(file.path), 0755));
      lock = fs_.try_lock(file.path, file.mode);
    }
    if (!lock) {
      if (lock.error().code == Code::busy) return fail(Code::busy, fmt::format("its tool is working on it (it holds {})", printable(file.path)));
      return fail(lock.error());
    }
    held_.emplace(file.path, std::move(*lock));
  }
  return {};
}

Result<Held> hold(os::FileSystem& fs, const std::string& p) {
  Held held;
  held.file = TRY(fs.open_read(p, os::Follow::no));
  held.guard = TRY(fs.guard_against_writers(*held.file, p));
  return held;
}

Status remove_if_there(os::FileSystem& fs, const std::string& p) {
  auto removed = fs.unlink(p);
  if (!removed && removed.error().code == Code::not_found) return {};
  return removed;
}

}  // namespace mlxcache::change
