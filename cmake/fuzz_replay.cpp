// Runs a fuzz target over its corpus (and over every prefix and some byte flips of each small file) as an ordinary test.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  std::size_t runs = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++runs;
      if (bytes.size() > 4096) continue;  // cutting everywhere is quadratic
      for (std::size_t n = 0; n < bytes.size(); ++n) {
        const std::vector<std::uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
        LLVMFuzzerTestOneInput(cut.data(), cut.size());
        const std::uint8_t saved = bytes[n];
        for (const std::uint8_t flip : {0x01, 0x80, 0xff}) {
          bytes[n] = static_cast<std::uint8_t>(saved ^ flip);
          LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
          ++runs;
        }
        bytes[n] = saved;
        ++runs;
      }
    }
  }
  std::printf("%zu inputs\n", runs);
  return runs > 0 ? 0 : 1;
}
