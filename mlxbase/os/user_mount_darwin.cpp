#include "mlxbase/os/user_mount.h"

namespace mlxbase::os {

Result<std::unique_ptr<UserMount>> UserMount::begin(FileTree& /*tree*/, const std::string& /*dir*/, const MountSettings& /*settings*/) {
  return fail(Code::unsupported, "mounting is not built for macOS yet; thaw the model instead");
}

Status take_away_mount(const std::string& /*dir*/, const std::string& /*name*/) { return fail(Code::not_found, "nothing of ours is mounted on macOS"); }

}  // namespace mlxbase::os
