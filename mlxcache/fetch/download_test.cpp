// Whole downloads from a scripted server on loopback, onto a file system in memory or a real folder.
#include "mlxcache/fetch/download.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/crash_file_system.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxbase/testing/scripted_server.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/fetch/download_pool.h"

namespace mlxcache::fetch {
namespace {

using namespace mlxbase;
using ::testing::HasSubstr;
using ::testing::Not;
using mlxbase::testing::CrashFileSystem;
using mlxbase::testing::MemoryFileSystem;
using mlxbase::testing::noise;
using mlxbase::testing::ScriptedServer;
using mlxbase::testing::TemporaryFolder;
using Peer = ScriptedServer::Peer;
using Asked = ScriptedServer::Request;

Digest digest_of(std::string_view content, Algorithm algorithm = Algorithm::sha256) {
  Hasher hasher(algorithm, content.size());
  hasher.update(as_bytes(content));
  return hasher.finish();
}

net::Url url(const std::string& text) { return *net::Url::parse(text); }

/// A client, options that wait for nothing, and what came out.
struct Attempt {
  explicit Attempt(os::FileSystem& where) : fs(where) {
    options.connections = 4;
    options.range_bytes = kPieceBytes;
    options.retry.first_wait_ms = 1;
    options.retry.longest_wait_ms = 5;
    options.hash_threads = 1;  // file systems in memory are for one thread at a time, and the pool does all disk work
  }

  Wanted want(const std::string& source, std::string_view content, Algorithm algorithm = Algorithm::sha256) const {
    Wanted out;
    out.name = "model.gguf";
    out.urls = {url(source)};
    out.size = content.size();
    out.digest = digest_of(content, algorithm);
    out.folder = folder;
    return out;
  }

  Status operator()(const std::vector<Wanted>& wanted) {
    net::ClientOptions client_options;
    client_options.max_connections_per_host = 16;
    auto client = *net::Client::make(client_options);
    return download(fs, *client, system_clock(), wanted, options, progress, &cancel, [&](std::size_t index, Downloaded&& file) -> Status {
      files[index] = std::move(file);
      return on_file ? on_file() : Status{};
    }, before_file);
  }

