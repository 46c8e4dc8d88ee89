#pragma once
// How long work shows itself: a bar on a terminal, a line now and then elsewhere, or nothing.
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/cli/stream.h"
#include "mlxcache/cli/style.h"

namespace mlxcache::cli {

/// One of several things that are worked on side by side.
struct ProgressPart {
  std::string_view name;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
};

class ProgressFace final : public mlxbase::Progress {
 public:
  enum class Manner : std::uint8_t { silent, lines, bar };
  ProgressFace(Stream& err, mlxbase::Clock& clock, Manner manner, Style style) : err_(err), clock_(clock), manner_(manner), style_(style) {}

  void stage(std::string_view name, std::uint64_t total, bool unit_is_bytes) override;
  void advance(std::uint64_t units) override;
  void item(std::string_view what) override;
  /// So much of what was advanced was done before: no part of the rate.
  void already(std::uint64_t units);
  /// All that is worked on side by side now: a line each below the bar.
  void parts(std::span<const ProgressPart> now);
  /// Takes the bar off the screen: called before anything else is printed.
  void finish();

 private:
  void show(bool first);

  Stream& err_;
  mlxbase::Clock& clock_;
  Manner manner_;
  Style style_;
  std::mutex mutex_;
  std::atomic<std::uint64_t> done_{0};
  std::atomic<std::uint64_t> before_{0};  // of done_: by an earlier run
  std::atomic<std::int64_t> next_ns_{0};  // no look at the lock before this
  std::string name_;
  std::string item_;
  struct OnePart {
    std::string name;
    std::uint64_t done = 0;
    std::uint64_t total = 0;
  };
  std::vector<OnePart> parts_;
  std::uint64_t total_ = 0;
  bool bytes_ = false;
  bool drawn_ = false;
  std::size_t below_ = 0;  // lines drawn under the bar
  std::int64_t began_ns_ = 0;
};

/// One line of the bar, at most `columns` cells; pure.
struct ProgressState {
  std::string_view name;
  std::string_view item;
  std::uint64_t done = 0;
  std::uint64_t before = 0;  // of `done`, by an earlier run: no part of the rate
  std::uint64_t total = 0;   // 0: unknown
  bool bytes = false;
  std::int64_t elapsed_ns = 0;
};
std::string progress_line(const ProgressState& state, int columns, const Style& style);
/// One line below the bar for each of `parts`, indented, at most `columns` cells; pure. Nothing for less than two: the bar says it all.
std::vector<std::string> part_lines(std::span<const ProgressPart> parts, int columns, const Style& style);

}  // namespace mlxcache::cli
