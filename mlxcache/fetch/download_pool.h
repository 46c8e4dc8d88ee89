#pragma once
// Threads for what a download does besides listening to the network (disk and hashing), and the memory between the two.
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace mlxcache::fetch {

/// Tasks that run one after the other, on whichever thread is free. Lives until all of them have run.
class Strand {
 private:
  friend class Pool;
  std::deque<std::function<void()>> tasks_;
  bool running_ = false;
};

class Pool {
 public:
  explicit Pool(unsigned threads);
  ~Pool();  // everything posted runs first
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  void post(Strand& strand, std::function<void()> task);

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable more_;
  std::deque<Strand*> ready_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

inline constexpr std::size_t kBlockBytes = std::size_t{256} << 10U;  // fits a core's cache between its being received, written and hashed

/// A stretch of a file in memory.
struct Block {
  std::unique_ptr<std::byte[]> memory;
  std::uint64_t offset = 0;
  std::size_t size = 0;
  std::span<const std::byte> bytes() const { return {memory.get(), size}; }
};
using BlockPtr = std::shared_ptr<Block>;

/// Gives blocks out and takes them back from any thread. Outlives its blocks.
class Blocks {
 public:
  /// `freed` is called, from whichever thread, when a block comes back after available() said no.
  Blocks(std::size_t limit, std::function<void()> freed) : limit_(limit), freed_(std::move(freed)) {}
  bool available();
  /// Whether so few are out that some may be kept waiting for their turn: those that wait must never be all there are.
  bool plentiful();
  /// Never refuses: who has asked available() first may go over the limit by what one call of libcurl brings.
  BlockPtr get(std::uint64_t offset);

 private:
  void give_back(Block* block);
  std::mutex mutex_;
  std::size_t limit_;
  std::function<void()> freed_;
  std::size_t out_ = 0;
  bool starved_ = false;
  std::vector<std::unique_ptr<std::byte[]>> spare_;
};

}  // namespace mlxcache::fetch
