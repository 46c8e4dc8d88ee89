#include "mlxbase/core/result.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace mlxbase {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::not_found: return "not_found";
    case Code::corrupt: return "corrupt";
    case Code::unsupported: return "unsupported";
    case Code::permission: return "permission";
    case Code::out_of_space: return "out_of_space";
    case Code::out_of_memory: return "out_of_memory";
    case Code::busy: return "busy";
    case Code::cancelled: return "cancelled";
    case Code::invalid: return "invalid";
    case Code::changed: return "changed";
    case Code::io: return "io";
    case Code::engine: return "engine";
  }
  return "unknown";
}

Code code_of_errno(int os_errno) {
  if (os_errno == ENOTSUP) return Code::unsupported;  // EOPNOTSUPP's number on Linux, its own on macOS
  switch (os_errno) {
    case ENOENT:
    case ENOTDIR: return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS: return Code::permission;
    case ENOSPC:
    case EDQUOT: return Code::out_of_space;
    case ENOMEM: return Code::out_of_memory;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY: return Code::busy;
    case EXDEV:
    case EOPNOTSUPP:
    case ENOTTY:
    case ENOSYS:
    case EMLINK: return Code::unsupported;
    case EEXIST:
    case ENAMETOOLONG:
    case ELOOP:
    case EISDIR:
    case EINVAL: return Code::invalid;
    case ESTALE: return Code::changed;
    case EINTR: return Code::cancelled;
    default: return Code::io;
  }
}

Error errno_error(int os_errno, std::string_view what) {
  return Error{code_of_errno(os_errno), fmt::format("{}: {}", what, std::strerror(os_errno)), os_errno};
}

}  // namespace mlxbase
