#pragma once
// How much may be read in a while: a bucket that empties steadily. A large file may fill it over the brim, and then it takes longer.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mlxcache::watch {

struct ReadLimit {
  std::uint64_t bytes = 0;
  std::int64_t per_ns = 0;
  friend bool operator==(const ReadLimit&, const ReadLimit&) = default;
};

/// "20G/day", "5G/hour"; "20G" alone is a day's. Empty on anything else, and on 0.
std::optional<ReadLimit> parse_read_limit(std::string_view text);

class Budget {
 public:
  Budget(std::optional<ReadLimit> limit, std::uint64_t used, std::int64_t as_of_ns) : limit_(limit), used_(used), as_of_ns_(as_of_ns) {}

  /// Whether so much may be read now: it fits, or nothing at all is used (a file larger than the whole budget would else wait for ever).
  bool admits(std::uint64_t bytes, std::int64_t now_ns);
  void take(std::uint64_t bytes, std::int64_t now_ns);
  /// When `bytes` will be admitted if nothing else is read.
  std::int64_t when(std::uint64_t bytes, std::int64_t now_ns);
  std::uint64_t used(std::int64_t now_ns);
  std::int64_t as_of_ns() const { return as_of_ns_; }
  const std::optional<ReadLimit>& limit() const { return limit_; }

 private:
  void drain(std::int64_t now_ns);

  std::optional<ReadLimit> limit_;
  std::uint64_t used_;
  std::int64_t as_of_ns_;
};

}  // namespace mlxcache::watch
