#include "mlxdash/history/recorder.h"

#include <chrono>
#include <utility>

#include "mlxbase/core/path.h"
#include "mlxdash/sample/series.h"

namespace mlxdash::history {
namespace {

namespace path = mlxbase::path;
constexpr std::chrono::seconds kEvery{5};  // what a kill may cost
constexpr std::size_t kMostWaiting = 600;

}  // namespace

std::string state_home(const mlxbase::os::Environment& environment) {
  if (const auto moved = environment.get_nonempty("MLXDASH_HOME")) return environment.absolute(environment.expand(*moved));
  if (environment.platform == mlxbase::os::Platform::macos) return path::join(environment.home, "Library/Application Support/mlxdash");
  // The XDG rule: a relative folder is ignored.
  if (const auto state = environment.get_nonempty("XDG_STATE_HOME"); state && path::is_absolute(*state)) return path::normal(path::join(*state, "mlxdash"));
  return path::join(environment.home, ".local/state/mlxdash");
}

mlxbase::Result<std::unique_ptr<Recorder>> Recorder::start(mlxbase::os::FileSystem& fs, const std::string& home) {
  TRY(mlxbase::os::make_dirs(fs, home, 0700));
  auto lock = TRY(fs.try_lock(path::join(home, "history.lock"), 0600));
  auto history = TRY(History::open(path::join(home, "history.sqlite")));
  return std::unique_ptr<Recorder>(new Recorder(std::move(lock), std::move(history)));
}

Recorder::Recorder(std::unique_ptr<mlxbase::os::Lock> lock, History history) : lock_(std::move(lock)), history_(std::move(history)) {
  thread_ = std::thread([this] { run(); });
}

Recorder::~Recorder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_all();
  thread_.join();
}

void Recorder::add(const Snapshot& snapshot) {
  std::vector<Value> values;
  for (const Measurement& m : measurements(snapshot)) values.emplace_back(key_of(m), m.value);
  const std::lock_guard lock(mutex_);
  if (queue_.size() < kMostWaiting) queue_.emplace_back(snapshot.wall_ns / 1'000'000'000, std::move(values));
}

std::string Recorder::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Recorder::run() {
  for (bool last = false; !last;) {
    std::vector<std::pair<std::int64_t, std::vector<Value>>> batch;
    {
      std::unique_lock lock(mutex_);
      woken_.wait_for(lock, kEvery, [&] { return stopping_; });
      last = stopping_;
      batch.swap(queue_);
    }
    for (auto& [t, values] : batch) history_.add(t, std::move(values));
    auto written = history_.write();
    const std::lock_guard lock(mutex_);
    trouble_ = written ? std::string() : written.error().message;
  }
}

}  // namespace mlxdash::history
