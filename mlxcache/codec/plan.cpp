#include "mlxcache/codec/plan.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "mlxbase/core/parallel.h"
#include "mlxcache/codec/block.h"

namespace mlxcache::codec {
namespace {

constexpr std::uint64_t kOne = 1U << 16;              // a bit, in units of cost
constexpr std::uint64_t kSampleChunks = 16;
constexpr std::uint64_t kBlockCost = 300 * 8 * kOne;  // states and lengths of a block
constexpr std::uint64_t kHeadCost = 80 * 8 * kOne;

const std::uint8_t* raw(std::span<const std::byte> bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }

struct Piece {
  std::uint64_t first;
  std::size_t n;
};

/// Chunks spread evenly over the tensor, or all of it if it is small.
std::vector<Piece> sample_of(std::uint64_t elements) {
  std::vector<Piece> pieces;
  const std::uint64_t chunks = (elements + kChunk - 1) / kChunk, many = std::min(chunks, kSampleChunks);
  for (std::uint64_t i = 0; i < many; ++i) {
    const std::uint64_t first = (many == chunks ? i : (2 * i + 1) * chunks / (2 * many)) * kChunk;
    pieces.push_back({first, static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, elements - first))});
  }
  return pieces;
}

std::uint64_t total_of(const std::vector<Piece>& pieces) {
  std::uint64_t total = 0;
  for (const Piece& p : pieces) total += p.n;
  return total;
}

/// cost of a sample -> cost of everything
std::uint64_t scale_up(std::uint64_t cost, std::uint64_t sampled, std::uint64_t elements) {
  return sampled == 0 ? 0 : cost / sampled * elements + cost % sampled * elements / sampled;  // at most 2^23 an element, 2^40 elements
}

/// Counts of what the tables of one head code; several are added up when threads share the work.
struct Tally {
  std::vector<Counts> symbols;
  Counts rest{}, low[2]{};
  std::uint64_t elements = 0;  // that are coded at all

  void add(const Tally& other) {
    for (std::size_t t = 0; t < symbols.size(); ++t) {
      for (unsigned s = 0; s < 256; ++s) symbols[t][s] += other.symbols[t][s];
    }
    for (unsigned s = 0; s < 256; ++s) {
      rest[s] += other.rest[s];
      for (unsigned p = 0; p < 2; ++p) low[p][s] += other.low[p][s];
    }
    elements += other.elements;
  }
};

/// Counts one run of at most a block. Which planes: those for which `planes` says so.
class Counter {
 public:
  Counter(const Head& head, const Input& input, bool rest, bool low0, bool low1) : h_(head), in_(input), k_(*input.kernels), base_(head, input.base), want_{rest, low0, low1} {
    tally.symbols.resize(head.scheme == Scheme::difference ? 16 : head.tables.size());
    for (auto* buffer : {&symbols_, &rest_, &scale_, &context_}) buffer->resize(kChunk);
    extra_.resize(kChunk);
  }
  Tally tally;

  void run(std::uint64_t first, std::size_t n) {
    const std::uint8_t* in = raw(in_.tensor) + h_.layout.phase + first * h_.width();
    if (h_.scheme == Scheme::difference) {
      difference(n, in, base_.at(first, n));
      return;
    }
    for (std::size_t at = 0; at < n; at += kChunk) chunk(first + at, std::min(kChunk, n - at), in + at * h_.width());
    tally.elements += n;
  }

