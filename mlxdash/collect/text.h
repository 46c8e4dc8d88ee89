#pragma once
// Small pieces for reading the kernel's text files: bounded, exact, and empty where a number is none.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"

namespace mlxdash::collect {

/// Reads a file of the kernel, whose size is not told beforehand. Errors: as open and read; invalid (more than `limit` bytes).
mlxbase::Result<std::string> read_kernel_file(mlxbase::os::FileSystem& fs, const std::string& path, std::size_t limit = std::size_t{4} << 20U);

/// Takes the next word off the front; empty at the end.
std::string_view take_word(std::string_view& text);
/// Takes the next line off the front, without its end. False when there is none left.
bool take_line(std::string_view& text, std::string_view& line);
std::string_view trimmed(std::string_view text);

template <class T = std::uint64_t>
std::optional<T> to_integer(std::string_view text, int base = 10) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}
/// "1.5", "1e-3", "NaN", "+Inf". The whole text must be the number.
std::optional<double> to_number(std::string_view text);

/// A file that holds one integer ("milli degrees"), or nothing where it cannot be read.
std::optional<std::int64_t> read_integer(mlxbase::os::FileSystem& fs, const std::string& path);

}  // namespace mlxdash::collect
