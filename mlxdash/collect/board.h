#pragma once
// Runs the sources and keeps what they saw last. Each lane is a thread; each source has its own period, its own back-off after failures, and rests longer
// the more its look costs. What is too old to be true is taken out of the snapshot, with the reason.
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "mlxdash/collect/source.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash::collect {

struct BoardOptions {
  std::uint32_t interval_ms = 1000;      // of sources whose row leaves it to the face
  std::string host;
};

class Board {
 public:
  /// Sources of `rows` that are used on the environment's platform.
  Board(const Parts& parts, std::span<const Row> rows, BoardOptions options);
  /// Ends the lanes. One that hangs in a call of the system is left behind after a short while.
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  /// Starts a thread for each lane.
  void start();
  /// Without threads: looks with every source of the lane that is due. For tests, and for programs that print once.
  void step(Lane lane);
  /// Nobody looks: lanes rest until they are wanted again. What a source saw before keeps its age; what was due meanwhile is looked at at once.
  void pause(bool paused);
  void set_interval(std::uint32_t ms);

  Snapshot snapshot() const;
  /// Whether every source has looked at least `times` (those with a period of their own once), or has failed.
  bool settled(std::uint32_t times) const;
  /// Waits for that. False: it took longer.
  bool wait_settled(std::uint32_t times, std::uint32_t most_ms) const;
  /// Waits until every source that is due now has looked. False: it took longer.
  bool wait_fresh(std::uint32_t most_ms) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mlxdash::collect
