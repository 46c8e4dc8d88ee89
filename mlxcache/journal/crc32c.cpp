#include "mlxcache/journal/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace mlxcache::journal {
namespace {

constexpr std::uint32_t kReversedPolynomial = 0x82F63B78;

constexpr std::array<std::array<std::uint32_t, 256>, 4> make_tables() {
  std::array<std::array<std::uint32_t, 256>, 4> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? (c >> 1U) ^ kReversedPolynomial : c >> 1U;
    t[0][i] = c;
  }
  for (std::uint32_t i = 0; i < 256; ++i) {
    for (std::size_t k = 1; k < 4; ++k) t[k][i] = (t[k - 1][i] >> 8U) ^ t[0][t[k - 1][i] & 0xFFU];
  }
  return t;
}
constexpr auto kTables = make_tables();

// The processor's own instruction, eight bytes a time.
#if defined(__x86_64__)
bool has_instruction() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0;
  return has;
}
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint64_t c = ~before;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, 8);
    c = _mm_crc32_u64(c, word);
  }
  auto low = static_cast<std::uint32_t>(c);
  for (; left > 0; --left, ++p) low = _mm_crc32_u8(low, std::to_integer<std::uint8_t>(*p));
  return ~low;
}
#elif defined(__ARM_FEATURE_CRC32)
bool has_instruction() { return true; }
std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t c = ~before;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; left -= 8, p += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p, 8);
    c = __crc32cd(c, word);
  }
  for (; left > 0; --left, ++p) c = __crc32cb(c, std::to_integer<std::uint8_t>(*p));
  return ~c;
}
#else
bool has_instruction() { return false; }
std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t before) { return crc32c_by_table(bytes, before); }
#endif

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  return has_instruction() ? by_instruction(bytes, before) : crc32c_by_table(bytes, before);
}

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t c = ~before;
  const std::byte* p = bytes.data();
  std::size_t left = bytes.size();
  const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(p[i]); };
  for (; left >= 4; left -= 4, p += 4) {
    c ^= at(0) | at(1) << 8U | at(2) << 16U | at(3) << 24U;
    c = kTables[3][c & 0xFFU] ^ kTables[2][c >> 8U & 0xFFU] ^ kTables[1][c >> 16U & 0xFFU] ^ kTables[0][c >> 24U];
  }
  for (; left > 0; --left, ++p) c = kTables[0][(c ^ at(0)) & 0xFFU] ^ (c >> 8U);
  return ~c;
}

}  // namespace mlxcache::journal
