#include "mlxdash/collect/text.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <span>

#include "mlxbase/core/printable.h"

namespace mlxdash::collect {

using mlxbase::Code;
using mlxbase::Result;
namespace os = mlxbase::os;

Result<std::string> read_kernel_file(os::FileSystem& fs, const std::string& path, std::size_t limit) {
  auto file = TRY(fs.open_read(path, os::Follow::yes));
  std::string text;
  std::array<char, 16384> piece;  // filled by the read
  for (;;) {
    const std::size_t got = TRY(file->pread(text.size(), std::as_writable_bytes(std::span{piece})));
    if (got == 0) return text;
    text.append(piece.data(), got);
    if (text.size() > limit) return mlxbase::fail(Code::invalid, fmt::format("read {}: more than {} bytes", mlxbase::printable(path), limit));
  }
}

std::string_view take_word(std::string_view& text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    text = {};
    return {};
  }
  text.remove_prefix(begin);
  const auto end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  return word;
}

bool take_line(std::string_view& text, std::string_view& line) {
  if (text.empty()) return false;
  const auto end = text.find('\n');
  line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return true;
}

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<double> to_number(std::string_view text) {
  std::array<char, 64> copy{};
  if (text.empty() || text.size() >= copy.size() || text.front() == ' ') return std::nullopt;
  std::memcpy(copy.data(), text.data(), text.size());
  char* end = nullptr;
  const double value = std::strtod(copy.data(), &end);
  if (end != copy.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> read_integer(os::FileSystem& fs, const std::string& path) {
  const auto text = read_kernel_file(fs, path, 4096);
  if (!text) return std::nullopt;
  return to_integer<std::int64_t>(trimmed(*text));
}

}  // namespace mlxdash::collect