  os::FileSystem& fs;
  std::string folder = "/downloads/here";
  DownloadOptions options;
  Progress progress;
  Cancel cancel;
  std::map<std::size_t, Downloaded> files;
  std::function<Status()> on_file;
  BeforeFile before_file;
};

const std::string& big() {
  static const std::string content = noise((20U << 20U) + 12345, 7);  // three pieces, the last one short
  return content;
}

TEST(Download, SmallAndLargeFilesArriveWholeWithTheirPieces) {
  const std::string small = "config", empty;
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    peer.answer_file(request, request.target == "/big" ? std::string_view(big()) : request.target == "/small" ? std::string_view(small) : empty, "v1");
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/small"), small, Algorithm::git_sha1), run.want(server.url("/big"), big()), run.want(server.url("/empty"), empty)});
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_EQ(run.files.size(), 3U);
  EXPECT_EQ(fs.content(run.files[0].path), small);
  EXPECT_EQ(run.files[0].sha256, digest_of(small));
  EXPECT_EQ(fs.content(run.files[1].path), big());
  EXPECT_EQ(run.files[1].bytes_transferred, big().size());
  EXPECT_EQ(fs.content(run.files[2].path), "");
  for (const auto& name : fs.names_below("/")) EXPECT_FALSE(name.ends_with(".part") || name.ends_with(".state")) << name;
}

TEST(Download, ManyFilesComeSideBySideOnARealDisk) {
  TemporaryFolder folder;
  std::map<std::string, std::string> contents;
  for (int i = 0; i < 60; ++i) contents[fmt::format("/{}", i)] = noise(static_cast<std::size_t>(1000 + i * 977), static_cast<std::uint64_t>(i));
  contents["/big"] = big();
  ScriptedServer server([&](const Asked& request, Peer& peer) { peer.answer_file(request, contents[request.target], "v"); });
  Attempt run(os::real_file_system());
  run.folder = folder / "deep/er";
  run.options.hash_threads = 3;
  std::vector<Wanted> wanted;
  for (const auto& [path, content] : contents) wanted.push_back(run.want(server.url(path), content));
  wanted.push_back(wanted.front());  // the same bytes under another name
  const auto done = run(wanted);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(run.files.size(), contents.size());
  for (const auto& [index, file] : run.files) EXPECT_EQ(mlxbase::testing::read_all(file.path), contents[wanted[index].urls[0].path()]);
  EXPECT_LE(server.connections(), 8U);
}

TEST(Download, ATokenStaysWithItsHost) {
  ScriptedServer cdn([&](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); });
  ScriptedServer hub([&](const Asked&, Peer& peer) { peer.answer(302, {"Location: " + cdn.url("/signed?sig=1")}); });
  MemoryFileSystem fs;
  Attempt run(fs);
  auto wanted = run.want(hub.url("/file"), big());
  wanted.credential = net::Credential{url(hub.url("/")), net::Secret("hf_secret")};
  ASSERT_TRUE(run({wanted}));
  for (const auto& request : hub.requests()) EXPECT_EQ(request.header("authorization"), "Bearer hf_secret");
  for (const auto& request : cdn.requests()) EXPECT_EQ(request.header("authorization"), std::nullopt);
}

TEST(Download, AnExpiredAddressIsAskedForAgain) {
  std::atomic<int> given{0};
  ScriptedServer cdn([&](const Asked& request, Peer& peer) {
    if (request.target != fmt::format("/signed?n={}", given.load())) return peer.answer(403, {}, "Request has expired");
    peer.answer_file(request, big(), "v");
    if (request.header("range").value_or("").starts_with("bytes=0-")) ++given;  // from now on it is too old
  });
  ScriptedServer hub([&](const Asked&, Peer& peer) { peer.answer(302, {fmt::format("Location: {}", cdn.url(fmt::format("/signed?n={}", given.load())))}); });
  MemoryFileSystem fs;
  Attempt run(fs);
  run.options.connections = 1;
  const auto done = run({run.want(hub.url("/file"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(hub.requests().size(), 2U) << "once at first, and once when the address had expired";
  EXPECT_EQ(fs.content(run.files[0].path), big());
}

TEST(Download, BrokenLinesGoOnWhereTheyBroke) {
  std::atomic<int> breaks{0};
  std::atomic<std::uint64_t> sent{0};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    const int n = breaks++;
    const auto range = request.header("range").value_or("bytes=0-");
    const std::size_t first = std::stoull(range.substr(6));
    const auto last = std::min<std::size_t>(range.back() == '-' ? big().size() - 1 : std::stoull(range.substr(range.find('-') + 1)), big().size() - 1);
    peer.send(fmt::format("HTTP/1.1 206 OK\r\nETag: \"v\"\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n", last - first + 1, first, last, big().size()));
    const std::size_t part = n % 4 == 3 ? last - first + 1 : std::min<std::size_t>(last - first + 1, 1'000'000);
    peer.send(std::string_view(big()).substr(first, part));
    sent += part;
    if (part == last - first + 1) return;
    peer.wait_ms(20);
    if (n % 2 == 0) peer.reset();
    peer.close();
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());
  EXPECT_GT(breaks, 4);
  EXPECT_LT(sent, big().size() + (std::size_t{4} << 20U)) << "what had come was not asked for again";
}

TEST(Download, BusyServersAreAskedAgainLater) {
  std::atomic<int> asked{0};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    const int n = asked++;
    if (n == 0) return peer.answer(429, {"Retry-After: 0"});
    if (n == 1) return peer.answer(503);
    if (n == 2) return peer.reset();
    peer.answer_file(request, "content", "v");
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/"), "content")});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(asked, 4);
}

TEST(Download, RefusalsHaveTheirReason) {
  ScriptedServer server([&](const Asked& request, Peer& peer) { peer.answer(std::stoi(request.target.substr(1))); });
  MemoryFileSystem fs;
  for (const auto& [status, code] : std::map<int, Code>{{401, Code::permission}, {403, Code::permission}, {404, Code::not_found}, {416, Code::changed}, {500, Code::io}}) {
    Attempt run(fs);
    const auto done = run({run.want(server.url(fmt::format("/{}?sig=hunter2", status)), "content")});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code) << status;
    EXPECT_THAT(done.error().message, HasSubstr("model.gguf"));
    EXPECT_THAT(done.error().message, Not(HasSubstr("hunter2")));
  }
}

TEST(Download, OneFilesFailureLeavesTheOthersAlone) {
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    if (request.target == "/gone") return peer.answer(404);
    peer.answer_file(request, big(), "v");
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/gone"), "x"), run.want(server.url("/big"), big())});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::not_found);
  ASSERT_TRUE(run.files.contains(1));
  EXPECT_EQ(fs.content(run.files[1].path), big());
}

TEST(Download, AMirrorHelpsOut) {
  ScriptedServer bad([&](const Asked&, Peer& peer) { peer.answer(404); });
  ScriptedServer good([&](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  auto wanted = run.want(bad.url("/"), big());
  wanted.urls.push_back(url(good.url("/")));
  const auto done = run({wanted});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());
}

TEST(Download, AServerWithoutRangesIsReadInOneStream) {
  std::atomic<int> asked{0};
  ScriptedServer server([&](const Asked&, Peer& peer) {
    if (asked++ == 5) {  // breaks once in the middle
      peer.send(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", big().size()));
      peer.send(std::string_view(big()).substr(0, 1'000'000));
      return peer.close();
    }
    peer.answer(200, {}, big());
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());
}

TEST(Download, AnotherLengthIsRefused) {
  ScriptedServer server([&](const Asked& request, Peer& peer) { peer.answer_file(request, "longer than promised", "v"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(server.url("/"), "promised")});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::corrupt) << done.error().message;
  EXPECT_TRUE(run.files.empty());
}

TEST(Download, RangesThatLieAreRefused) {
  for (const char* lie : {"bytes 1-2/3", "bytes 0-8388607/99", "bytes 5-1/9", "nonsense", ""}) {
    ScriptedServer server([&](const Asked&, Peer& peer) { peer.answer(206, {std::string("Content-Range: ") + lie}, std::string(kPieceBytes, 'x')); });
    MemoryFileSystem fs;
    Attempt run(fs);
    const auto done = run({run.want(server.url("/"), big())});
    ASSERT_FALSE(done) << lie;
    EXPECT_EQ(done.error().code, Code::corrupt) << done.error().message;
  }
}

TEST(Download, WrongBytesAreFetchedOnceMoreAndNeverHandedOn) {
  std::string wrong = big();
  wrong[kPieceBytes + 5] ^= 1;
  std::atomic<int> rounds{0};
  ScriptedServer flaky([&](const Asked& request, Peer& peer) {
    const bool first = request.header("range").value_or("").starts_with(fmt::format("bytes={}-", kPieceBytes)) && rounds++ == 0;
    peer.answer_file(request, first ? wrong : big(), "v");
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  const auto done = run({run.want(flaky.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());

  std::atomic<int> lies{0};
  ScriptedServer liar([&](const Asked& request, Peer& peer) {  // each time otherwise
    std::string lie = wrong;
    if (request.header("range").value_or("").starts_with(fmt::format("bytes={}-", kPieceBytes))) lie[kPieceBytes + 6] = static_cast<char>(++lies);
    peer.answer_file(request, lie, "v");
  });
  Attempt again(fs);
  again.folder = "/elsewhere";
  const auto refused = again({again.want(liar.url("/"), big())});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::corrupt);
  EXPECT_THAT(refused.error().message, HasSubstr("bytes 8388608-16777215"));
  EXPECT_TRUE(again.files.empty());
  EXPECT_FALSE(fs.exists("/elsewhere/" + digest_of(big()).hex()));
}

/// Six pieces: a second look that fetched them all would show.
const std::string& bigger() {
  static const std::string content = noise(6 * kPieceBytes, 11);
  return content;
}

TEST(Download, OneWrongPieceCostsWhatLiesBeforeItAndNotTheFile) {
  std::string wrong = bigger();
  wrong[kPieceBytes + 5] ^= 1;
  std::atomic<int> rounds{0};
  ScriptedServer flaky([&](const Asked& request, Peer& peer) {
    const bool first = request.header("range").value_or("").starts_with(fmt::format("bytes={}-", kPieceBytes)) && rounds++ == 0;
    peer.answer_file(request, first ? wrong : bigger(), "v");
  });
  for (const Algorithm algorithm : {Algorithm::sha256, Algorithm::git_sha1}) {
    rounds = 0;
    MemoryFileSystem fs;
    Attempt run(fs);
    const auto done = run({run.want(flaky.url("/"), bigger(), algorithm)});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(rounds, 2) << "the wrong piece came once more";
    EXPECT_EQ(fs.content(run.files[0].path), bigger());
    EXPECT_EQ(run.files[0].sha256, digest_of(bigger()));
    EXPECT_EQ(run.files[0].bytes_transferred, 8 * kPieceBytes) << "pieces behind the wrong one came again";
  }
}

TEST(Download, WhatThisDiskSpoiltIsFetchedAgainAndNothingElse) {
  std::atomic<std::size_t> written{0};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    const bool first = request.header("range").value_or("").starts_with("bytes=0-");
    while (first && written < 3 * kPieceBytes / kBlockBytes && peer.is_open()) peer.wait_ms(5);
    peer.answer_file(request, bigger(), "v");
  });
  MemoryFileSystem disk;
  bool spoilt = false;
  // What lies far behind the beginning is read back for the hash of the whole: then one of its bits is another.
  mlxbase::testing::HookedFileSystem fs(disk, [&](const mlxbase::testing::Call& call) -> Status {
    if (!call.path.ends_with(".part")) return {};
    if (call.name == "pwrite") ++written;
    if (call.name != "pread" || spoilt) return {};
    std::string part = disk.content(call.path);
    part.back() ^= 1;
    disk.put(call.path, part);
    spoilt = true;
    return {};
  });
  Attempt run(fs);
  run.options.connections = 2;
  run.options.range_bytes = 3 * kPieceBytes;
  const auto done = run({run.want(server.url("/"), bigger())});
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_TRUE(spoilt) << "nothing was read back, so this shows nothing";
  EXPECT_EQ(disk.content(run.files[0].path), bigger());
  EXPECT_EQ(run.files[0].bytes_transferred, 7 * kPieceBytes);
}

TEST(Download, AnIdleConnectionTakesHalfOfWhatASlowOneHasLeft) {
  std::atomic<bool> taken{false};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    const std::string range = request.header("range").value_or("");
    if (range.starts_with(fmt::format("bytes={}-", 3 * kPieceBytes)) && range.ends_with(fmt::format("-{}", 6 * kPieceBytes - 1))) {
      // The second half of the file comes to a stand after its first bytes, until somebody else has asked for its end.
      peer.send(fmt::format("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {}-{}/{}\r\n\r\n", 3 * kPieceBytes, 3 * kPieceBytes, 6 * kPieceBytes - 1, 6 * kPieceBytes));
      peer.send(std::string_view(bigger()).substr(3 * kPieceBytes, 1000));
      while (!taken && peer.is_open()) peer.wait_ms(5);
      peer.send(std::string_view(bigger()).substr(3 * kPieceBytes + 1000));
      return;
    }
    if (range.starts_with("bytes=0-")) return peer.answer_file(request, bigger());
    taken = true;
    peer.answer_file(request, bigger());
  });
  MemoryFileSystem fs;
  Attempt run(fs);
  run.options.connections = 2;
  run.options.range_bytes = 8 * kPieceBytes;
  const auto done = run({run.want(server.url("/"), bigger())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(taken);
  EXPECT_EQ(fs.content(run.files[0].path), bigger());
  EXPECT_EQ(run.files[0].bytes_transferred, bigger().size()) << "what was taken over came once";
}

TEST(Download, AFileMayBeHeldUpOrNoLongerWanted) {
  ScriptedServer server([&](const Asked& request, Peer& peer) { peer.answer_file(request, request.target, "v"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  std::map<std::size_t, int> asked;
  run.before_file = [&](std::size_t index) -> Result<Begin> {
    ++asked[index];
    if (index == 0) return run.files.contains(2) ? Begin::now : Begin::later;  // until the third has come
    return index == 1 ? Begin::never : Begin::now;
  };
  const auto done = run({run.want(server.url("/a"), "/a"), run.want(server.url("/b"), "/b"), run.want(server.url("/c"), "/c")});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(run.files.contains(0) && !run.files.contains(1) && run.files.contains(2));
  EXPECT_GE(asked[0], 2);
  EXPECT_EQ(asked[1], 1);
  EXPECT_EQ(server.requests().size(), 2U);

  Attempt again(fs);
  again.before_file = [](std::size_t) -> Result<Begin> { return fail(Code::permission, "no"); };
  const auto refused = again({again.want(server.url("/d"), "/d")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::permission);
}

TEST(Download, AMirrorsBytesReplaceWrongOnes) {
  std::string wrong = big();
  wrong[3] ^= 1;
  ScriptedServer bad([&](const Asked& request, Peer& peer) { peer.answer_file(request, wrong, "a"); });
  ScriptedServer good([&](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "b"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  auto wanted = run.want(bad.url("/"), big());
  wanted.urls.push_back(url(good.url("/")));
  const auto done = run({wanted});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());
}

TEST(Download, AFileThatChangesIsBegunAgainOnceOnly) {
  std::atomic<int> asked{0};
  ScriptedServer settles([&](const Asked& request, Peer& peer) { peer.answer_file(request, big(), asked++ == 0 ? "old" : "new"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  run.options.connections = 1;
  const auto done = run({run.want(settles.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());

  ScriptedServer restless([&](const Asked& request, Peer& peer) { peer.answer_file(request, big(), fmt::format("v{}", asked++)); });
  Attempt again(fs);
  again.folder = "/elsewhere";
  const auto refused = again({again.want(restless.url("/"), big())});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::changed) << refused.error().message;
}

TEST(Download, ACancelledOneGoesOnWhereItWas) {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<Attempt*> current{nullptr};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    Attempt* const to_cancel = current;
    if (to_cancel != nullptr && request.header("range").value_or("").starts_with(fmt::format("bytes={}-", 2 * kPieceBytes))) {
      peer.wait_ms(300);
      to_cancel->cancel.request();
      return peer.stall();
    }
    sent += request.header("range") ? kPieceBytes : big().size();
    peer.answer_file(request, big(), "v");
  });
  CrashFileSystem fs;
  {
    Attempt run(fs);
    current = &run;
    const auto done = run({run.want(server.url("/"), big())});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::cancelled);
    current = nullptr;
  }
  fs.crash(3);  // what was recorded is on the device
  Attempt again(fs);
  const auto done = again({again.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(again.files[0].path), big());
  EXPECT_EQ(again.files[0].bytes_transferred, big().size() - 2 * kPieceBytes) << "two pieces were there";
}

/// A run that is cancelled after two of three pieces, its record on disk.
void leave_two_pieces(MemoryFileSystem& fs, ScriptedServer::Handler serve_rest) {
  Attempt run(fs);
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    if (!request.header("range").value_or("").starts_with(fmt::format("bytes={}-", 2 * kPieceBytes))) return serve_rest(request, peer);
    peer.wait_ms(300);
    run.cancel.request();
    peer.stall();
  });
  ASSERT_FALSE(run({run.want(server.url("/"), big())}));
}

TEST(Download, DamageToWhatWasHereIsFoundAndMended) {
  const auto serve = [](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); };
  MemoryFileSystem fs;
  leave_two_pieces(fs, serve);
  const std::string base = "/downloads/here/" + digest_of(big()).hex();
  std::string part = fs.content(base + ".part");
  part[100] ^= 1;
  fs.put(base + ".part", part);
  ScriptedServer server(serve);
  Attempt run(fs);
  const auto done = run({run.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(run.files[0].path), big());
  EXPECT_EQ(run.files[0].bytes_transferred, big().size() - kPieceBytes) << "the damaged piece and the missing one";
}

TEST(Download, WithoutPieceDigestsDamageIsFoundAtTheEnd) {
  const auto serve = [](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); };
  MemoryFileSystem fs;
  Attempt run(fs);
  run.options.pieces = false;
  {
    ScriptedServer server([&](const Asked& request, Peer& peer) {
      if (!request.header("range").value_or("").starts_with(fmt::format("bytes={}-", 2 * kPieceBytes))) return serve(request, peer);
      peer.wait_ms(300);
      run.cancel.request();
      peer.stall();
    });
    ASSERT_FALSE(run({run.want(server.url("/"), big())}));
  }
  const std::string base = "/downloads/here/" + digest_of(big()).hex();
  std::string part = fs.content(base + ".part");
  part[100] ^= 1;
  fs.put(base + ".part", part);
  ScriptedServer server(serve);
  Attempt again(fs);
  again.options.pieces = false;
  const auto done = again({again.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(base), big());
}

TEST(Download, ADamagedRecordMeansFromTheBeginning) {
  const auto serve = [](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); };
  MemoryFileSystem fs;
  leave_two_pieces(fs, serve);
  const std::string record = "/downloads/here/" + digest_of(big()).hex() + ".state";
  std::string bytes = fs.content(record);
  ASSERT_FALSE(bytes.empty());
  bytes[bytes.size() / 2] ^= 1;
  fs.put(record, bytes);
  ScriptedServer server(serve);
  Attempt run(fs);
  ASSERT_TRUE(run({run.want(server.url("/"), big())}));
  EXPECT_EQ(fs.content(run.files[0].path), big());
  EXPECT_EQ(run.files[0].bytes_transferred, big().size());
}

TEST(Download, AFinishedFileIsReadInsteadOfFetched) {
  ScriptedServer server([](const Asked& request, Peer& peer) { peer.answer_file(request, big(), "v"); });
  MemoryFileSystem fs;
  const std::string name = "/downloads/here/" + digest_of(big()).hex();
  fs.put(name, big());
  Attempt run(fs);
  ASSERT_TRUE(run({run.want(server.url("/"), big())}));
  EXPECT_EQ(server.requests().size(), 0U);
  std::string wrong = big();
  wrong[9] ^= 1;
  fs.put(name, wrong);
  Attempt again(fs);
  const auto done = again({again.want(server.url("/"), big())});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs.content(name), big()) << "a name is believed only with its bytes";
}

TEST(Download, TwoAtOnceWaitForEachOther) {
  TemporaryFolder folder;
  std::atomic<int> asked{0};
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    ++asked;
    peer.wait_ms(100);
    peer.answer_file(request, "content", "v");
  });
  Attempt first(os::real_file_system()), second(os::real_file_system());
  first.folder = second.folder = folder / "x";
  Status one, two;
  std::thread other([&] { one = first({first.want(server.url("/"), "content")}); });
  two = second({second.want(server.url("/"), "content")});
  other.join();
  EXPECT_TRUE(one);
  EXPECT_TRUE(two);
  EXPECT_EQ(asked, 1) << "the second found what the first had finished";
}

TEST(Download, AnErrorOfTheCallerEndsIt) {
  ScriptedServer server([](const Asked& request, Peer& peer) { peer.answer_file(request, "content", "v"); });
  MemoryFileSystem fs;
  Attempt run(fs);
  run.on_file = [] { return fail(Code::permission, "no room in the store"); };
  const auto done = run({run.want(server.url("/"), "content")});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::permission);
}

TEST(FetchRange, GivesExactlyThoseBytes) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.target == "/plain") return peer.answer(200, {}, "0123456789");
    if (request.target == "/lie") return peer.answer(206, {"Content-Range: bytes 0-3/10"}, "0123");
    peer.answer_file(request, "0123456789", "v");
  });
  MemoryFileSystem fs;
  const Attempt run(fs);
  auto client = *net::Client::make({});
  for (const char* path : {"/", "/plain"}) {
    const auto bytes = fetch_range(*client, run.want(server.url(path), "0123456789"), 3, 4, run.options.retry, nullptr);
    ASSERT_TRUE(bytes) << bytes.error().message;
    EXPECT_EQ(as_text(*bytes), "3456");
  }
  EXPECT_EQ(fetch_range(*client, run.want(server.url("/lie"), "0123456789"), 3, 4, run.options.retry, nullptr).error().code, Code::corrupt);
  EXPECT_EQ(fetch_range(*client, run.want(server.url("/"), "0123456789"), 8, 4, run.options.retry, nullptr).error().code, Code::invalid);
}

}  // namespace
}  // namespace mlxcache::fetch
