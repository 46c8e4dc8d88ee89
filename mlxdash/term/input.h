#pragma once
// From the bytes of a terminal to what the person did. Pure; sequences may come in pieces.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlxdash::term {

enum class Key : std::uint8_t { character, up, down, left, right, page_up, page_down, home, end, tab, back_tab, enter, escape, click, wheel_up, wheel_down };

struct Event {
  Key key{};
  char character = 0;  // of Key::character
  int x = 0, y = 0;    // of the mouse, from 0
  friend bool operator==(const Event&, const Event&) = default;
};

class Input {
 public:
  /// Takes bytes as they come. A lone escape is only told apart from the beginning of a sequence by pause().
  std::vector<Event> feed(std::string_view bytes);
  /// Nothing has come for a while: what was begun ends.
  std::vector<Event> pause();
  bool in_sequence() const { return !held_.empty(); }

 private:
  std::string held_;
};

}  // namespace mlxdash::term
