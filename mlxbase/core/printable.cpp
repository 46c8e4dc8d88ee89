#include "mlxbase/core/printable.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

namespace mlxbase {
namespace {

/// Length of the well-formed sequence at the start of `s` and its code point; 0 if there is none.
std::size_t decode(std::string_view s, std::uint32_t& point) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    point = lead;
    return 1;
  }
  std::size_t length = 0;
  std::uint32_t least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2, least = 0x80, point = lead & 0x1FU;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3, least = 0x800, point = lead & 0x0FU;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, least = 0x10000, point = lead & 0x07U;
  } else {
    return 0;
  }
  if (s.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return 0;
    point = point << 6U | (byte(i) & 0x3FU);
  }
  if (point < least || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return 0;
  return length;
}

/// How many bytes at the start of `s` are ASCII: nearly all, of nearly every name.
std::size_t ascii(std::string_view s) {
  constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;
  std::size_t n = 0;
  for (std::uint64_t eight = 0; s.size() - n >= sizeof eight; n += sizeof eight) {
    std::memcpy(&eight, s.data() + n, sizeof eight);
    if ((eight & kHighBits) != 0) break;
  }
  while (n < s.size() && static_cast<unsigned char>(s[n]) < 0x80) ++n;
  return n;
}

bool deceives(std::uint32_t p) {
  return p < 0x20 || (p >= 0x7F && p < 0xA0) || p == 0x061C || p == 0x200E || p == 0x200F || p == 0x2028 || p == 0x2029 ||
         (p >= 0x202A && p <= 0x202E) || (p >= 0x2066 && p <= 0x2069) || p == 0xFEFF;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  std::uint32_t point = 0;
  for (;;) {
    bytes.remove_prefix(ascii(bytes));
    if (bytes.empty()) break;
    const std::size_t n = decode(bytes, point);
    if (n == 0) return false;
    bytes.remove_prefix(n);
  }
  return true;
}

std::string printable(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  std::uint32_t point = 0;
  while (!bytes.empty()) {
    std::size_t n = decode(bytes, point);
    if (n == 0) {
      n = 1;
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0]));
    } else if (deceives(point)) {
      out += point < 0x80 ? fmt::format("\\x{:02x}", point) : fmt::format("\\u{{{:x}}}", point);
    } else {
      out.append(bytes.substr(0, n));
    }
    bytes.remove_prefix(n);
  }
  return out;
}

std::string to_utf8(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size());
  std::uint32_t point = 0;
  while (!bytes.empty()) {
    std::size_t n = decode(bytes, point);
    if (n == 0) {
      n = 1;
      out += "\xEF\xBF\xBD";
    } else {
      out.append(bytes.substr(0, n));
    }
    bytes.remove_prefix(n);
  }
  return out;
}

}  // namespace mlxbase
