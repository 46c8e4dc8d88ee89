// codec_bench [--threads N] FILE.safetensors [KERNEL [CASE]]: codes every tensor of a real F32 or BF16 file in the ways that matter, decodes it, compares, and
// says what it took in CPU seconds. Fine-tunes are made from the file's own weights, with a seed: gaussian updates of a share of each tensor's deviation.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "mlxbase/format/hasher.h"
#include "mlxbase/format/safetensors.h"
#include "mlxcache/codec/codec.h"

namespace {

using namespace mlxcache::codec;
using Bytes = std::vector<std::byte>;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
double wall_seconds() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Tensor {
  Layout layout;
  std::vector<float> values;
};

std::uint16_t to_bf16(float f) {
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  return static_cast<std::uint16_t>((u + 0x7FFFU + (u >> 16 & 1U)) >> 16);
}
float from_bf16(std::uint16_t v) {
  const std::uint32_t u = std::uint32_t{v} << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
std::uint16_t to_f16(float f) {
  std::uint32_t u;
  std::memcpy(&u, &f, 4);
  const std::uint32_t sign = u >> 16 & 0x8000U;
  const int e = static_cast<int>(u >> 23 & 255U) - 112;
  std::uint32_t m = (u & 0x7FFFFFU) | 0x800000U;
  if (e >= 31) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (e < -10) return static_cast<std::uint16_t>(sign);
  const unsigned drop = e > 0 ? 13 : static_cast<unsigned>(14 - e);
  const std::uint32_t half = 1U << (drop - 1), odd = m >> drop & 1U;
  m = (m + half - 1 + odd) >> drop;
  return static_cast<std::uint16_t>(sign | (e > 0 ? ((static_cast<std::uint32_t>(e) - 1) << 10) + m : m));
}

Bytes bytes_of(const std::vector<float>& values, Dtype dtype) {
  Bytes out(values.size() * width_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == Dtype::f32) {
      std::memcpy(out.data() + 4 * i, &values[i], 4);
    } else {
      const std::uint16_t v = dtype == Dtype::bf16 ? to_bf16(values[i]) : to_f16(values[i]);
      std::memcpy(out.data() + 2 * i, &v, 2);
    }
  }
  return out;
}

std::vector<Tensor> load(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto bytes = std::as_bytes(std::span(text));
  const auto header = mlxbase::safetensors::parse_header(bytes).value();
  std::vector<Tensor> all;
  for (const auto& t : header.tensors) {
    const bool f32 = t.dtype == mlxbase::safetensors::Dtype::f32;
    if (!f32 && t.dtype != mlxbase::safetensors::Dtype::bf16) continue;
    const auto data = bytes.subspan(header.data_start() + t.begin, t.end - t.begin);
    Tensor tensor;
    tensor.values.resize(data.size() / (f32 ? 4 : 2));
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
      if (f32) {
        std::memcpy(&tensor.values[i], data.data() + 4 * i, 4);
      } else {
        std::uint16_t v;
        std::memcpy(&v, data.data() + 2 * i, 2);
        tensor.values[i] = from_bf16(v);
      }
    }
    const std::uint64_t rows = t.shape.size() < 2 ? 1 : t.shape[0];
    tensor.layout = {.dtype = Dtype::f32, .rows = rows, .columns = rows == 0 ? 0 : tensor.values.size() / rows};
    all.push_back(std::move(tensor));
  }
  return all;
}

double deviation(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const double n = static_cast<double>(std::max<std::size_t>(1, values.size()));
  return std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
}

struct Case {
  std::string name;
  Dtype dtype, base_dtype;
  double update = 0;  // of each tensor's deviation
  double rows = 1;    // share of rows that are updated
  bool with_base = false;
};

struct Sums {
  double size = 0, coded = 0, encode = 0, decode = 0, hash = 0, wall = 0;
};

