#include "mlxcache/fetch/download_pool.h"

#include <algorithm>
#include <utility>

namespace mlxcache::fetch {

Pool::Pool(unsigned threads) {
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) threads_.emplace_back([this] { work(); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  more_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Pool::post(Strand& strand, std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  strand.tasks_.push_back(std::move(task));
  if (std::exchange(strand.running_, true)) return;
  ready_.push_back(&strand);
  more_.notify_one();
}

void Pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [&] { return ending_ || !ready_.empty(); });
    if (ready_.empty()) return;
    Strand* strand = ready_.front();
    ready_.pop_front();
    auto task = std::move(strand->tasks_.front());
    strand->tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it held goes before the lock comes
    lock.lock();
    if (strand->tasks_.empty()) {
      strand->running_ = false;
    } else {
      ready_.push_back(strand);
      more_.notify_one();
    }
  }
}

bool Blocks::available() {
  const std::lock_guard lock(mutex_);
  if (out_ < limit_) return true;
  starved_ = true;
  return false;
}

bool Blocks::plentiful() {
  const std::lock_guard lock(mutex_);
  return out_ <= limit_ / 2;
}

BlockPtr Blocks::get(std::uint64_t offset) {
  auto block = std::make_unique<Block>();
  block->offset = offset;
  {
    const std::lock_guard lock(mutex_);
    ++out_;
    if (!spare_.empty()) {
      block->memory = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (block->memory == nullptr) block->memory = std::make_unique_for_overwrite<std::byte[]>(kBlockBytes);
  return {block.release(), [this](Block* done) { give_back(done); }};
}

void Blocks::give_back(Block* done) {
  const std::unique_ptr<Block> block(done);
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    --out_;
    spare_.push_back(std::move(block->memory));
    tell = starved_ && out_ < limit_ - std::min<std::size_t>(limit_ / 4, 8);  // not at every single block
    if (tell) starved_ = false;
  }
  if (tell) freed_();
}

}  // namespace mlxcache::fetch
