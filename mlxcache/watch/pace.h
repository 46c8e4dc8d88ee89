#pragma once
// --max-cpu: work that reports its progress is made to rest in between. Wraps the progress that it is handed.
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"

namespace mlxcache::watch {

class Pace final : public mlxbase::Progress {
 public:
  /// `percent` of one processor; 0: no limit. `cpu_ns` gives the processor time used so far, `rest` sleeps. A request to stop ends a rest.
  Pace(mlxbase::Progress& inner, mlxbase::Clock& clock, const mlxbase::Cancel& cancel, unsigned percent, std::function<std::int64_t()> cpu_ns,
       std::function<void(std::int64_t)> rest);

  void stage(std::string_view name, std::uint64_t total, bool unit_is_bytes) override;
  void advance(std::uint64_t units) override;
  void item(std::string_view what) override;
  /// What was used until now is forgiven: the next limit counts from here.
  void begin();

 private:
  void rest_if_needed();

  mlxbase::Progress& inner_;
  mlxbase::Clock& clock_;
  const mlxbase::Cancel& cancel_;
  unsigned percent_;
  std::function<std::int64_t()> cpu_ns_;
  std::function<void(std::int64_t)> rest_;
  std::mutex mutex_;
  bool holding_ = false;  // files are held against writers in this stage: rest only between them
  std::int64_t cpu_began_ns_ = 0;
  std::int64_t began_ns_ = 0;
};

}  // namespace mlxcache::watch
