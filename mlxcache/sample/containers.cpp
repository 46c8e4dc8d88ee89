#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::sample {
namespace {

/// splitmix64: small, and the same everywhere.
struct Noise {
  std::uint64_t state;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
};

void append_noise(std::string& out, std::uint64_t seed, std::size_t count) {
  Noise noise{seed};
  out.reserve(out.size() + count);
  while (count > 0) {
    std::uint64_t word = noise.next();
    for (int i = 0; i < 8 && count > 0; ++i, --count) {
      out.push_back(static_cast<char>(word & 0xFFU));
      word >>= 8U;
    }
  }
}

constexpr std::size_t kElement = 2;  // bytes of a BF16 or F16

}  // namespace

std::string safetensors_bytes(std::uint64_t seed, std::size_t bytes, std::size_t tensors) {
  tensors = std::max<std::size_t>(tensors, 1);
  const std::size_t elements = std::max<std::size_t>(bytes / tensors / kElement, 1);
  std::string header = R"({"__metadata__":{"format":"pt"})";
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::size_t begin = i * elements * kElement;
    header += R"(,"model.layers.)" + std::to_string(i) + R"(.weight":{"dtype":"BF16","shape":[)" + std::to_string(elements) +
              R"(],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(begin + elements * kElement) + "]}";
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');  // writers align the data to 8 bytes
  mlxbase::ByteWriter length;
  length.put(static_cast<std::uint64_t>(header.size()));
  std::string out(mlxbase::as_text(length.bytes()));
  out += header;
  append_noise(out, seed, tensors * elements * kElement);
  return out;
}

std::string gguf_bytes(std::uint64_t seed, std::size_t bytes) {
  constexpr std::uint32_t kVersion = 3;
  constexpr std::uint32_t kTypeString = 8;
  constexpr std::uint32_t kTensorF16 = 1;
  constexpr std::size_t kAlignment = 32;  // general.alignment's default
  const std::uint64_t elements = std::max<std::uint64_t>(bytes / kElement / 32 * 32, 32);

  mlxbase::ByteWriter w;
  const auto text = [&w](std::string_view s) {  // GGUF strings have a 64-bit length
    w.put(static_cast<std::uint64_t>(s.size()));
    w.put_bytes(mlxbase::as_bytes(s));
  };
  w.put_bytes(mlxbase::as_bytes("GGUF"));
  w.put(kVersion);
  w.put(std::uint64_t{1});  // tensors
  w.put(std::uint64_t{2});  // key-value pairs
  text("general.architecture");
  w.put(kTypeString);
  text("llama");
  text("general.name");
  w.put(kTypeString);
  text("sample-" + std::to_string(seed));
  text("token_embd.weight");
  w.put(std::uint32_t{1});  // dimensions
  w.put(elements);
  w.put(kTensorF16);
  w.put(std::uint64_t{0});  // offset in the data part
  std::string out(mlxbase::as_text(w.bytes()));
  out.append((kAlignment - out.size() % kAlignment) % kAlignment, '\0');
  append_noise(out, seed, elements * kElement);
  return out;
}

}  // namespace mlxcache::sample
