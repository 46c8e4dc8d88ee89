#include "mlxbase/core/units.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace mlxbase {

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000.0;
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000.0;
    ++unit;
  }
  if (value < 9.995) return fmt::format("{:.2f} {}", value, kUnits[unit]);
  if (value < 99.95) return fmt::format("{:.1f} {}", value, kUnits[unit]);
  return fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string format_exact(std::uint64_t value) {
  std::string digits = fmt::format("{}", value);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t whole = 0;  // a double would lose digits beyond 2^53
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  if (error == std::errc() && end == text.data() + text.size()) return whole;
  std::size_t i = 0;
  double value = 0;
  double scale = 1;
  bool seen_digit = false;
  bool seen_dot = false;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c >= '0' && c <= '9') {
      seen_digit = true;
      value = value * 10 + (c - '0');
      if (seen_dot) scale *= 10;
    } else if (c == '.' && !seen_dot) {
      seen_dot = true;
    } else {
      break;
    }
  }
  if (!seen_digit) return std::nullopt;
  value /= scale;
  while (i < text.size() && text[i] == ' ') ++i;
  std::string_view unit = text.substr(i);
  double factor = 1;
  if (!unit.empty() && unit != "B" && unit != "b") {
    static constexpr std::string_view kLetters = "kmgtpe";
    const auto position = kLetters.find(static_cast<char>(unit[0] | 0x20));
    if (position == std::string_view::npos) return std::nullopt;
    unit.remove_prefix(1);
    double base = 1000;
    if (!unit.empty() && unit[0] == 'i') {
      base = 1024;
      unit.remove_prefix(1);
    }
    if (!unit.empty() && unit != "B" && unit != "b") return std::nullopt;
    factor = std::pow(base, static_cast<double>(position + 1));
  }
  const double bytes = value * factor;
  if (bytes >= static_cast<double>(std::numeric_limits<std::uint64_t>::max())) return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(bytes));
}

std::optional<std::chrono::seconds> parse_age(std::string_view text) {
  constexpr std::int64_t kLongest = std::int64_t{1000} * 366 * 86'400;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error != std::errc() || number < 0 || unit.size() != 1) return std::nullopt;
  std::int64_t seconds = 0;
  switch (unit.front()) {
    case 's': seconds = 1; break;
    case 'm': seconds = 60; break;
    case 'h': seconds = 3600; break;
    case 'd': seconds = 86'400; break;
    case 'w': seconds = 7 * 86'400; break;
    default: return std::nullopt;
  }
  if (number > kLongest / seconds) return std::nullopt;
  return std::chrono::seconds(number * seconds);
}

}  // namespace mlxbase
