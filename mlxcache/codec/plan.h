#pragma once
// How a tensor could be coded, and what each way would cost: the part that looks at the numbers.
#include <cstdint>
#include <optional>
#include <span>

#include "mlxcache/codec/head.h"
#include "mlxcache/codec/kernel.h"

namespace mlxcache::codec {

struct Input {
  std::span<const std::byte> tensor;
  Layout layout;
  std::span<const std::byte> base;
  Layout base_layout;
  bool has_base = false;
  const Kernels* kernels = nullptr;
  unsigned threads = 1;
};

struct Candidate {
  Head head;                // tables from a sample until complete() was called
  std::uint64_t bytes = 0;  // about, all in all
};

/// The ways that fit the dtypes, from a sample of at most 64 Ki elements; may be empty.
/// scales: whether all of the tensor may be read for its rows' and columns' scales.
std::vector<Candidate> candidates(const Input& input, bool scales);

/// Exact tables, from all elements.
void complete(Candidate& candidate, const Input& input);

}  // namespace mlxcache::codec
