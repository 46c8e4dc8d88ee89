#include "mlxhub/cpu/team.h"

#include <algorithm>

namespace mlxhub::cpu {
namespace {

constexpr int kAwake = 4000;  // looks before a member falls asleep: some tens of microseconds, about what one matrix takes

/// Waits until it is no longer `value`.
void await_change(const std::atomic<std::uint32_t>& what, std::uint32_t value) {
  for (int i = 0; i < kAwake; ++i) {
    if (what.load(std::memory_order_acquire) != value) return;
  }
  what.wait(value, std::memory_order_acquire);
}

}  // namespace

Team::Team(unsigned members) {
  for (unsigned i = 1; i < members; ++i) threads_.emplace_back([this, i] { work(i); });
}

Team::~Team() {
  ending_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Team::take_part(unsigned member) const {
  const std::size_t grains = (job_.count + job_.grain - 1) / job_.grain, all = threads_.size() + 1;
  const std::size_t first = grains * member / all * job_.grain, last = std::min(job_.count, grains * (member + 1) / all * job_.grain);
  if (first < last) job_.call(job_.body, first, last);
}

void Team::start(const Job& job) {
  job_ = job;
  busy_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  take_part(0);
  for (std::uint32_t left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire)) await_change(busy_, left);
}

void Team::work(unsigned member) {
  for (std::uint32_t seen = 0;;) {
    await_change(round_, seen);
    seen = round_.load(std::memory_order_acquire);
    if (ending_.load(std::memory_order_relaxed)) return;
    take_part(member);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace mlxhub::cpu
