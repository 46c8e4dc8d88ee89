#pragma once
// Libraries report; the program chooses bar, plain lines or nothing.
#include <atomic>
#include <cstdint>
#include <string_view>

namespace mlxbase {

/// May be called from several threads at once.
class Progress {
 public:
  virtual ~Progress() = default;
  /// A new stage begins: `total` units of work if known, else 0. `unit_is_bytes` lets a face show a rate.
  virtual void stage(std::string_view /*name*/, std::uint64_t /*total*/, bool /*unit_is_bytes*/) {}
  virtual void advance(std::uint64_t /*units*/) {}
  /// The thing being worked on now (a path; printed through printable()).
  virtual void item(std::string_view /*what*/) {}
};

/// Says nothing.
inline Progress& no_progress() {
  static Progress quiet;
  return quiet;
}

/// Set by Ctrl-C; long work asks between its steps and returns Code::cancelled.
class Cancel {
 public:
  void request() { requested_.store(true, std::memory_order_relaxed); }
  bool requested() const { return requested_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> requested_{false};
};

}  // namespace mlxbase