 private:
  void chunk(std::uint64_t first, std::size_t n, const std::uint8_t* in) {
    const std::size_t width = h_.width();
    if (h_.scheme == Scheme::bytes) {
      const std::size_t period = h_.period.size();
      std::size_t p = static_cast<std::size_t>(first * width % period);
      for (std::size_t at = 0; at < n * width; at += kChunk) {
        const std::size_t many = std::min(kChunk, n * width - at);
        for (std::size_t i = 0; i < many; ++i, p = p + 1 == period ? 0 : p + 1) context_[i] = h_.period[p];
        k_.count(in + at, period > 1 ? context_.data() : nullptr, many, tally.symbols[0].data());
      }
      return;
    }
    if (h_.scheme == Scheme::twin) {
      const std::uint8_t* base = base_.at(first, n);
      (h_.base.dtype == Dtype::f16 ? k_.widen_f16 : k_.widen_bf16)(base, n, extra_.data());
      low_[0].resize(kChunk);
      low_[1].resize(kChunk);
      k_.split_twin(in, extra_.data(), h_.offset, n, symbols_.data(), low_[0].data(), low_[1].data());
      k_.count(symbols_.data(), nullptr, n, tally.symbols[0].data());
      for (unsigned l = 0; l < 2; ++l) {
        if (want_[1 + l]) k_.count(low_[l].data(), nullptr, n, tally.low[l].data());
      }
      return;
    }
    const bool scaled = !h_.row_scales.empty() || !h_.column_scales.empty();
    if (scaled) fill_scales(h_, k_, first, n, scale_.data(), context_.data());
    const std::uint8_t* scale = scaled ? scale_.data() : nullptr;
    if (h_.layout.dtype == Dtype::f16) {
      k_.split_f16(in, scale, h_.exponent, n, symbols_.data(), rest_.data());
    } else {
      k_.split_bf16(in + width - 2, width, scale, h_.exponent, n, symbols_.data(), rest_.data());
    }
    k_.count(symbols_.data(), scaled ? context_.data() : nullptr, n, tally.symbols[0].data());
    if (want_[0]) k_.count(rest_.data(), nullptr, n, tally.rest.data());
    for (unsigned l = 0; l < 2; ++l) {
      if (!want_[1 + l] || width != 4) continue;
      k_.take_plane(in + l, 4, n, symbols_.data());
      k_.count(symbols_.data(), nullptr, n, tally.low[l].data());
    }
  }

  void difference(std::size_t n, const std::uint8_t* in, const std::uint8_t* base) {
    const std::size_t width = h_.width(), changed = gather_changed(h_, n, in, base, flags_, in_changed_, base_changed_);
    if (changed < n) {
      in = in_changed_.data();
      base = base_changed_.data();
    }
    for (std::size_t at = 0; at < changed; at += kChunk) {
      const std::size_t many = std::min(kChunk, changed - at);
      fill_contexts(h_, k_, base + at * width, many, context_.data());
      (width == 2 ? k_.differ16 : k_.differ32)(in + at * width, base + at * width, many, symbols_.data(), extra_.data());
      k_.count(symbols_.data(), context_.data(), many, tally.symbols[0].data());
    }
    tally.elements += changed;
  }

  const Head& h_;
  const Input& in_;
  const Kernels& k_;
  BaseView base_;
  bool want_[3];
  std::vector<std::uint8_t> symbols_, rest_, scale_, context_, low_[2], flags_, in_changed_, base_changed_;
  std::vector<std::uint32_t> extra_;
};

Tally tally_of(const Head& h, const Input& input, const std::vector<Piece>& pieces, bool planes) {
  Counter counter(h, input, planes, planes, planes);
  for (const Piece& p : pieces) counter.run(p.first, p.n);
  return std::move(counter.tally);
}

std::uint64_t symbol_cost(const std::vector<Counts>& tables) {
  std::uint64_t cost = 0;
  for (const Counts& c : tables) cost += ideal_cost(c);
  return cost;
}

/// How a plane of `bits` a value is kept, and its cost for as many elements as were counted.
std::uint64_t choose_plane(Plane& plane, const Counts& counts, unsigned bits) {
  std::uint64_t total = 0;
  unsigned different = 0;
  for (unsigned s = 0; s < 256; ++s) {
    total += counts[s];
    if (counts[s] == 0) continue;
    ++different;
    plane.value = static_cast<std::uint8_t>(s);
  }
  const std::uint64_t as_is = total * bits * kOne, coded = ideal_cost(counts);
  plane.mode = bits == 6 ? Plane::Mode::six : Plane::Mode::raw;
  if (different <= 1) {
    plane.mode = Plane::Mode::constant;
    return 0;
  }
  if (coded > as_is - as_is / 64) return as_is;  // not worth the time
  plane.mode = Plane::Mode::coded;
  plane.tables = {normalise(counts)};
  return coded;
}

std::uint64_t bytes_of_cost(std::uint64_t cost) { return cost / (8 * kOne) + 1; }

Head start_of(const Input& input, Scheme scheme, Kind kind) {
  Head h;
  h.kind = kind;
  h.scheme = scheme;
  h.layout = input.layout;
  h.size = input.tensor.size();
  h.tables.resize(1);
  if (kind == Kind::delta) {
    h.base = {.dtype = input.base_layout.dtype, .phase = input.base_layout.phase};
    h.base_size = input.base.size();
  }
  const auto body = static_cast<std::size_t>(h.body());
  const auto front = input.tensor.first(h.layout.phase), back = input.tensor.subspan(h.layout.phase + body);
  h.edge.assign(front.begin(), front.end());
  h.edge.insert(h.edge.end(), back.begin(), back.end());
  return h;
}

