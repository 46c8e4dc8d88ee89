#pragma once
// A frozen model or folder: its names, what belongs to their inodes, and of which objects their bytes are made. Format: docs/formats/vault.md.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/vault/object.h"

namespace mlxcache::vault {

/// A run of a file's bytes.
struct Segment {
  enum class What : std::uint8_t {
    literal = 0,  // `text` itself
    zeros = 1,    // bytes that are zero and were written
    object = 2,   // `length` bytes of an object from `offset`
    hole = 3,     // bytes that are zero because nobody wrote them
  };
  What what{};
  std::uint64_t length = 0;
  std::uint64_t offset = 0;
  Digest object;
  std::string text;
  friend bool operator==(const Segment&, const Segment&) = default;
};
inline constexpr std::size_t kMaxLiteralBytes = 1024;

struct FrozenName {
  std::string path;  // relative to FrozenModel::root; empty: the root itself
  mlxbase::os::FileKind kind = mlxbase::os::FileKind::regular;  // or directory, symlink
  mlxbase::os::Metadata metadata;
  std::string link_text;         // of a symlink
  std::uint32_t same_as = 0;     // of a further name of an inode: 1 + index of its first one; then nothing below is set
  std::uint64_t size = 0;
  Digest sha256;                 // of the whole file
  std::vector<Segment> segments;
  friend bool operator==(const FrozenName&, const FrozenName&) = default;
};

struct FrozenModel {
  std::string name;      // as `ls` prints it; of a folder: its path
  std::string revision;
  std::string store;     // adapter's name; empty: a plain folder
  std::string root;      // absolute: where the names lie
  std::int64_t frozen_at_ns = 0;
  std::string program;   // that froze it
  std::uint64_t bytes = 0;   // of its files, each inode once
  std::uint64_t stored = 0;  // what it added to the vault when it was frozen
  std::vector<FrozenName> names;
  friend bool operator==(const FrozenModel&, const FrozenModel&) = default;
};

/// Whole file: the same content twice, so that one damaged byte loses nothing.
std::vector<std::byte> encode_frozen(const FrozenModel& model);
struct ParsedFrozen {
  FrozenModel model;
  bool damaged = false;  // one of the two copies is
};
/// Everything in it is checked: paths stay below the root, segments add up to the size, names are unique. Errors: corrupt, unsupported.
mlxbase::Result<ParsedFrozen> parse_frozen(std::span<const std::byte> bytes);

}  // namespace mlxcache::vault
