#include <signal.h>
#include <sys/select.h>
#include <sys/time.h>

#include <algorithm>
#include <ctime>

#include "mlxbase/os/folder_watch.h"

namespace mlxbase::os {

bool wait_readable(int descriptor, std::int64_t timeout_ns, const Cancel& cancel) {
  // Between a look at `cancel` and the wait a signal would be lost, and the wait would last: so signals are held back until pselect lets them in.
  sigset_t held;
  sigset_t before;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &held, &before);
  bool readable = false;
  if (!cancel.requested()) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    const std::int64_t ns = std::clamp<std::int64_t>(timeout_ns, 0, kSecond * 86'400);
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(ns / kSecond);
    timeout.tv_nsec = static_cast<long>(ns % kSecond);
    fd_set set;
    FD_ZERO(&set);
    const bool fits = descriptor >= 0 && descriptor < FD_SETSIZE;
    if (fits) FD_SET(descriptor, &set);
    readable = ::pselect(fits ? descriptor + 1 : 0, &set, nullptr, nullptr, &timeout, &before) > 0;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return readable;
}

}  // namespace mlxbase::os
