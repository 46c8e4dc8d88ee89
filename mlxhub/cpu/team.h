#pragma once
// Threads that do one thing together, many thousand times a second: between two things they wait awake for a moment, then asleep.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace mlxhub::cpu {

class Team {
 public:
  /// This many in all, the caller of run() included; at least 1.
  explicit Team(unsigned members);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  unsigned members() const { return static_cast<unsigned>(threads_.size()) + 1; }

  /// Calls body(first, last) on parts of [0, count), each a multiple of `grain` but the last, on as many members as there are parts. Returns
  /// when all are done. `body` must not throw. By one thread at a time.
  template <class Body>
  void run(std::size_t count, std::size_t grain, Body&& body) {
    const std::size_t grains = (count + grain - 1) / grain;
    if (threads_.empty() || grains < 2) {
      if (count > 0) body(std::size_t{0}, count);
      return;
    }
    using Plain = std::remove_reference_t<Body>;
    start({.count = count, .grain = grain, .call = [](void* b, std::size_t first, std::size_t last) { (*static_cast<Plain*>(b))(first, last); },
           .body = const_cast<void*>(static_cast<const void*>(&body))});
  }

 private:
  struct Job {
    std::size_t count = 0, grain = 1;
    void (*call)(void*, std::size_t, std::size_t) = nullptr;
    void* body = nullptr;
  };
  void start(const Job& job);
  void take_part(unsigned member) const;
  void work(unsigned member);

  Job job_;
  std::atomic<std::uint32_t> round_{0};
  std::atomic<std::uint32_t> busy_{0};
  std::atomic<bool> ending_{false};
  std::vector<std::thread> threads_;
};

}  // namespace mlxhub::cpu
