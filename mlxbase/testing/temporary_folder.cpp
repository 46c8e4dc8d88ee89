#include "mlxbase/testing/temporary_folder.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace mlxbase::testing {

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mlxcache-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::perror("mkdtemp"), std::abort();
  path_ = std::filesystem::canonical(pattern).string();
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

std::string TemporaryFolder::write(std::string_view name, std::string_view content) const {
  const std::string path = *this / name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::filesystem::remove(path);
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  if (!out.flush()) std::perror(path.c_str()), std::abort();
  return path;
}

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) std::perror(path.c_str()), std::abort();
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string noise(std::size_t size, std::uint64_t seed) {
  std::string out(size, '\0');
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (char& c : out) {
    x ^= x << 13U, x ^= x >> 7U, x ^= x << 17U;
    c = static_cast<char>(x >> 56U);
  }
  return out;
}

}  // namespace mlxbase::testing
