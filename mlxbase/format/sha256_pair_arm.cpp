// ARMv8's SHA-256 instructions. Compiled with them: nothing here but has_sha256_pair() may run before it was asked.
#include <arm_neon.h>
#if __has_include(<sys/auxv.h>)
#include <sys/auxv.h>
#endif

#include "mlxbase/format/sha256_pair.h"
#include "mlxbase/format/sha256_rounds.h"

namespace mlxbase::native {
namespace {

struct Lane {
  uint32x4_t abcd;
  uint32x4_t efgh;
  uint32x4_t schedule[4];  // the last sixteen words of W
};

/// Rounds 4·kQuad to 4·kQuad + 3.
template <int kQuad>
inline void four_rounds(Lane& lane) {
  uint32x4_t& w = lane.schedule[kQuad & 3];
  if constexpr (kQuad >= 4) {
    w = vsha256su1q_u32(vsha256su0q_u32(w, lane.schedule[(kQuad + 1) & 3]), lane.schedule[(kQuad + 2) & 3], lane.schedule[(kQuad + 3) & 3]);
  }
  const uint32x4_t sum = vaddq_u32(w, vld1q_u32(kSha256Rounds + 4 * kQuad));
  const uint32x4_t abcd = lane.abcd;
  lane.abcd = vsha256hq_u32(abcd, lane.efgh, sum);
  lane.efgh = vsha256h2q_u32(lane.efgh, abcd, sum);
}

template <int kQuad>
inline void rounds_from(Lane& a, Lane& b) {
  four_rounds<kQuad>(a);
  four_rounds<kQuad>(b);
  if constexpr (kQuad < 15) rounds_from<kQuad + 1>(a, b);
}

inline void read_block(Lane& lane, const std::byte* bytes) {
  for (int i = 0; i < 4; ++i) lane.schedule[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(reinterpret_cast<const std::uint8_t*>(bytes) + 16 * i)));
}

}  // namespace

bool has_sha256_pair() {
#if __has_include(<sys/auxv.h>)
  static const bool has = (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0;
  return has;
#else
  return true;  // every Apple silicon
#endif
}

void sha256_pair(Sha256Lane& a, Sha256Lane& b, std::size_t blocks) {
  Lane one{vld1q_u32(a.words), vld1q_u32(a.words + 4), {}};
  Lane two{vld1q_u32(b.words), vld1q_u32(b.words + 4), {}};
  for (std::size_t block = 0; block < blocks; ++block) {
    const uint32x4_t before[4] = {one.abcd, one.efgh, two.abcd, two.efgh};
    read_block(one, a.bytes + 64 * block);
    read_block(two, b.bytes + 64 * block);
    rounds_from<0>(one, two);
    one.abcd = vaddq_u32(one.abcd, before[0]);
    one.efgh = vaddq_u32(one.efgh, before[1]);
    two.abcd = vaddq_u32(two.abcd, before[2]);
    two.efgh = vaddq_u32(two.efgh, before[3]);
  }
  vst1q_u32(a.words, one.abcd);
  vst1q_u32(a.words + 4, one.efgh);
  vst1q_u32(b.words, two.abcd);
  vst1q_u32(b.words + 4, two.efgh);
}

}  // namespace mlxbase::native
