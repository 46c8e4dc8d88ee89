#include <algorithm>
#include <cstring>
#include <atomic>
#include <memory>
#include <new>
#include <utility>

#include "mlxbase/core/parallel.h"
#include "mlxcache/codec/block.h"
#include "mlxcache/codec/plan.h"

namespace mlxcache::codec {
namespace {

using mlxbase::Code;
using mlxbase::fail;

constexpr std::size_t kBatch = 64;  // blocks that are in memory twice: 16 MiB

bool fits(const Layout& layout, std::uint64_t bytes) {
  const std::uint64_t width = width_of(layout.dtype);
  if (layout.phase >= width || layout.phase > bytes) return false;
  return layout.rows == 0 || layout.columns <= (bytes - layout.phase) / width / layout.rows;
}

std::vector<std::byte> plain(std::span<const std::byte> tensor, const Layout& layout) {
  mlxbase::ByteWriter head;
  write_plain_head(head, layout, tensor.size());
  std::vector<std::byte> out;
  out.reserve(kPlainHead + tensor.size());
  out.assign(head.bytes().begin(), head.bytes().end());
  out.insert(out.end(), tensor.begin(), tensor.end());
  return out;
}

Input input_of(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base, const Layout* base_layout, const Options& options) {
  Input input{.tensor = tensor, .layout = layout, .base = base, .kernels = &kernels_of(options.kernel), .threads = std::max(1U, options.threads)};
  if (layout.dtype == Dtype::bytes) {
    const Detected found = detect(tensor);
    if (found.dtype != Dtype::bytes) input.layout = Layout::flat(found.dtype, tensor.size(), found.phase);
  }
  input.has_base = base_layout != nullptr;
  if (base_layout != nullptr) {
    input.base_layout = *base_layout;
    if (base_layout->dtype == Dtype::bytes && layout.dtype == Dtype::bytes && input.layout.dtype != Dtype::bytes) {
      // Two pieces of unknown containers: elements of one lie as those of the other, or the difference will not pay.
      input.base_layout = Layout::flat(input.layout.dtype, base.size(), input.layout.phase);
    }
  }
  return input;
}

const Candidate* cheapest(const std::vector<Candidate>& all) {
  const auto best = std::min_element(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.bytes < b.bytes; });
  return best == all.end() ? nullptr : &*best;
}

bool worth_it(std::uint64_t bytes, std::uint64_t size, double least_gain) {
  return static_cast<double>(bytes) < static_cast<double>(size) * (1 - least_gain);
}

std::vector<std::byte> coded(const Input& input, Candidate candidate) {
  complete(candidate, input);
  const Head& h = candidate.head;
  const EncodeTables tables(h);
  const auto block = static_cast<std::size_t>(kBlockBytes / h.width());
  const std::uint64_t elements = h.elements(), blocks = h.blocks();
  struct Worker {
    BlockEncoder encoder;
    BaseView base;
  };
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned t = 0; t < input.threads; ++t) {
    workers.push_back(std::make_unique<Worker>(Worker{BlockEncoder(h, tables, *input.kernels), BaseView(h, input.base)}));
  }
  const auto encode_block = [&](Worker& w, std::uint64_t b, std::vector<std::byte>& out) {
    const std::uint64_t first = b * block;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(block, elements - first));
    const auto* in = reinterpret_cast<const std::uint8_t*>(input.tensor.data()) + h.layout.phase + first * h.width();
    return w.encoder.encode(first, n, in, w.base.at(first, n), out);
  };
  const auto checksum_of = [&](const std::byte* p, std::size_t n) { return input.kernels->checksum(reinterpret_cast<const std::uint8_t*>(p), n); };
  std::vector<Block> table(static_cast<std::size_t>(blocks));
  // The head's length does not depend on what stands in it, so the blocks go straight behind its place.
  std::vector<std::byte> out = write_head(h, table);
  const std::size_t head = out.size();
  out.reserve(head + static_cast<std::size_t>(candidate.bytes + candidate.bytes / 16) + kBlockBytes);
  if (input.threads == 1) {
    for (std::uint64_t b = 0; b < blocks; ++b) {
      Block& entry = table[static_cast<std::size_t>(b)];
      entry.at = out.size();
      entry.kind = encode_block(*workers[0], b, out);
      entry.bytes = out.size() - entry.at;
      entry.checksum = checksum_of(out.data() + entry.at, static_cast<std::size_t>(entry.bytes));
    }
  } else {
    std::vector<std::vector<std::byte>> parts(kBatch);
    for (std::uint64_t begin = 0; begin < blocks; begin += kBatch) {
      const auto many = static_cast<std::size_t>(std::min<std::uint64_t>(kBatch, blocks - begin));
      std::atomic<std::size_t> next{0};
      mlxbase::parallel_for(input.threads, input.threads, [&](std::size_t w) {
        for (std::size_t i = next.fetch_add(1); i < many; i = next.fetch_add(1)) {
          parts[i].clear();
          Block& entry = table[static_cast<std::size_t>(begin) + i];
          entry.kind = encode_block(*workers[w], begin + i, parts[i]);
          entry.checksum = checksum_of(parts[i].data(), parts[i].size());
        }
      });
      for (std::size_t i = 0; i < many; ++i) {
        table[static_cast<std::size_t>(begin) + i].bytes = parts[i].size();
        out.insert(out.end(), parts[i].begin(), parts[i].end());
      }
    }
  }
  const auto final_head = write_head(h, table);
  std::copy(final_head.begin(), final_head.end(), out.begin());
  return out;
}

}  // namespace

Result<std::vector<std::byte>> encode(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base, const Layout* base_layout,
                                      const Options& options) {
  if (tensor.size() > kMostSize || !fits(layout, tensor.size()) || (base_layout != nullptr && !fits(*base_layout, base.size()))) {
    return fail(Code::invalid, "code a tensor: its layout is longer than its bytes");
  }
  try {
    const Input input = input_of(tensor, layout, base, base_layout, options);
    const auto all = candidates(input, true);
    if (const Candidate* best = cheapest(all); best != nullptr && worth_it(best->bytes, tensor.size(), options.least_gain)) {
      auto out = coded(input, *best);
      if (worth_it(out.size(), tensor.size(), options.least_gain)) return out;
    }
    return plain(tensor, layout);
  } catch (const std::bad_alloc&) {
    return fail(Code::out_of_memory, "code a tensor: not enough memory");
  }
}

Estimate estimate(std::span<const std::byte> tensor, const Layout& layout, std::span<const std::byte> base, const Layout* base_layout) {
  Estimate e{.kind = Kind::plain, .bytes = tensor.size() + kPlainHead};
  if (!fits(layout, tensor.size()) || (base_layout != nullptr && !fits(*base_layout, base.size()))) return e;
  const auto all = candidates(input_of(tensor, layout, base, base_layout, {}), false);
  if (const Candidate* best = cheapest(all); best != nullptr && worth_it(best->bytes, tensor.size(), Options{}.least_gain)) e = {best->head.kind, best->bytes};
  return e;
}

}  // namespace mlxcache::codec
