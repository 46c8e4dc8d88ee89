#include <fmt/format.h>

#include <cerrno>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/change/work.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr std::string_view kTrash = ".mlxcache-trash";

/// The device that a name in `dir` would lie on, also if `dir` is still to be made.
Result<std::uint64_t> device_of(os::FileSystem& fs, const std::string& dir) {
  const std::string there = TRY(nearest_folder(fs, dir));
  return TRY(fs.stat(there, os::Follow::yes)).id.device;
}

bool on_device(os::FileSystem& fs, const std::string& dir, std::uint64_t device) {
  const auto there = device_of(fs, dir);
  return there && *there == device;
}

}  // namespace

Result<std::string> Places::staging(const catalog::Root& root, const std::string& target, bool inside) {
  const auto device = TRY(device_of(fs_, folder_of(target)));
  if (!inside) {
    std::string wished = stores::adapter_of(root.kind).staging(root, target, random_token());
    if (on_device(fs_, folder_of(wished), device)) return wished;
  }
  if (path::is_within(root.path, folder_of(target)) && on_device(fs_, root.path, device)) return path::join(root.path, ".mlxcache-staging", random_token());
  // A volume mounted below the root: beside the file is the one place left.
  return path::join(folder_of(target), fmt::format(".mlxcache-{}.tmp", random_token()));
}

Result<std::string> Places::trash(const catalog::Root& root, const std::string& target, std::uint32_t index, bool inside) {
  const auto device = TRY(device_of(fs_, folder_of(target)));
  const std::string beside = path::join(folder_of(root.path), fmt::format("{}-{}", kTrash, path::file_name(root.path)));
  const std::string within = path::join(root.path, kTrash);
  const std::string& first = inside ? within : beside;
  const bool fits = on_device(fs_, folder_of(first), device);
  const std::string folder = fits ? first : on_device(fs_, root.path, device) ? within : path::join(folder_of(target), kTrash);
  return path::join(folder, transaction_, std::to_string(index));
}

Status Places::make_trash_folders(const std::string& trash_name, Folders& to_sync) {
  const std::string own = folder_of(trash_name);
  const std::string all = folder_of(own);
  for (const auto& dir : {all, own}) {
    if (auto made = fs_.make_dir(dir, 0700); !made && made.error().os_errno != EEXIST) return made;
    to_sync.add_parent_of(dir);  // also where it is there: whoever made it may have been killed
    // A symlink here would carry everything that is removed elsewhere.
    if (TRY(fs_.stat(dir)).kind != os::FileKind::directory) return fail(Code::changed, fmt::format("{} is no folder", mlxbase::printable(dir)));
  }
  return {};
}

void remove_own_folders(os::FileSystem& fs, const journal::Intent& intent, const std::string& staging, Folders& to_sync) {
  // Each fails while something is in it, as it should.
  const auto remove = [&](const std::string& dir) {
    const auto removed = fs.remove_dir(dir);
    if (removed || removed.error().code == Code::not_found) to_sync.add_parent_of(dir);  // by whomever: it is to stay gone
  };
  const std::string temporary = folder_of(staging);
  if (!staging.empty() && path::file_name(temporary).starts_with(".mlxcache-") && !path::is_within(temporary, intent.target)) remove(temporary);
  const bool has_trash = kind_of(intent) == Kind::remove || kind_of(intent) == Kind::replace;
  const std::string own = folder_of(intent.source);
  if (!has_trash || !path::file_name(folder_of(own)).starts_with(kTrash)) return;
  remove(own);
  remove(folder_of(own));
}

}  // namespace mlxcache::change
