#include "mlxcache/cli/progress_face.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"

namespace mlxcache::cli {
namespace {

using mlxbase::format_bytes;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kBarEvery = kSecond / 10;
constexpr std::int64_t kBarAfter = kSecond / 4;   // quick work shows no bar: a flash tells nothing
constexpr std::int64_t kLinesEvery = 10 * kSecond;
constexpr std::int64_t kRateAfter = 2 * kSecond;  // before this a rate and a time left would jump about

std::string amount(std::uint64_t units, bool bytes) { return bytes ? format_bytes(units) : mlxbase::format_exact(units); }

}  // namespace

std::string progress_line(const ProgressState& s, int columns, const Style& style) {
  const std::size_t width = columns > 1 ? static_cast<std::size_t>(columns) - 1 : 79;  // the last cell would wrap on some terminals
  std::string facts;
  const double seconds = static_cast<double>(s.elapsed_ns) / 1e9;
  const double rate = seconds > 0 ? static_cast<double>(s.done - std::min(s.before, s.done)) / seconds : 0;
  if (s.total > 0) {
    const std::uint64_t done = std::min(s.done, s.total);
    facts = fmt::format("{:>3} %  {} of {}", done * 100 / s.total, amount(done, s.bytes), amount(s.total, s.bytes));
  } else {
    facts = amount(s.done, s.bytes);
  }
  if (s.elapsed_ns >= kRateAfter && s.done > s.before) {
    if (s.bytes) facts += fmt::format("  {}/s", format_bytes(static_cast<std::uint64_t>(rate)));
    if (s.total > s.done && rate > 0) {
      const double left = static_cast<double>(s.total - s.done) / rate;
      if (left < 1e7) facts += fmt::format("  {} left", mlxbase::format_duration(std::chrono::seconds(static_cast<std::int64_t>(left) + 1)));
    }
  }
  const std::string name = elide_middle(mlxbase::printable(s.name), 28);
  const std::size_t taken = display_width(name) + 2 + display_width(facts);
  if (taken > width) return elide_middle(name + "  " + facts, width);
  std::size_t free_cells = width - taken;
  std::string bar;
  if (s.total > 0 && free_cells >= 14) {
    const std::size_t cells = std::min<std::size_t>(30, free_cells - 4);
    const std::size_t full = std::min<std::uint64_t>(cells, std::min(s.done, s.total) * cells / s.total);
    std::string filled;
    std::string open;
    for (std::size_t i = 0; i < cells; ++i) (i < full ? filled : open) += i < full ? "━" : "─";
    bar = style.cyan(filled) + style.dim(open) + "  ";
    free_cells -= cells + 2;
  }
  std::string line = name + "  " + bar + facts;
  if (!s.item.empty() && free_cells >= 16) line += "  " + style.dim(elide_middle(mlxbase::printable(s.item), free_cells - 2));
  return line;
}

std::vector<std::string> part_lines(std::span<const ProgressPart> parts, int columns, const Style& style) {
  std::vector<std::string> out;
  if (parts.size() < 2) return out;
  const std::size_t width = columns > 1 ? static_cast<std::size_t>(columns) - 1 : 79;
  constexpr std::string_view kIndent = "  ";
  std::vector<std::string> facts;
  std::size_t widest = 0;
  std::size_t longest_name = 0;
  for (const ProgressPart& part : parts) {
    const std::uint64_t done = std::min(part.done, part.total);
    facts.push_back(fmt::format("{:>3} %  {} of {}", part.total > 0 ? done * 100 / part.total : 0, format_bytes(done), format_bytes(part.total)));
    widest = std::max(widest, display_width(facts.back()));
    longest_name = std::max(longest_name, display_width(mlxbase::printable(part.name)));
  }
  const std::size_t room = width > kIndent.size() + 2 + widest ? width - kIndent.size() - 2 - widest : 0;
  const std::size_t name_cells = std::min(room, longest_name);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    std::string name = mlxbase::printable(parts[i].name);
    if (room == 0) {
      out.push_back(elide_middle(name + "  " + facts[i], width));
      continue;
    }
    name = elide_middle(name, name_cells);
    name.append(name_cells - std::min(name_cells, display_width(name)), ' ');
    out.push_back(std::string(kIndent) + style.dim(name) + "  " + facts[i]);
  }
  return out;
}

