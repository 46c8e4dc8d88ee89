#pragma once
// How many cells of a terminal a character takes.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mlxbase {

/// Takes one code point off the front of well-formed UTF-8 (which is not empty).
std::uint32_t take_point(std::string_view& text);
/// 0 for combining marks and joiners, 2 for East Asian wide and emoji, else 1.
std::size_t cells_of(std::uint32_t point);
/// Cells of well-formed, printable() text without escape sequences.
std::size_t width_of(std::string_view text);

}  // namespace mlxbase
