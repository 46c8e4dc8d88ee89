#include "mlxcache/dedup/bytes.h"

#include <algorithm>

namespace mlxcache::dedup {

using mlxbase::Code;
namespace os = mlxbase::os;

namespace {

constexpr std::uint64_t kShareStep = std::uint64_t{256} << 20U;  // asked of the kernel at once, so that a cancel is heard

bool cancelled(const mlxbase::Cancel* cancel) { return cancel != nullptr && cancel->requested(); }

}  // namespace

SharedInPlace share_in_place(os::FileSystem& fs, os::File& source, os::File& target, std::uint64_t size, const mlxbase::Cancel* cancel,
                             mlxbase::Progress& progress) {
  std::uint64_t at = 0;
  while (at < size) {
    if (cancelled(cancel)) return {Shared::in_part, at, "stopped"};
    auto outcome = fs.dedupe_range(source, at, target, at, std::min(size - at, kShareStep));
    if (!outcome) {
      const Code code = outcome.error().code;
      const bool impossible = at == 0 && (code == Code::unsupported || code == Code::permission);
      return {impossible ? Shared::impossible : Shared::in_part, at, outcome.error().message};
    }
    if (outcome->differs) return {Shared::in_part, at, "its bytes are not equal"};
    if (outcome->bytes == 0) return {at == 0 ? Shared::impossible : Shared::in_part, at, "the volume shared nothing"};
    at += outcome->bytes;
    progress.advance(outcome->bytes);
  }
  return {Shared::whole, at, {}};
}

}  // namespace mlxcache::dedup
