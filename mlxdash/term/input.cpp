#include "mlxdash/term/input.h"

#include <charconv>
#include <optional>

namespace mlxdash::term {
namespace {

constexpr std::size_t kLongest = 64;  // no sequence that we know is longer

std::optional<Event> plain(char c) {
  if (c == '\t') return Event{.key = Key::tab};
  if (c == '\r' || c == '\n') return Event{.key = Key::enter};
  if (c >= 0x20 && c < 0x7F) return Event{.key = Key::character, .character = c};
  return std::nullopt;
}

/// "<0;12;5M": SGR mouse. Button 0 is the left one, 64 and 65 the wheel; 'm' is a release.
std::optional<Event> mouse(std::string_view body, char final) {
  int numbers[3] = {-1, -1, -1};
  body.remove_prefix(1);
  for (int& n : numbers) {
    const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), n);
    if (error != std::errc{}) return std::nullopt;
    body.remove_prefix(static_cast<std::size_t>(end - body.data()));
    if (!body.empty() && body.front() == ';') body.remove_prefix(1);
  }
  const Event at{.key = Key::click, .x = numbers[1] - 1, .y = numbers[2] - 1};
  if (numbers[0] == 64) return Event{.key = Key::wheel_up, .x = at.x, .y = at.y};
  if (numbers[0] == 65) return Event{.key = Key::wheel_down, .x = at.x, .y = at.y};
  if (numbers[0] == 0 && final == 'M') return at;
  return std::nullopt;
}

std::optional<Event> control(std::string_view body, char final) {
  if (body.starts_with('<') && (final == 'M' || final == 'm')) return mouse(body, final);
  switch (final) {
    case 'A': return Event{.key = Key::up};
    case 'B': return Event{.key = Key::down};
    case 'C': return Event{.key = Key::right};
    case 'D': return Event{.key = Key::left};
    case 'H': return Event{.key = Key::home};
    case 'F': return Event{.key = Key::end};
    case 'Z': return Event{.key = Key::back_tab};
    case '~':
      if (body == "5") return Event{.key = Key::page_up};
      if (body == "6") return Event{.key = Key::page_down};
      if (body == "1" || body == "7") return Event{.key = Key::home};
      if (body == "4" || body == "8") return Event{.key = Key::end};
      return std::nullopt;
    default: return std::nullopt;
  }
}

}  // namespace

std::vector<Event> Input::feed(std::string_view bytes) {
  std::vector<Event> events;
  const auto add = [&](const std::optional<Event>& event) {
    if (event) events.push_back(*event);
  };
  for (const char c : bytes) {
    if (held_.empty()) {
      if (c == '\x1b') {
        held_ = c;
      } else {
        add(plain(c));
      }
      continue;
    }
    if (held_.size() == 1) {
      if (c == '[' || c == 'O') {
        held_ += c;
      } else if (c == '\x1b') {
        add(Event{.key = Key::escape});
      } else {
        held_.clear();  // Alt and a key: the key alone
        add(plain(c));
      }
      continue;
    }
    if (c == '\x1b') {  // the sequence was cut off and another begins
      held_ = c;
    } else if (c >= 0x40 && c <= 0x7E && !(c == '[' && held_.size() == 2)) {
      add(control(std::string_view(held_).substr(2), c));
      held_.clear();
    } else if (held_.size() >= kLongest) {
      held_.clear();
    } else {
      held_ += c;
    }
  }
  return events;
}

std::vector<Event> Input::pause() {
  const bool escape = held_.size() == 1;
  held_.clear();
  if (!escape) return {};
  return {Event{.key = Key::escape}};
}

}  // namespace mlxdash::term
