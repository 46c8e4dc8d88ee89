#include "mlxcache/pull/downloads_folder.h"

#include "mlxbase/core/path.h"

namespace mlxcache::pull {
namespace {

namespace path = mlxbase::path;
using mlxbase::os::FileStat;
using mlxbase::os::FileSystem;
using mlxbase::os::Follow;

constexpr std::string_view kHidden = ".mlxcache-downloads";

std::uint64_t device_of(FileSystem& fs, const std::string& folder) {
  const auto stat = fs.stat(folder, Follow::yes);
  return stat ? stat->id.device : 0;
}

/// Guessed from owner and mode: trying would change something, and a plan must not. Who guessed wrong is told when the folder is made.
bool may_write(const stores::Context& context, const std::string& folder) {
  const auto stat = context.fs.stat(folder, Follow::yes);
  if (!stat) return false;
  if (context.environment.uid == 0) return true;
  return stat->uid == context.environment.uid ? (stat->mode & 0300U) == 0300U : (stat->mode & 0022U) != 0;
}

}  // namespace

std::string existing_folder(FileSystem& fs, const std::string& folder) {
  std::string at = folder;
  while (at.size() > 1 && !fs.stat(at, Follow::yes)) at = std::string(path::parent(at));
  return at;
}

// The same answer before and after the root is made: a run that was cut short must be found again.
std::string downloads_folder(const stores::Context& context, const std::string& home, const catalog::Root& root) {
  const auto real = context.fs.real_path(root.path);
  const std::string base = real ? *real : root.path;
  const std::uint64_t device = device_of(context.fs, existing_folder(context.fs, base));
  const std::string own = path::join(home, "downloads");
  if (device_of(context.fs, existing_folder(context.fs, own)) == device) return own;
  const std::string above(path::parent(base));
  const std::string nearest = existing_folder(context.fs, above);
  return path::join(device_of(context.fs, nearest) == device && may_write(context, nearest) ? above : base, kHidden);
}

}  // namespace mlxcache::pull