void run(const Case& c, const std::vector<Tensor>& tensors, const Options& options) {
  std::mt19937_64 random(42);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<double> uniform;
  Sums s;
  for (const Tensor& t : tensors) {
    const Bytes base = bytes_of(t.values, c.base_dtype);
    std::vector<float> values = t.values;
    if (c.base_dtype == Dtype::bf16 && c.dtype == Dtype::bf16) {
      for (float& v : values) v = from_bf16(to_bf16(v));
    }
    if (c.update > 0) {
      const double scale = c.update * deviation(t.values);
      for (std::size_t r = 0; r < t.layout.rows; ++r) {
        if (c.rows < 1 && uniform(random) >= c.rows) continue;
        for (std::size_t i = r * t.layout.columns; i < (r + 1) * t.layout.columns; ++i) values[i] += static_cast<float>(scale) * normal(random);
      }
    }
    const Bytes tensor = bytes_of(values, c.dtype);
    Layout layout = t.layout, base_layout = t.layout;
    layout.dtype = c.dtype;
    base_layout.dtype = c.base_dtype;
    double before = cpu_seconds(), wall = wall_seconds();
    const auto coded = c.with_base ? encode(tensor, layout, base, &base_layout, options).value() : encode(tensor, layout, {}, nullptr, options).value();
    s.encode += cpu_seconds() - before;
    s.wall += wall_seconds() - wall;
    Bytes out(tensor.size());
    std::memset(out.data(), 1, out.size());
    before = cpu_seconds();
    const auto done = decode(coded, c.with_base && inspect(coded)->kind == Kind::delta ? std::span<const std::byte>(base) : std::span<const std::byte>(), out, options);
    s.decode += cpu_seconds() - before;
    if (!done || out != tensor) {
      fmt::print("{}: came back different ({})\n", c.name, done ? "in silence" : done.error().message);
      std::exit(1);
    }
    before = cpu_seconds();
    mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
    hasher.update(tensor);
    (void)hasher.finish();
    s.hash += cpu_seconds() - before;
    s.size += static_cast<double>(tensor.size());
    s.coded += static_cast<double>(coded.size());
  }
  fmt::print("| {:<26} | {:8.2f} | {:8.2f} | {:.4f} | {:6.0f} | {:6.0f} | {:6.0f} |\n", c.name, s.size / 1e6, s.coded / 1e6, s.coded / s.size, s.size / 1e6 / s.encode,
             s.size / 1e6 / (s.encode + s.hash), s.size / 1e6 / s.decode);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  int at = 1;
  if (argc > 2 && std::string(argv[1]) == "--threads") {
    options.threads = static_cast<unsigned>(std::stoi(argv[2]));
    at = 3;
  }
  if (at >= argc) {
    fmt::print(stderr, "usage: codec_bench [--threads N] FILE.safetensors [best|scalar|avx2|avx512|neon [CASE]]\n");
    return 2;
  }
  const auto tensors = load(argv[at]);
  for (const Kernel k : {Kernel::scalar, Kernel::avx2, Kernel::avx512, Kernel::neon}) {
    if (at + 1 < argc && to_string(k) == argv[at + 1]) options.kernel = k;
  }
  fmt::print("kernel {} of {}, {} threads; MB per CPU second\n\n", to_string(options.kernel), kernels().size(), options.threads);
  fmt::print("| {:<26} | {:>8} | {:>8} | {:6} | {:6} | {:6} | {:6} |\n|---|---|---|---|---|---|---|\n", "case", "MB", "coded", "ratio", "encode", "+sha256", "decode");
  const Case cases[] = {
      {"BF16 alone", Dtype::bf16, Dtype::bf16},
      {"F16 alone", Dtype::f16, Dtype::f16},
      {"F32 alone", Dtype::f32, Dtype::f32},
      {"BF16 light 1e-3", Dtype::bf16, Dtype::bf16, 1e-3, 1, true},
      {"BF16 mid 1e-2", Dtype::bf16, Dtype::bf16, 1e-2, 1, true},
      {"BF16 heavy 5e-2", Dtype::bf16, Dtype::bf16, 5e-2, 1, true},
      {"BF16 sparse rows 10 %", Dtype::bf16, Dtype::bf16, 1e-2, 0.1, true},
      {"F32 mid 1e-2", Dtype::f32, Dtype::f32, 1e-2, 1, true},
      {"F16 mid 1e-2", Dtype::f16, Dtype::f16, 1e-2, 1, true},
      {"F32 with BF16 twin", Dtype::f32, Dtype::bf16, 0, 1, true},
      {"F32 with F16 twin", Dtype::f32, Dtype::f16, 0, 1, true},
  };
  for (const Case& c : cases) {
    if (at + 2 >= argc || c.name.find(argv[at + 2]) != std::string::npos) run(c, tensors, options);
  }
  return 0;
}
