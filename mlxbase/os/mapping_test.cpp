#include "mlxbase/os/mapping.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/os/file_system.h"
#include "mlxbase/testing/temporary_folder.h"

namespace mlxbase::os {
namespace {

/// A file of that many bytes 0x5A, gone at the end.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) {
    path = folder_ / "file";
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const std::vector<char> content(bytes, 0x5A);
    EXPECT_EQ(::write(descriptor_, content.data(), content.size()), static_cast<ssize_t>(bytes));
  }
  ~Scratch() { ::close(descriptor_); }
  void shorten(std::size_t bytes) const { EXPECT_EQ(::ftruncate(descriptor_, static_cast<off_t>(bytes)), 0); }
  std::string path;

 private:
  testing::TemporaryFolder folder_;
  int descriptor_ = -1;
};

Mapping mapped(const std::string& path) {
  auto file = real_file_system().open_read(path);
  EXPECT_TRUE(file);
  auto mapping = Mapping::of(**file, path);
  EXPECT_TRUE(mapping);
  return std::move(*mapping);
}

TEST(Mapping, IsTheFile) {
  const Scratch scratch(100'000);
  const Mapping mapping = mapped(scratch.path);
  ASSERT_EQ(mapping.bytes().size(), 100'000U);
  EXPECT_TRUE(std::all_of(mapping.bytes().begin(), mapping.bytes().end(), [](std::byte b) { return b == std::byte{0x5A}; }));
  EXPECT_FALSE(mapping.damaged());
}

TEST(Mapping, SurvivesAFileThatIsCutShortAndSaysSo) {
  const Scratch scratch(1'000'000), other(100'000);
  const Mapping whole = mapped(other.path);
  Mapping first = mapped(scratch.path);
  const Mapping mapping = std::move(first);
  scratch.shorten(100'000);
  std::size_t zeros = 0;
  for (const std::byte b : mapping.bytes()) zeros += b == std::byte{0} ? 1 : 0;
  EXPECT_GT(zeros, 800'000U) << "what is gone reads as zeros";
  EXPECT_EQ(mapping.bytes()[50'000], std::byte{0x5A});
  EXPECT_TRUE(mapping.damaged());
  EXPECT_FALSE(whole.damaged());
  EXPECT_FALSE(mapped(other.path).damaged()) << "a new mapping begins anew";
}

}  // namespace
}  // namespace mlxbase::os
