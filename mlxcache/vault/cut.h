#pragma once
// Where a file is cut so that equal and similar tensors meet: at tensor borders where its format is known, else where its content says.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"
#include "mlxcache/vault/object.h"

namespace mlxcache::vault {

struct Cut {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  Layout layout;
  friend bool operator==(const Cut&, const Cut&) = default;
};

/// A run of a file that was written; between runs are holes.
struct Run {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct Cuts {
  std::string_view format;  // how the file was understood, for people: "safetensors", "gguf", "zip", "onnx", "ctranslate2", "chunks"
  std::vector<Cut> cuts;    // in order; exactly the runs; none empty, none longer than kMaxObjectBytes
};

/// Reads headers, and where no format is known all runs (in order, none empty). Errors: those of the source.
mlxbase::Result<Cuts> cut_file(const mlxbase::ByteSource& source, std::span<const Run> runs);

// For the formats' own files; private to this room.

/// Gathers tensors in the order of a file, fills what lies between, and cuts what is long at rows.
class Cutter {
 public:
  explicit Cutter(std::uint64_t file_size) : size_(file_size) {}
  /// row_elements: of the tensor that it was made from, if it was; 0: `columns`.
  /// A tensor behind the last one; what overlaps it, leaves the file or is short goes with the bytes around it.
  void tensor(std::uint64_t offset, std::uint64_t length, Dtype dtype, std::uint64_t columns, std::uint64_t row_bytes, std::uint64_t row_elements = 0);
  std::vector<Cut> finish();
  bool has_tensors() const { return tensors_; }

 private:
  void raw(std::uint64_t to);

  std::uint64_t size_;
  std::uint64_t at_ = 0;
  bool tensors_ = false;
  std::vector<Cut> cuts_;
};

/// Bytes of one element; 1 for what has none.
std::uint64_t unit_bytes(Dtype dtype);

/// Nothing if it is no ZIP archive, or one whose members are all packed.
std::optional<std::vector<Cut>> cut_zip(const mlxbase::ByteSource& source);

/// Nothing if it is none, or has no weights of its own (they lie in a file beside it).
std::optional<std::vector<Cut>> cut_onnx(const mlxbase::ByteSource& source);
/// Nothing if it is none.
std::optional<std::vector<Cut>> cut_ctranslate2(const mlxbase::ByteSource& source);

/// Cuts by content: the same bytes elsewhere are cut alike.
mlxbase::Result<std::vector<Cut>> cut_by_content(const mlxbase::ByteSource& source, std::uint64_t from, std::uint64_t to);

}  // namespace mlxcache::vault
