#pragma once
// How quantities are shown to people.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlxbase {

/// "0 B", "999 B", "1.5 kB", "4.08 GB": powers of 1000 (as disks are sold and macOS counts), three significant digits.
std::string format_bytes(std::uint64_t bytes);
/// "4,080,218,931": the exact figure with separators.
std::string format_exact(std::uint64_t value);
/// "850 ms", "3.2 s", "4 min 10 s", "2 h 5 min".
std::string format_duration(std::chrono::nanoseconds duration);
/// Parses "500M", "1.5GB", "4GiB", "4096", "10k"; powers of 1000 unless an `i` says otherwise. Empty on anything else.
std::optional<std::uint64_t> parse_bytes(std::string_view text);
/// Parses "60d", "2w", "12h", "30m", "90s": whole numbers, up to a thousand years. Empty on anything else.
std::optional<std::chrono::seconds> parse_age(std::string_view text);

}  // namespace mlxbase