std::uint64_t fixed_cost(const Head& h) { return h.blocks() * kBlockCost + kHeadCost; }

// ---- floats alone -------------------------------------------------------------------------------------------------------

/// Mean magnitude of a row or column in half octaves, to the nearest.
struct Scales {
  std::vector<std::int32_t> rows, columns;  // columns relative to the mean of all
};

unsigned half_octave(Dtype dtype) { return dtype == Dtype::f16 ? 512 : 64; }

std::uint32_t mean_magnitude(const Input& input, const std::vector<Piece>& pieces) {
  const std::size_t width = width_of(input.layout.dtype);
  std::uint64_t sum = 0, many = 0;
  for (const Piece& p : pieces) {
    const std::uint8_t* at = raw(input.tensor) + input.layout.phase + p.first * width + (width - 2);
    for (std::size_t i = 0; i < p.n; i += 4, at += 4 * width) {
      const std::uint32_t m = static_cast<std::uint32_t>(at[0] | at[1] << 8) & 0x7FFFU;
      sum += m;
      many += m != 0 ? 1 : 0;
    }
  }
  return many == 0 ? 0 : static_cast<std::uint32_t>(sum / many);
}

Scales measure_scales(const Input& input, const Head& h, std::uint32_t mean) {
  const std::size_t width = h.width(), columns = static_cast<std::size_t>(h.layout.columns);
  const std::uint64_t rows = h.rows(), elements = h.elements();
  const std::uint32_t floor = mean > 16 * half_octave(h.layout.dtype) ? mean - 16 * half_octave(h.layout.dtype) : 0;  // zeros say nothing of the others' scale
  const std::uint64_t workers = std::max<std::uint64_t>(1, std::min<std::uint64_t>({input.threads, rows, 64}));
  Scales s;
  s.rows.resize(static_cast<std::size_t>(rows));
  std::vector<std::vector<std::uint64_t>> sums(static_cast<std::size_t>(workers));
  std::vector<std::uint64_t> totals(static_cast<std::size_t>(workers));
  const auto unit = static_cast<std::int64_t>(half_octave(h.layout.dtype));
  const auto rounded = [&](std::int64_t sum, std::int64_t many) {
    const std::int64_t d = many * unit;
    return static_cast<std::int32_t>(sum >= 0 ? (2 * sum + d) / (2 * d) : -((-2 * sum + d) / (2 * d)));
  };
  mlxbase::parallel_for(static_cast<std::size_t>(workers), input.threads, [&](std::size_t w) {
    auto& sum = sums[w];
    sum.resize(columns);
    std::vector<std::uint32_t> part(columns);
    const std::uint64_t begin = rows * w / workers, end = rows * (w + 1) / workers;
    for (std::uint64_t r = begin; r < end; ++r) {
      const std::uint64_t first = r * columns;
      const auto many = static_cast<std::size_t>(std::min<std::uint64_t>(columns, elements - first));
      const std::uint64_t total =
          input.kernels->magnitudes(raw(input.tensor) + h.layout.phase + first * width + (width == 4 ? 0 : 0), width, floor, many, part.data());
      totals[w] += total;
      s.rows[static_cast<std::size_t>(r)] = rounded(static_cast<std::int64_t>(total), static_cast<std::int64_t>(many));
      if ((r - begin) % 65536 == 65535 || r + 1 == end) {  // before 32 bits run over
        for (std::size_t c = 0; c < columns; ++c) sum[c] += part[c];
        std::fill(part.begin(), part.end(), 0);
      }
    }
  });
  std::uint64_t total = 0;
  for (const std::uint64_t t : totals) total += t;
  const auto all = static_cast<std::int64_t>(total / elements);
  s.columns.resize(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    std::uint64_t sum = 0;
    for (const auto& of_worker : sums) sum += of_worker[c];
    const std::uint64_t many = rows - (c >= elements - (rows - 1) * columns ? 1 : 0);  // the last row may be short
    if (many > 0) s.columns[c] = rounded(static_cast<std::int64_t>(sum) - all * static_cast<std::int64_t>(many), static_cast<std::int64_t>(many));
  }
  return s;
}

