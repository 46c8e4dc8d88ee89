#pragma once
// Private to this room: a pack on disk, and the one that is being written.
#include <memory>

#include "mlxbase/format/byte_source.h"
#include "mlxcache/vault/vault.h"

namespace mlxcache::vault {

struct Vault::Pack {
  std::string path;
  std::uint64_t salt = 0;
  std::uint64_t size = 0;                        // while it is open
  std::shared_ptr<mlxbase::os::File> file;       // null: not open
  bool damaged = false;                          // it may hold more than could be read
  bool gone = false;                             // nothing has its name any more, as far as the last look showed
};

struct Vault::Writer {
  std::uint32_t pack = 0;
  std::vector<Entry> entries;
};

/// As a head keeps it: dtype u8, columns u64, rows u64, values u16.
std::string encode_sketch(const codec::Sketch& sketch);
/// Nothing if the head has none, or not of this form.
std::optional<codec::Sketch> sketch_of(const Head& head);
/// The codec's view of a layout, for so many bytes.
codec::Layout codec_layout(const Layout& layout, std::uint64_t bytes);

/// The file must outlive it.
inline mlxbase::ByteSource source_of(mlxbase::os::File& file, std::uint64_t size) {
  return {size, [&file](std::uint64_t offset, std::span<std::byte> out) { return file.pread(offset, out); }};
}

}  // namespace mlxcache::vault
