#pragma once
// SHA-256 (FIPS 180-4) of two byte streams in step on one core. The rounds of one stream wait for each other; the rounds of the second fill the gaps, so that two
// take little longer than one (bench/results/tuning.md). For sha256_chain.cpp only, which falls back on the platform's library.
#include <cstddef>
#include <cstdint>

namespace mlxbase::native {

/// H(i), eight words, and the bytes that follow.
struct Sha256Lane {
  std::uint32_t words[8];
  const std::byte* bytes;
};

/// Whether the processor has instructions for SHA-256, asked once.
bool has_sha256_pair();

/// Takes each lane `blocks` blocks of 64 bytes further: its words are replaced, its pointer is not. Only if has_sha256_pair().
void sha256_pair(Sha256Lane& a, Sha256Lane& b, std::size_t blocks);

}  // namespace mlxbase::native