/// Puts scales into a head: bytes from 0, and the rest into the exponent.
void use_scales(Head& h, const Scales& s, bool rows, bool columns, std::uint32_t mean) {
  h.row_scales.clear();
  h.column_scales.clear();
  h.tables.resize(rows || columns ? 2 : 1);
  const auto unit = static_cast<std::int32_t>(half_octave(h.layout.dtype));
  const auto middle = static_cast<std::int32_t>((mean + half_octave(h.layout.dtype) / 2) / half_octave(h.layout.dtype));
  if (!rows && !columns) {
    h.exponent = static_cast<std::int16_t>(mean / (2 * static_cast<std::uint32_t>(unit)));
    return;
  }
  std::int32_t least = 0;
  const auto bytes_of = [&](const std::vector<std::int32_t>& from, std::vector<std::uint8_t>& to, std::int32_t odd) {
    const std::int32_t low = *std::min_element(from.begin(), from.end());
    to.resize(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<std::uint8_t>(std::clamp(from[i] - low + odd, 0, 255));
    return low;
  };
  if (rows) least += *std::min_element(s.rows.begin(), s.rows.end());
  if (columns) least += *std::min_element(s.columns.begin(), s.columns.end()) + (rows ? 0 : middle);
  least = std::max(least, 0);
  const std::int32_t odd = least & 1;  // the exponent takes whole octaves
  if (rows) bytes_of(s.rows, h.row_scales, odd);
  if (columns) bytes_of(s.columns, h.column_scales, rows ? 0 : odd);
  h.exponent = static_cast<std::int16_t>(least / 2);
}

std::uint64_t scales_cost(const std::vector<std::uint8_t>& scales) {
  Counts counts{};
  for (const std::uint8_t s : scales) ++counts[s];
  return std::min<std::uint64_t>(scales.size() * 8 * kOne, ideal_cost(counts) + table_cost(counts) + kStreamHead * 8 * kOne);
}

Candidate floats_alone(const Input& input, bool scales) {
  Candidate c{.head = start_of(input, Scheme::floats, Kind::alone)};
  Head& h = c.head;
  const auto pieces = sample_of(h.elements());
  const std::uint64_t sampled = total_of(pieces), elements = h.elements();
  const std::uint32_t mean = mean_magnitude(input, pieces);
  use_scales(h, {}, false, false, mean);
  const auto symbols_cost = [&](const Tally& t) {
    std::uint64_t cost = scale_up(symbol_cost(t.symbols), sampled, elements);
    for (const Counts& counts : t.symbols) cost += table_cost(counts);
    return cost;
  };
  const Tally plain = tally_of(h, input, pieces, true);
  std::uint64_t cost = symbols_cost(plain);
  const unsigned rest_bits = h.layout.dtype == Dtype::f16 ? 8 : 6;
  std::uint64_t planes = choose_plane(h.rest, plain.rest, rest_bits);
  if (h.width() == 4) {
    for (unsigned p = 0; p < 2; ++p) planes += choose_plane(h.low[p], plain.low[p], 8);
  }
  planes = scale_up(planes, sampled, elements);
  for (std::size_t t = 0; t < h.tables.size(); ++t) h.tables[t] = normalise(plain.symbols[t]);
  if (scales && h.layout.columns >= 32 && h.layout.columns <= kMostScales && h.rows() >= 8 && h.rows() <= kMostScales && elements >= 32768) {
    const Scales s = measure_scales(input, h, mean);
    for (const auto& [rows, columns] : {std::pair{true, false}, std::pair{true, true}, std::pair{false, true}}) {
      Head other = h;
      use_scales(other, s, rows, columns, mean);
      const Tally t = tally_of(other, input, pieces, false);
      const std::uint64_t mine = symbols_cost(t) + scales_cost(other.row_scales) + scales_cost(other.column_scales);
      if (mine + mine / 256 >= cost) continue;
      cost = mine;
      h = std::move(other);
      for (std::size_t k = 0; k < h.tables.size(); ++k) h.tables[k] = normalise(t.symbols[k]);
    }
  }
  c.bytes = bytes_of_cost(cost + planes + fixed_cost(h));
  return c;
}

// ---- differences --------------------------------------------------------------------------------------------------------

std::uint64_t extra_cost(const std::vector<Counts>& tables) {
  std::uint64_t bits = 0;
  for (const Counts& c : tables) {
    for (unsigned s = 1; s < 256; ++s) bits += std::uint64_t{c[s]} * extra_bits(s);
  }
  return bits * kOne;
}

/// Joins neighbouring contexts as long as their tables cost more than they save; fills the head's map and tables.
void join_contexts(Head& h, std::vector<Counts> counts) {
  struct Group {
    Counts counts;
    std::uint64_t cost;
    std::vector<unsigned> contexts;
  };
  const auto cost_of = [](const Counts& c) { return ideal_cost(c) + table_cost(c); };
  const auto joined = [](const Counts& a, const Counts& b) {
    Counts sum = a;
    for (unsigned s = 0; s < 256; ++s) sum[s] += b[s];
    return sum;
  };
  std::vector<Group> groups;
  for (unsigned i = 0; i < counts.size(); ++i) groups.push_back({counts[i], cost_of(counts[i]), {i}});
  std::vector<std::int64_t> gain(groups.size());
  const auto update = [&](std::size_t i) {
    if (i + 1 >= groups.size()) return;
    const std::uint64_t together = cost_of(joined(groups[i].counts, groups[i + 1].counts));
    const std::uint64_t apart = groups[i].cost + groups[i + 1].cost;
    gain[i] = static_cast<std::int64_t>(apart + apart / 1024) - static_cast<std::int64_t>(together);  // a table less is worth a little by itself
  };
  for (std::size_t i = 0; i + 1 < groups.size(); ++i) update(i);
  while (groups.size() > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < groups.size(); ++i) best = gain[i] > gain[best] ? i : best;
    if (gain[best] < 0) break;
    Group& a = groups[best];
    const Group& b = groups[best + 1];
    a.counts = joined(a.counts, b.counts);
    a.cost = cost_of(a.counts);
    a.contexts.insert(a.contexts.end(), b.contexts.begin(), b.contexts.end());
    groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    gain.erase(gain.begin() + static_cast<std::ptrdiff_t>(best));
    update(best);
    if (best > 0) update(best - 1);
  }
  h.tables.clear();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    h.tables.push_back(normalise(groups[g].counts));
    for (const unsigned c : groups[g].contexts) h.contexts[c] = static_cast<std::uint8_t>(g);
  }
}

