#pragma once
// What colours a terminal has, and the escape sequence for what a cell means.
#include <cstdint>
#include <string>

#include "mlxbase/os/environment.h"
#include "mlxdash/view/grid.h"

namespace mlxdash::term {

enum class Depth : std::uint8_t { none, sixteen, many, full };  // full: 24 bits

/// NO_COLOR, COLORTERM, TERM.
Depth depth_of(const mlxbase::os::Environment& environment);
/// Sets ink and weight, from whatever was set before.
std::string sequence_of(view::Ink ink, bool bold, Depth depth);

}  // namespace mlxdash::term
