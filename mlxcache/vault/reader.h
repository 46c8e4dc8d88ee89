#pragma once
// Frozen files by offset: a byte is read by decoding the block of 256 KiB that it lies in, not the whole object. What lately was decoded is kept.
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"
#include "mlxcache/vault/frozen.h"
#include "mlxcache/vault/vault.h"

namespace mlxcache::vault {

class FrozenFile;

/// For several threads at once. Memory: `cache_bytes` of decoded blocks, about 30 MiB of coders' tables, and a few blocks a thread.
/// Checksums of what a read touches are compared (CRC-32C of the pack's blocks, the codec's own); the SHA-256 of a whole object or file is not:
/// that is what read_back() and `vault verify` are for.
class Reader {
 public:
  static constexpr std::uint64_t kUsualCache = std::uint64_t{64} << 20U;
  /// The vault must outlive it, open to be read or to be written.
  explicit Reader(Vault& vault, std::uint64_t cache_bytes = kUsualCache);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// Fills `out` with the object's bytes from `offset`. Errors: not_found, invalid (beyond its end), corrupt (names pack and range), unsupported, io.
  mlxbase::Status read(const Digest& object, std::uint64_t offset, std::span<std::byte> out);

  /// A file of a frozen model; another name of the same inode gives the same bytes. The reader must outlive it.
  /// Errors: invalid (that name is no file).
  mlxbase::Result<FrozenFile> open(std::shared_ptr<const FrozenModel> model, std::size_t name);

  /// What it has done: for tests and measurements.
  struct Counts {
    std::uint64_t decoded_blocks = 0;
    std::uint64_t found_blocks = 0;   // that were kept from before
    std::uint64_t opened_objects = 0;
    std::uint64_t kept_bytes = 0;     // now
  };
  Counts counts() const;

 private:
  friend class FrozenFile;
  struct Object;
  using Block = std::shared_ptr<const std::vector<std::byte>>;
  using Key = std::pair<Digest, std::uint64_t>;  // object and number of the block
  struct Kept {
    Key key;
    Block block;
  };

  mlxbase::Result<std::shared_ptr<const Object>> object(const Digest& digest);
  mlxbase::Status read_object(const Object& object, std::uint64_t offset, std::span<std::byte> out);
  mlxbase::Result<Block> block(const Object& object, std::uint64_t number);
  Block find_block(const Key& key);
  void keep_block(Key key, Block block);

  Vault& vault_;
  std::uint64_t cache_bytes_;
  mutable std::mutex mutex_;  // of everything below, but the turns
  std::list<Kept> blocks_;    // the latest used first
  std::map<Key, std::list<Kept>::iterator> by_key_;
  std::list<std::pair<Digest, std::shared_ptr<const Object>>> objects_;  // the latest used first
  Counts counts_;
  /// So that two threads do not decode the same block at the same time. One set for objects of each depth: who holds one waits only for less deep ones.
  std::array<std::array<std::mutex, 16>, kMaxDepth + 1> turns_;
};

/// Bytes of a file that is frozen. Copyable; several threads at once.
class FrozenFile {
 public:
  std::uint64_t size() const { return name_->size; }
  const FrozenName& name() const { return *name_; }
  /// Fills `out` from `offset`; fewer bytes only at the end of the file. Errors: as Reader::read.
  mlxbase::Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> out) const;
  /// For a parser of headers (format/safetensors.h, format/gguf.h). The reader must outlive it.
  mlxbase::ByteSource source() const;
  /// The first byte at or behind `offset` that was written (`data`), or that lies in a hole; the file's size if there is none.
  std::uint64_t seek(std::uint64_t offset, bool data) const;

 private:
  friend class Reader;
  FrozenFile(Reader& reader, std::shared_ptr<const FrozenModel> model, const FrozenName& name);
  std::size_t segment_at(std::uint64_t offset) const;

  Reader* reader_;
  std::shared_ptr<const FrozenModel> model_;
  const FrozenName* name_;
  std::shared_ptr<const std::vector<std::uint64_t>> ends_;  // of its segments
};

/// A tensor of a frozen file.
struct TensorPlace {
  std::string name;
  std::string dtype;                 // as the format spells it: "BF16", "Q4_K"
  std::vector<std::uint64_t> shape;  // rows first
  std::uint64_t offset = 0;          // in the file
  std::uint64_t length = 0;
};
/// Of a safetensors or GGUF file. Errors: unsupported (it is neither), corrupt, those of reading.
mlxbase::Result<std::vector<TensorPlace>> list_tensors(const FrozenFile& file);
/// One of them, whole. Errors: not_found (no tensor has that name), those of list_tensors.
mlxbase::Result<std::vector<std::byte>> read_tensor(const FrozenFile& file, std::string_view name);

}  // namespace mlxcache::vault