Candidate difference(const Input& input) {
  Candidate c{.head = start_of(input, Scheme::difference, Kind::delta)};
  Head& h = c.head;
  const auto pieces = sample_of(h.elements());
  const std::uint64_t sampled = total_of(pieces);
  BaseView base(h, input.base);
  // The sixteen octaves up to the largest that is not rare.
  Counts exponents{};
  std::vector<std::uint8_t> context(kChunk);
  const unsigned shift = h.layout.dtype == Dtype::f32 ? 23 : h.layout.dtype == Dtype::bf16 ? 7 : 10, mask = h.layout.dtype == Dtype::f16 ? 31 : 255;
  for (const Piece& p : pieces) {
    const std::uint8_t* from = base.at(p.first, p.n) + (h.width() == 4 ? 2 : 0);
    for (std::size_t i = 0; i < p.n; i += 4, from += 4 * h.width()) ++exponents[static_cast<unsigned>(from[0] | from[1] << 8) >> (h.width() == 4 ? shift - 16 : shift) & mask];
  }
  std::uint64_t above = 0;
  int highest = 255;
  while (highest > 0 && (above += exponents[static_cast<unsigned>(highest)]) * 16384 < sampled) --highest;
  h.lowest = static_cast<std::int16_t>(highest - 14);
  for (unsigned i = 0; i < 16; ++i) h.contexts[i] = static_cast<std::uint8_t>(i);
  const Tally t = tally_of(h, input, pieces, false);
  const std::uint64_t cost = scale_up(symbol_cost(t.symbols) + extra_cost(t.symbols), sampled, h.elements()) + h.elements() / h.run() * kOne;
  h.tables.clear();  // complete() makes them, from all elements
  c.bytes = bytes_of_cost(cost + fixed_cost(h) + 6 * 400 * kOne);
  return c;
}

Candidate twin(const Input& input) {
  Candidate best{.bytes = std::numeric_limits<std::uint64_t>::max()};
  for (const std::uint32_t offset : {0x8000U, 0U, 0x10000U}) {  // the base was rounded to nearest, cut off, or rounded away
    if (offset == 0x10000U && best.bytes < input.tensor.size()) break;
    Candidate c{.head = start_of(input, Scheme::twin, Kind::delta)};
    Head& h = c.head;
    h.offset = offset;
    const auto pieces = sample_of(h.elements());
    const Tally t = tally_of(h, input, pieces, true);
    std::uint64_t cost = symbol_cost(t.symbols) + std::uint64_t{t.symbols[0][255]} * 64 * kOne;
    for (unsigned p = 0; p < 2; ++p) cost += choose_plane(h.low[p], t.low[p], 8);
    h.tables = {normalise(t.symbols[0])};
    c.bytes = bytes_of_cost(scale_up(cost, total_of(pieces), h.elements()) + fixed_cost(h));
    if (c.bytes < best.bytes) best = std::move(c);
  }
  return best;
}

