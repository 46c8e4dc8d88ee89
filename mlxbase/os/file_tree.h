#pragma once
// Files that a program makes up and the kernel shows: what a mount asks of who has them. Read-only.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxbase::os {

/// Nodes are numbers that mean the same as long as the tree lives; the top folder is kTop. Everything may be called by several threads at once.
class FileTree {
 public:
  static constexpr std::uint64_t kTop = 1;

  struct Node {
    FileKind kind = FileKind::unknown;  // regular, directory or symlink
    std::uint32_t mode = 0;             // permission bits
    std::uint64_t inode = 0;            // equal for names of one file
    std::uint64_t links = 1;
    std::uint64_t size = 0;
    std::uint64_t allocated_bytes = 0;
    std::int64_t mtime_ns = 0;
  };
  struct Name {
    std::string name;
    std::uint64_t node = 0;
    FileKind kind = FileKind::unknown;
  };

  virtual ~FileTree() = default;
  /// Errors: not_found.
  virtual Result<std::uint64_t> find(std::uint64_t folder, std::string_view name) = 0;
  virtual Result<Node> node(std::uint64_t node) = 0;
  virtual Result<std::uint64_t> parent(std::uint64_t folder) = 0;
  /// Names by ascending number of their node, from the first above `after` on, until `see` says false.
  virtual Status list(std::uint64_t folder, std::uint64_t after, const std::function<bool(const Name&)>& see) = 0;
  /// Fewer bytes only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t file, std::uint64_t offset, std::span<std::byte> out) = 0;
  /// These bytes will probably be asked for next: a chance to make them ready.
  virtual void expect(std::uint64_t /*file*/, std::uint64_t /*offset*/, std::uint64_t /*length*/) {}
  virtual Result<std::string> read_link(std::uint64_t link) = 0;
  /// The first byte at or behind `offset` that is data, or in a hole. Errors: not_found (nothing of that follows).
  virtual Result<std::uint64_t> seek(std::uint64_t file, std::uint64_t offset, bool data) = 0;
  virtual Result<std::vector<ExtendedAttribute>> attributes(std::uint64_t node) = 0;
  /// Of all files.
  virtual std::uint64_t total_bytes() = 0;
};

}  // namespace mlxbase::os
