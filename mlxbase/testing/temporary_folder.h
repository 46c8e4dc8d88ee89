#pragma once
// A real folder for one test, gone with it.
#include <cstdint>
#include <string>
#include <string_view>

namespace mlxbase::testing {

class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const;
  /// Writes a file (and the folders above it), replacing what was there. Gives its path.
  std::string write(std::string_view name, std::string_view content) const;

 private:
  std::string path_;  // every symlink resolved (macOS: /var is one)
};

/// The bytes of a real file; dies if it cannot be read.
std::string read_all(const std::string& path);
/// Bytes without pattern, the same for the same seed.
std::string noise(std::size_t size, std::uint64_t seed);

}  // namespace mlxbase::testing
