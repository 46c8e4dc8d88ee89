#include "mlxdash/term/colour.h"

#include <fmt/format.h>

namespace mlxdash::term {
namespace {

struct Shade {
  const char* sixteen;
  unsigned many;
  unsigned char r, g, b;
};
// In the order of Ink.
constexpr Shade kShades[] = {
    {"39", 252, 0xD0, 0xD0, 0xD0},  // plain
    {"90", 245, 0x8A, 0x8A, 0x8A},  // dim
    {"36", 80, 0x5F, 0xD7, 0xD7},   // title
    {"32", 114, 0x87, 0xD7, 0x87},  // good
    {"33", 221, 0xFF, 0xD7, 0x5F},  // warn
    {"31", 203, 0xFF, 0x5F, 0x5F},  // bad
    {"34", 111, 0x87, 0xAF, 0xFF},  // accent
    {"90", 240, 0x58, 0x58, 0x58},  // border
    {"36", 73, 0x5F, 0xAF, 0xAF},   // chart
    {"36", 80, 0x5F, 0xD7, 0xD7},   // selected
};

}  // namespace

Depth depth_of(const mlxbase::os::Environment& environment) {
  if (environment.get_nonempty("NO_COLOR")) return Depth::none;
  const std::string term = environment.get_nonempty("TERM").value_or("");
  if (term.empty() || term == "dumb" || term == "vt100" || term == "vt220") return Depth::none;
  const std::string deep = environment.get_nonempty("COLORTERM").value_or("");
  if (deep == "truecolor" || deep == "24bit" || term.ends_with("-direct")) return Depth::full;
  if (term.find("256") != std::string::npos || term.starts_with("tmux") || term.starts_with("foot") || term.starts_with("alacritty") || term.starts_with("xterm-kitty")) {
    return Depth::many;
  }
  return Depth::sixteen;
}

std::string sequence_of(view::Ink ink, bool bold, Depth depth) {
  const Shade& shade = kShades[static_cast<std::size_t>(ink)];
  std::string out = bold ? "\x1b[0;1" : "\x1b[0";
  if (ink == view::Ink::selected) out += ";7";
  switch (depth) {
    case Depth::none:
      if (ink == view::Ink::bad && !bold) out += ";1";  // without colours, weight must say it
      break;
    case Depth::sixteen: out += fmt::format(";{}", shade.sixteen); break;
    case Depth::many:
      if (ink != view::Ink::plain) out += fmt::format(";38;5;{}", shade.many);
      break;
    case Depth::full:
      if (ink != view::Ink::plain) out += fmt::format(";38;2;{};{};{}", shade.r, shade.g, shade.b);
      break;
  }
  return out + "m";
}

}  // namespace mlxdash::term
