// Nothing that happens to the disk during a download leaves a wrong file, or one that cannot be downloaded any more.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/crash_file_system.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxbase/testing/scripted_server.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/fetch/download.h"

namespace mlxcache::fetch {
namespace {

using namespace mlxbase;
using mlxbase::testing::CrashFileSystem;
using mlxbase::testing::HookedFileSystem;
using mlxbase::testing::noise;
using mlxbase::testing::RefusingFileSystem;
using mlxbase::testing::ScriptedServer;
using Peer = ScriptedServer::Peer;
using Asked = ScriptedServer::Request;

/// Makes a minute pass at every look, so that each block of a download is worth a record.
class HurriedClock final : public Clock {
 public:
  std::int64_t wall_ns() override { return now_ += 60'000'000'000; }
  std::int64_t steady_ns() override { return now_ += 60'000'000'000; }

 private:
  std::atomic<std::int64_t> now_{0};
};

const std::string& content() {
  static const std::string bytes = noise(kPieceBytes + 700'000, 3);
  return bytes;
}

class DownloadCrash : public ::testing::Test {
 protected:
  DownloadCrash() : server_([](const Asked& request, Peer& peer) { peer.answer_file(request, content(), "v"); }), client_(*net::Client::make({})) {
    wanted_.name = "model";
    wanted_.urls = {*net::Url::parse(server_.url("/"))};
    wanted_.size = content().size();
    Hasher hasher(Algorithm::sha256);
    hasher.update(as_bytes(content()));
    wanted_.digest = hasher.finish();
    wanted_.folder = "/downloads";
    options_.connections = 2;
    options_.hash_threads = 1;  // the pool does all disk work: one thread at a time
    options_.retry.first_wait_ms = 1;
  }

  Status fetch(os::FileSystem& fs) {
    HurriedClock clock;
    return download(fs, *client_, clock, {wanted_}, options_, no_progress(), nullptr, [&](std::size_t, Downloaded&& file) -> Status {
      downloaded_ = file;
      return {};
    });
  }
  std::string final_name() const { return "/downloads/" + wanted_.digest.hex(); }

  ScriptedServer server_;
  std::unique_ptr<net::Client> client_;
  Wanted wanted_;
  DownloadOptions options_;
  Downloaded downloaded_;
};

/// Steps grow: the beginning and the end are tried call by call, what repeats in the middle now and then.
std::uint64_t next_after(std::uint64_t n) { return n < 24 ? n + 1 : n + 5; }

TEST_F(DownloadCrash, AnyCallMayFailAndASecondRunSucceeds) {
  bool reached_the_end = false;
  for (std::uint64_t n = 0; !reached_the_end; n = next_after(n)) {
    ASSERT_LT(n, 2000U);
    for (const int error : {EIO, ENOSPC}) {
      CrashFileSystem fs;
      RefusingFileSystem refusing(fs, n, error);
      const auto first = fetch(refusing);
      EXPECT_TRUE(!fs.exists(final_name()) || fs.content(final_name()) == content()) << n;
      if (!refusing.refused()) {
        ASSERT_TRUE(first) << first.error().message;
        reached_the_end = true;
        break;
      }
      const auto second = fetch(fs);
      ASSERT_TRUE(second) << "call " << n << ": " << second.error().message;
      ASSERT_EQ(fs.content(final_name()), content()) << n;
    }
  }
}

TEST_F(DownloadCrash, PowerMayFailAnywhereAndASecondRunSucceeds) {
  bool reached_the_end = false;
  for (std::uint64_t n = 0; !reached_the_end; n = next_after(n)) {
    ASSERT_LT(n, 2000U);
    CrashFileSystem fs;
    RefusingFileSystem refusing(fs, n, EIO, true);
    const auto first = fetch(refusing);
    if (!refusing.refused()) {
      ASSERT_TRUE(first) << first.error().message;
      reached_the_end = true;
    }
    fs.crash(n);
    EXPECT_TRUE(!fs.exists(final_name()) || fs.content(final_name()) == content()) << n;
    const auto second = fetch(fs);
    ASSERT_TRUE(second) << "call " << n << ": " << second.error().message;
    ASSERT_EQ(fs.content(final_name()), content()) << n;
  }
}

TEST_F(DownloadCrash, WhatWasHandedOnSurvivesALossOfPower) {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    CrashFileSystem fs;
    ASSERT_TRUE(fetch(fs));
    fs.crash(seed);
    ASSERT_TRUE(fs.exists(final_name()));
    EXPECT_EQ(fs.content(final_name()), content());
  }
}

}  // namespace
}  // namespace mlxcache::fetch
