#include "mlxbase/os/descriptors.h"

#include <sys/resource.h>

#include <algorithm>

namespace mlxbase::os {

std::size_t descriptors_to_spare() {
  constexpr rlim_t kMost = 65536;      // macOS says "no limit" and then refuses
  constexpr rlim_t kMostOnMac = 10240; // OPEN_MAX there
  constexpr rlim_t kOthers = 128;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 16;
  for (const rlim_t most : {kMost, kMostOnMac}) {
    rlimit wanted = limit;
    wanted.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, most));
    if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0) continue;
    limit = wanted;
    break;
  }
  const rlim_t usable = std::min<rlim_t>(limit.rlim_cur, kMost);
  return usable > kOthers + 16 ? static_cast<std::size_t>(usable - kOthers) : 16;
}

}  // namespace mlxbase::os
