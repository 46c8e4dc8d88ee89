#pragma once
// A source on a root of its own, looked at at times that a test says. For the tests of this room.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxdash/collect/makers.h"

namespace mlxdash::collect {

inline std::string fixtures() { return MLXDASH_FIXTURES; }

class OnARoot : public ::testing::Test {
 protected:
  /// A source of the kind on `root`.
  std::unique_ptr<Looker> make(std::unique_ptr<Looker> (*maker)(const Parts&), const std::string& root) {
    Parts parts{.fs = fs(), .environment = environment_, .clock = clock_};
    parts.root = root;
    return maker(parts);
  }
  /// Looks and puts what was seen into `s`. `after` seconds since the last look.
  mlxbase::Status look(Looker& looker, double after = 1) {
    now_.steady_ns += static_cast<std::int64_t>(after * 1e9);
    now_.wall_ns = now_.steady_ns;
    auto seen = looker.look(now_);
    if (!seen) return mlxbase::fail(std::move(seen.error()));
    (*seen)(s);
    return {};
  }
  virtual mlxbase::os::FileSystem& fs() { return mlxbase::os::real_file_system(); }

  mlxbase::testing::FakeClock clock_;
  mlxbase::testing::TemporaryFolder folder_;
  mlxbase::os::Environment environment_;
  Moment now_{.wall_ns = 0, .steady_ns = 1'000'000'000};
  Snapshot s;
};

}  // namespace mlxdash::collect
