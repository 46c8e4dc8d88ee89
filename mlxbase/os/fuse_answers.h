#pragma once
// The kernel's questions about a FileTree and their answers, as bytes. Linux, FUSE protocol 7.23 to 7.38 (uapi/linux/fuse.h).
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mlxbase/os/file_tree.h"

namespace mlxbase::os {

/// For several threads at once, each with its own Room.
class FuseAnswers {
 public:
  FuseAnswers(FileTree& tree, std::uint32_t uid, std::uint32_t gid) : tree_(tree), uid_(uid), gid_(gid) {}

  static constexpr std::size_t kRequestBytes = 64 * 1024;      // room for the longest question: nothing is written to us
  static constexpr std::size_t kMostRead = std::size_t{1} << 20U;

  /// What follows a question that was answered.
  struct Ahead {
    std::uint64_t file = 0;  // 0: nothing
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  struct Room {
    std::vector<std::byte> bytes;
    Ahead ahead;
  };
  /// The answer with its header, in `room`; empty where the kernel waits for none. Whatever the question holds, nothing worse than an error comes of it.
  std::span<const std::byte> answer(std::span<const std::byte> question, Room& room);

 private:
  FileTree& tree_;
  std::uint32_t uid_;
  std::uint32_t gid_;
  // Where the latest reads ended, by file: whoever goes on there reads in order.
  struct Last {
    std::atomic<std::uint64_t> file{0};
    std::atomic<std::uint64_t> end{0};
  };
  std::array<Last, 64> last_;
};

}  // namespace mlxbase::os