// ---- anything else ------------------------------------------------------------------------------------------------------

/// Bytes whose distribution depends on their place in a block of `period` bytes: elements of several bytes, quantised blocks.
Candidate bytes_alone(const Input& input, std::size_t period) {
  Candidate c{.head = start_of(input, Scheme::bytes, Kind::alone)};
  Head& h = c.head;
  h.period.assign(period, 0);
  const auto pieces = sample_of(h.elements());
  const Tally all = tally_of(h, input, pieces, false);
  std::uint64_t cost = symbol_cost(all.symbols), bytes = 0;
  for (const std::uint32_t n : all.symbols[0]) bytes += n;
  h.tables = {normalise(all.symbols[0])};
  c.bytes = bytes_of_cost(scale_up(cost, bytes, h.body()) + fixed_cost(h));
  return c;
}

}  // namespace

std::vector<Candidate> candidates(const Input& input, bool scales) {
  std::vector<Candidate> all;
  const Dtype dtype = input.layout.dtype;
  if ((input.tensor.size() - input.layout.phase) / width_of(dtype) == 0) return all;
  const bool same_columns = input.has_base && (input.base_layout.columns == input.layout.columns || (input.layout.rows <= 1 && input.base_layout.rows <= 1));
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  if (same_columns && !input.base.empty()) {
    if (has_exponent(dtype) && input.base_layout.dtype == dtype) all.push_back(difference(input));
    if (dtype == Dtype::f32 && (input.base_layout.dtype == Dtype::bf16 || input.base_layout.dtype == Dtype::f16)) all.push_back(twin(input));
    for (const Candidate& c : all) least = std::min(least, c.bytes);
  }
  if (has_exponent(dtype)) {
    all.push_back(floats_alone(input, false));
    // Scales take a look at everything, and an eighth off at the very most.
    if (scales && all.back().bytes - all.back().bytes / 8 <= least) all.back() = floats_alone(input, true);
  } else {
    all.push_back(bytes_alone(input, width_of(dtype)));
  }
  return all;
}

void complete(Candidate& candidate, const Input& input) {
  Head& h = candidate.head;
  const bool low = h.layout.dtype == Dtype::f32 && h.scheme != Scheme::difference;
  const auto wanted = [](const Plane& p) { return p.mode == Plane::Mode::coded || p.mode == Plane::Mode::constant; };
  const bool want[3] = {h.scheme == Scheme::floats && wanted(h.rest), low && wanted(h.low[0]), low && wanted(h.low[1])};
  const auto block = static_cast<std::size_t>(kBlockBytes / h.width());
  const std::uint64_t elements = h.elements(), blocks = h.blocks();
  const std::uint64_t workers = std::max<std::uint64_t>(1, std::min<std::uint64_t>(input.threads, blocks));
  std::vector<Tally> parts(static_cast<std::size_t>(workers));
  if (h.scheme == Scheme::difference) {
    for (unsigned i = 0; i < 16; ++i) h.contexts[i] = static_cast<std::uint8_t>(i);
  }
  mlxbase::parallel_for(static_cast<std::size_t>(workers), input.threads, [&](std::size_t w) {
    Counter counter(h, input, want[0], want[1], want[2]);
    for (std::uint64_t b = blocks * w / workers; b < blocks * (w + 1) / workers; ++b) {
      counter.run(b * block, static_cast<std::size_t>(std::min<std::uint64_t>(block, elements - b * block)));
    }
    parts[w] = std::move(counter.tally);
  });
  Tally t = std::move(parts[0]);
  for (std::size_t w = 1; w < parts.size(); ++w) t.add(parts[w]);
  if (h.scheme == Scheme::difference) {
    join_contexts(h, t.symbols);
  } else {
    for (std::size_t k = 0; k < h.tables.size(); ++k) h.tables[k] = normalise(t.symbols[k]);
  }
  if (want[0]) choose_plane(h.rest, t.rest, h.layout.dtype == Dtype::f16 ? 8 : 6);
  for (unsigned p = 0; p < 2; ++p) {
    if (want[1 + p]) choose_plane(h.low[p], t.low[p], 8);
  }
}

}  // namespace mlxcache::codec
