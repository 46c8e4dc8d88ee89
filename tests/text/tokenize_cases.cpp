// Encodes and decodes for the oracle suites. Usage: tokenize_cases <tokenizer.json or .gguf> <file of texts>
// The file: texts, each as u32 length and bytes. Printed, for each: u32 count, that many u32 ids (with special tokens; without them if the
// file is a GGUF), then u32 length and the bytes of the ids decoded, with special tokens left out; then u32 length and bytes of the same
// from a stream. All little-endian. Usage: tokenize_cases --time <tokenizer.json or .gguf> <file> : processor time: milliseconds to load,
// bytes and tokens a second.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>

#include "mlxhub/text/tokenizer.h"

namespace text = mlxhub::text;

namespace {

std::string read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

mlxbase::Result<text::Tokenizer> load(const std::string& path, const std::string& bytes) {
  if (!path.ends_with(".gguf")) return text::Tokenizer::from_json(bytes);
  const auto header =
      TRY(mlxbase::gguf::read_header(mlxbase::ByteSource::of(mlxbase::as_bytes(bytes)), {.kept_array_bytes = std::size_t{256} << 20U}));
  return text::Tokenizer::from_gguf(header);
}

void put(std::string_view bytes) {
  const auto n = static_cast<std::uint32_t>(bytes.size());
  std::fwrite(&n, 4, 1, stdout);
  std::fwrite(bytes.data(), 1, bytes.size(), stdout);
}

double seconds_since(std::clock_t begin) { return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC; }

int refuse(const mlxbase::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool timing = argc == 4 && std::strcmp(argv[1], "--time") == 0;
  if (argc != 3 && !timing) return 2;
  const std::string source = read(argv[argc - 2]), input = read(argv[argc - 1]);
  const bool gguf = std::string_view(argv[argc - 2]).ends_with(".gguf");
  const auto begin = std::clock();
  const auto tokenizer = load(argv[argc - 2], source);
  if (!tokenizer) return refuse(tokenizer.error());
  if (timing) {
    const double loaded = seconds_since(begin);
    double best = 1e9;
    std::size_t tokens = 0;
    for (int i = 0; i < 5; ++i) {
      const auto start = std::clock();
      const auto ids = tokenizer->encode(input, false);
      if (!ids) return refuse(ids.error());
      tokens = ids->size();
      best = std::min(best, seconds_since(start));
    }
    std::printf("load %.0f ms, encode %.2f MB/s, %.2f million tokens/s\n", loaded * 1e3, static_cast<double>(input.size()) / best / 1e6,
                static_cast<double>(tokens) / best / 1e6);
    return 0;
  }
  for (std::size_t at = 0; at + 4 <= input.size();) {
    std::uint32_t n = 0;
    std::memcpy(&n, input.data() + at, 4);
    at += 4;
    const auto ids = tokenizer->encode(std::string_view(input).substr(at, n), !gguf);
    at += n;
    if (!ids) return refuse(ids.error());
    const auto count = static_cast<std::uint32_t>(ids->size());
    std::fwrite(&count, 4, 1, stdout);
    std::fwrite(ids->data(), 4, ids->size(), stdout);
    put(tokenizer->decode(*ids));
    text::Detokenizer stream(*tokenizer);
    std::string streamed;
    for (const text::TokenId id : *ids) streamed += stream.push(id);
    put(streamed + stream.finish());
  }
  return 0;
}