void ProgressFace::stage(std::string_view name, std::uint64_t total, bool unit_is_bytes) {
  if (manner_ == Manner::silent) return;
  const std::lock_guard guard(mutex_);
  name_ = name;
  item_.clear();
  parts_.clear();
  total_ = total;
  bytes_ = unit_is_bytes;
  done_ = 0;
  before_ = 0;
  began_ns_ = clock_.steady_ns();
  // A new stage does not start the wait again where a bar stands already.
  next_ns_ = drawn_ && manner_ == Manner::bar ? began_ns_ : began_ns_ + (manner_ == Manner::bar ? kBarAfter : kLinesEvery);
}

void ProgressFace::advance(std::uint64_t units) {
  if (manner_ == Manner::silent) return;
  done_ += units;
  if (clock_.steady_ns() >= next_ns_) show(false);
}

void ProgressFace::already(std::uint64_t units) {
  before_ += units;
}

void ProgressFace::parts(std::span<const ProgressPart> now) {
  if (manner_ != Manner::bar) return;
  {
    const std::lock_guard guard(mutex_);
    parts_.clear();
    for (const ProgressPart& part : now) parts_.push_back({std::string(part.name), part.done, part.total});
  }
  if (clock_.steady_ns() >= next_ns_) show(false);
}

void ProgressFace::item(std::string_view what) {
  if (manner_ == Manner::silent) return;
  {
    const std::lock_guard guard(mutex_);
    item_ = what;
  }
  if (clock_.steady_ns() >= next_ns_) show(false);
}

void ProgressFace::show(bool) {
  const std::unique_lock guard(mutex_, std::try_to_lock);
  if (!guard) return;  // another thread draws
  const std::int64_t now = clock_.steady_ns();
  if (now < next_ns_) return;
  next_ns_ = now + (manner_ == Manner::bar ? kBarEvery : kLinesEvery);
  const ProgressState state{.name = name_, .item = item_, .done = done_, .before = before_, .total = total_, .bytes = bytes_, .elapsed_ns = now - began_ns_};
  if (manner_ == Manner::bar) {
    std::vector<ProgressPart> parts;
    for (const OnePart& part : parts_) parts.push_back({part.name, part.done, part.total});
    const auto lines = part_lines(parts, err_.columns(), style_);
    std::string text = "\r" + progress_line(state, err_.columns(), style_) + "\x1b[K";
    for (const std::string& line : lines) text += "\n\r" + line + "\x1b[K";
    if (below_ > lines.size()) text += "\x1b[J";
    if (!lines.empty()) text += fmt::format("\x1b[{}A\r", lines.size());
    err_.write(text);
    drawn_ = true;
    below_ = lines.size();
  } else {
    const ProgressState plain{.name = name_, .item = {}, .done = state.done, .before = state.before, .total = state.total, .bytes = bytes_, .elapsed_ns = state.elapsed_ns};
    std::string line = fmt::format("{}: {}", mlxbase::printable(plain.name), amount(plain.done, plain.bytes));
    if (plain.total > 0) line += fmt::format(" of {} ({} %)", amount(plain.total, plain.bytes), std::min(plain.done, plain.total) * 100 / plain.total);
    err_.write(line + "\n");
  }
}

void ProgressFace::finish() {
  const std::lock_guard guard(mutex_);
  if (drawn_) err_.write(below_ == 0 ? "\r\x1b[K" : "\r\x1b[J");
  below_ = 0;
  drawn_ = false;
}

}  // namespace mlxcache::cli
