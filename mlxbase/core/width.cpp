#include "mlxbase/core/width.h"

#include <algorithm>
#include <iterator>

namespace mlxbase {
namespace {

struct Span {
  std::uint32_t first, last;
};
// Cells of two: East Asian wide and emoji blocks (Unicode 15, EastAsianWidth W and F, whole blocks). Near enough for columns.
constexpr Span kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},  {0x4E00, 0x9FFF},
                          {0xA000, 0xA4CF},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},  {0xFE30, 0xFE6F},
                          {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF},
                          {0x20000, 0x3FFFD}};
// Cells of none: combining marks, joiners, variation selectors.
constexpr Span kNarrowest[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
                               {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D},
                               {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}};

template <std::size_t N>
bool within(const Span (&spans)[N], std::uint32_t point) {
  return std::any_of(std::begin(spans), std::end(spans), [&](const Span& s) { return point >= s.first && point <= s.last; });
}

}  // namespace

std::uint32_t take_point(std::string_view& text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  length = std::min(length, text.size());
  std::uint32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) point = point << 6U | (static_cast<unsigned char>(text[i]) & 0x3FU);
  text.remove_prefix(length);
  return point;
}

std::size_t cells_of(std::uint32_t point) {
  if (point < 0x300) return 1;
  if (within(kNarrowest, point)) return 0;
  return within(kWide, point) ? 2 : 1;
}

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) width += cells_of(take_point(text));
  return width;
}

}  // namespace mlxbase
