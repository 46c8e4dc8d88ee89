#pragma once
// Who wants values: while somebody does, the sources look; when the last one goes, they rest.
#include <cstdint>
#include <mutex>

#include "mlxdash/collect/board.h"

namespace mlxdash::web {

class Awake {
 public:
  explicit Awake(collect::Board& board) : board_(board) {}
  Awake(const Awake&) = delete;
  Awake& operator=(const Awake&) = delete;

  /// Keeps the sources looking while it lives.
  class Claim {
   public:
    explicit Claim(Awake& awake) : awake_(awake) { awake_.take(); }
    ~Claim() { awake_.give(); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

   private:
    Awake& awake_;
  };
  /// Waits, at most `most_ms`, for values of now: the first time two looks, so that rates are known, else one of each source that is due.
  void wait_fresh(std::uint32_t most_ms) const;
  bool looks() const;

 private:
  void take();
  void give();
  collect::Board& board_;
  mutable std::mutex mutex_;
  std::uint32_t claims_ = 0;
  bool started_ = false;
};

}  // namespace mlxdash::web
