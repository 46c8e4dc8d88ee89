#include "mlxdash/web/awake.h"

namespace mlxdash::web {

void Awake::take() {
  const std::lock_guard lock(mutex_);
  if (claims_++ > 0) return;
  if (started_) return board_.pause(false);
  started_ = true;
  board_.start();
}

void Awake::give() {
  const std::lock_guard lock(mutex_);
  if (--claims_ == 0) board_.pause(true);
}

void Awake::wait_fresh(std::uint32_t most_ms) const {
  if (board_.wait_settled(2, most_ms)) board_.wait_fresh(most_ms);
}

bool Awake::looks() const {
  const std::lock_guard lock(mutex_);
  return claims_ > 0;
}

}  // namespace mlxdash::web
