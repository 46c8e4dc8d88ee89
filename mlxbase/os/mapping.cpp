#include "mlxbase/os/mapping.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <new>
#include <utility>

#include "mlxbase/core/printable.h"

namespace mlxbase::os {

Result<Mapping> Mapping::of(File& file, const std::string& path) {
  const FileStat stat = TRY(file.stat());
  Mapping made;
  made.size_ = static_cast<std::size_t>(stat.size);
  if (made.size_ == 0) return made;
  if (file.descriptor() >= 0) {
    void* const at = ::mmap(nullptr, made.size_, PROT_READ, MAP_SHARED, file.descriptor(), 0);
    if (at == MAP_FAILED) return fail(errno_error(errno, fmt::format("map {}", printable(path))));
    made.data_ = static_cast<const std::byte*>(at);
    made.mapped_ = true;
    return made;
  }
  auto* const copy = new (std::nothrow) std::byte[made.size_];
  if (copy == nullptr) return fail(Code::out_of_memory, fmt::format("read {}: {} bytes of memory are not to be had", printable(path), made.size_));
  made.data_ = copy;
  const std::size_t read = TRY(file.pread(0, std::span(copy, made.size_)));
  if (read != made.size_) return fail(Code::changed, fmt::format("read {}: it became shorter meanwhile", printable(path)));
  return made;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), mapped_(std::exchange(other.mapped_, false)) {}
Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_, other.mapped_);
  return *this;
}
Mapping::~Mapping() {
  if (data_ == nullptr) return;
  if (mapped_) {
    ::munmap(const_cast<std::byte*>(data_), size_);
  } else {
    delete[] data_;
  }
}

}  // namespace mlxbase::os
