#pragma once
// A file's bytes as memory, read only: weights are used where they lie, and programs that map the same file share its pages.
#include <cstddef>
#include <span>
#include <string>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxbase::os {

/// Ends with its life. Stores replace files, they do not shorten them; if somebody does it all the same, what is gone reads as zeros from then on and the
/// mapping is damaged(): a handler of SIGBUS, which the first mapping installs, puts pages of zeros there. Faults elsewhere end the process as ever.
class Mapping {
 public:
  /// All of an open file; the file may be closed afterwards. A file without a descriptor (a fake) is read into memory instead.
  /// Errors: io, out_of_memory.
  static Result<Mapping> of(File& file, const std::string& path);
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// Bytes that were asked for were gone, or could not be read: what was read since may be zeros. Any thread.
  bool damaged() const;

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

 private:
  Mapping() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  bool mapped_ = false;
  int guard_ = -1;  // its place in the handler's table
};

}  // namespace mlxbase::os
