// Mending from upstream, and what is here against what upstream says: a hub on loopback that answers as a test says.
#include "mlxcache/repair/repair.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/scripted_server.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/repair/upstream.h"
#include "mlxcache/scan/scan.h"

namespace mlxcache::repair {
namespace {

namespace os = mlxbase::os;
namespace path = mlxbase::path;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Result;
using mlxbase::testing::noise;
using mlxbase::testing::read_all;
using mlxbase::testing::ScriptedServer;
using mlxbase::testing::TemporaryFolder;
using testing::HasSubstr;

constexpr std::size_t kPiece = mlxbase::kChainPieceBytes;
const std::string kCommit(40, '1');
const std::string kNewer(40, '2');

Digest digest_of(Algorithm algorithm, std::string_view bytes) {
  mlxbase::Hasher hasher(algorithm, bytes.size());
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

using Files = std::map<std::string, std::string>;  // path in the repo, bytes

/// A hub with one repo, org/model; what it says may be spoiled.
class Hub {
 public:
  Hub() : server_([this](const auto& request, auto& peer) { answer(request, peer); }) {}

  std::map<std::string, Files> commits;  // by commit
  std::string head = kCommit;
  bool ranges = true;
  bool lies = false;                     // other bytes than it lists
  std::uint64_t sent() const { return sent_; }
  std::string url() const { return server_.url(""); }
  std::vector<std::string> asked_for_bytes() const {
    std::vector<std::string> out;
    for (const auto& r : server_.requests()) {
      if (r.target.find("/resolve/") != std::string::npos) out.push_back(r.target + " " + r.header("range").value_or("whole"));
    }
    return out;
  }

 private:
  static std::string row(const std::string& name, const std::string& bytes) {
    const std::string sha256 = digest_of(Algorithm::sha256, bytes).hex();
    const bool lfs = name.ends_with(".gguf");
    const std::string more = lfs ? fmt::format(R"(,"lfs":{{"oid":"{}","size":{},"pointerSize":134}})", sha256, bytes.size()) : "";
    return fmt::format(R"({{"type":"file","path":"{}","size":{},"oid":"{}"{}}})", name, bytes.size(), digest_of(Algorithm::git_sha1, bytes).hex(), more);
  }
  void answer(const ScriptedServer::Request& request, ScriptedServer::Peer& peer) {
    const auto after = [&](std::string_view mark) {
      const auto at = request.target.find(mark);
      return at == std::string::npos ? std::string() : request.target.substr(at + mark.size());
    };
    const auto error = [&](int status, const std::string& code) { peer.answer(status, {"X-Error-Code: " + code}, "{}"); };
    if (const auto revision = after("/revision/"); !revision.empty()) {
      const std::string commit = revision == "main" ? head : revision;
      if (!commits.contains(commit)) return error(404, "RevisionNotFound");
      return peer.answer(200, {}, fmt::format(R"({{"sha":"{}","gated":false}})", commit));
    }
    if (const auto tree = after("/tree/"); !tree.empty()) {
      std::string rows;
      for (const auto& [name, bytes] : commits.at(tree.substr(0, 40))) rows += (rows.empty() ? "" : ",") + row(name, bytes);
      return peer.answer(200, {}, "[" + rows + "]");
    }
    const auto file = after("/resolve/");
    if (file.size() < 42 || !commits.contains(file.substr(0, 40))) return error(404, "EntryNotFound");
    std::string bytes = commits.at(file.substr(0, 40)).at(file.substr(41));
    if (lies) std::fill(bytes.begin(), bytes.end(), 'x');
    if (!ranges) {
      sent_ += bytes.size();
      return peer.answer(200, {}, bytes);
    }
    const auto range = request.header("range");
    std::uint64_t first = 0;
    std::uint64_t last = bytes.size() - 1;
    if (range) {
      first = std::strtoull(range->c_str() + std::string_view("bytes=").size(), nullptr, 10);
      last = std::strtoull(range->c_str() + range->find('-') + 1, nullptr, 10);
    }
    sent_ += std::min<std::uint64_t>(last, bytes.size() - 1) - first + 1;
    peer.answer_file(request, bytes, "\"tag\"");
  }

  std::atomic<std::uint64_t> sent_{0};
  ScriptedServer server_;
};

class Repair : public testing::Test {
 protected:
  Repair() : catalog_(catalog::Catalog::in_memory().value()) {
    environment_.home = folder_ / "home";
    environment_.working_directory = environment_.home;
    environment_.temp_directory = folder_ / "tmp";
    environment_.etc = folder_ / "etc";
    environment_.root = folder_ / "root";
    environment_.platform = os::this_platform();
    environment_.variables["HF_ENDPOINT"] = hub_.url();
    hub_.commits[kCommit] = {{"model.gguf", kWeights}, {"config.json", "{}"}};
    for (const auto& [name, bytes] : hub_.commits[kCommit]) put(name, bytes);
    folder_.write("home/.cache/huggingface/hub/models--org--model/refs/main", kCommit);
  }

  /// As the hub's own tools lay it out.
  void put(const std::string& name, const std::string& bytes) {
    const std::string blob = name.ends_with(".gguf") ? digest_of(Algorithm::sha256, bytes).hex() : digest_of(Algorithm::git_sha1, bytes).hex();
    const std::string repo = "home/.cache/huggingface/hub/models--org--model/";
    folder_.write(repo + "blobs/" + blob, bytes);
    auto& fs = os::real_file_system();
    ASSERT_TRUE(os::make_dirs(fs, folder_ / (repo + "snapshots/" + kCommit)));
    ASSERT_TRUE(fs.make_symlink("../../blobs/" + blob, folder_ / (repo + "snapshots/" + kCommit + "/" + name)));
  }
  std::string blob() const { return folder_ / ("home/.cache/huggingface/hub/models--org--model/blobs/" + digest_of(Algorithm::sha256, kWeights).hex()); }

  /// Changes bytes as a failing disk does: size and times stay.
  void rot(std::uint64_t at) {
    auto& fs = os::real_file_system();
    const auto stat = fs.stat(blob()).value();
    ASSERT_TRUE(fs.open_write(blob()).value()->pwrite(at, mlxbase::as_bytes(std::string_view("rotten"))));
    ASSERT_TRUE(fs.set_times(blob(), stat.atime_ns, stat.mtime_ns));
  }
  catalog::Inventory scanned() { return scan::scan(context_, catalog_, {}, mlxbase::no_progress()).value(); }
  /// Reads all once, as `verify` does: what is kept of it is what repair knows later.
  void seen_whole() { ASSERT_TRUE(verify::verify(context_, catalog_, scanned(), {.models = {}, .also = {}, .deep = true}, clock_, mlxbase::no_progress())); }

  Result<Plan> planned() {
    if (!client_) {
      endpoints_ = fetch::endpoints(context_).value();
      client_ = mlxbase::net::Client::make({.user_agent = "test", .proxy = {}, .variable = {}, .ca_file = {}, .offline = endpoints_.offline}).value();
    }
    upstream_ = std::make_unique<Upstream>(*client_, endpoints_, nullptr, clock_, mlxbase::net::RetryPolicy{.attempts = 1});
    return make_plan(context_, catalog_, scanned(), {"org/model"}, clock_, mlxbase::no_progress(), upstream_.get());
  }
  Result<change::Done> mended(Plan& plan) {
    return run({context_, home_, clock_, mlxbase::no_progress(), nullptr, "repair"}, plan, upstream_.get(), [&](const catalog::Root&) { return folder_ / "downloads"; });
  }
  UpstreamReport compared() {
    (void)planned();
    auto report = compare_upstream(context_, catalog_, scanned(), {.models = {"org/model"}, .also = {}, .deep = true}, *upstream_, clock_, mlxbase::no_progress());
    EXPECT_TRUE(report) << report.error().message;
    return report ? *std::move(report) : UpstreamReport{};
  }
  static Standing standing_of(const UpstreamReport& report, const std::string& name) {
    for (const auto& f : report.files) {
      if (f.remote_path == name) return f.standing;
    }
    ADD_FAILURE() << name << " was not compared";
    return Standing::unknown;
  }

  const std::string kWeights = noise(3 * kPiece + 4321, 7);
  TemporaryFolder folder_;
  Hub hub_;
  os::Environment environment_;
  stores::Context context_{os::real_file_system(), environment_, nullptr};
  catalog::Catalog catalog_;
  mlxbase::testing::FakeClock clock_;
  std::string home_ = folder_ / "home.mlxcache";
  fetch::Endpoints endpoints_;
  std::unique_ptr<mlxbase::net::Client> client_;
  std::unique_ptr<Upstream> upstream_;
};

TEST_F(Repair, FetchesOnlyTheDamagedPieces) {
  seen_whole();
  rot(kPiece + 100);
  rot(3 * kPiece + 5);
  auto plan = planned();
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->files.size(), 1U);
  EXPECT_EQ(plan->files[0].state, State::mendable);
  EXPECT_EQ(plan->files[0].fetch_bytes, kPiece + 4321);
  EXPECT_EQ(hub_.sent(), 0U) << "a plan fetches nothing";
  const auto done = mended(*plan);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(plan->files[0].state, State::mended) << plan->files[0].reason;
  EXPECT_EQ(plan->files[0].fetched_bytes, kPiece + 4321);
  EXPECT_EQ(hub_.sent(), kPiece + 4321);
  EXPECT_EQ(read_all(blob()), kWeights);
  const auto again = planned();
  EXPECT_TRUE(again->files.empty());
}

TEST_F(Repair, FetchesTheWholeWhereNobodyKnowsThePieces) {
  rot(kPiece + 100);
  auto plan = planned();
  ASSERT_EQ(plan->files.size(), 1U);
  EXPECT_EQ(plan->files[0].fetch_bytes, kWeights.size());
  EXPECT_THAT(plan->files[0].reason, HasSubstr("all of it is fetched"));
  ASSERT_TRUE(mended(*plan));
  EXPECT_EQ(plan->files[0].state, State::mended) << plan->files[0].reason;
  EXPECT_EQ(hub_.sent(), kWeights.size());
  EXPECT_EQ(read_all(blob()), kWeights);
}

TEST_F(Repair, TakesNothingFromAnUpstreamThatLies) {
  seen_whole();
  rot(100);
  const std::string damaged = read_all(blob());
  hub_.lies = true;
  auto plan = planned();
  const auto done = mended(*plan);
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->transaction.empty());
  EXPECT_EQ(plan->files[0].state, State::failed);
  EXPECT_THAT(plan->files[0].reason, HasSubstr("other bytes"));
  EXPECT_EQ(read_all(blob()), damaged);
}

TEST_F(Repair, AServerWithoutRangesIsAskedForTheWhole) {
  seen_whole();
  rot(100);
  hub_.ranges = false;
  auto plan = planned();
  ASSERT_TRUE(mended(*plan));
  EXPECT_EQ(plan->files[0].state, State::mended) << plan->files[0].reason;
  EXPECT_EQ(read_all(blob()), kWeights);
}

TEST_F(Repair, SaysWhyNobodyHasTheBytes) {
  seen_whole();
  rot(100);
  hub_.commits = {{kNewer, {{"model.gguf", "other"}}}};
  hub_.head = kNewer;
  const auto plan = planned();
  EXPECT_EQ(plan->files[0].state, State::no_source);
  EXPECT_THAT(plan->files[0].reason, HasSubstr("upstream"));
}

TEST_F(Repair, OfflineAsksNobody) {
  seen_whole();
  rot(100);
  environment_.variables["HF_HUB_OFFLINE"] = "1";
  const auto plan = planned();
  EXPECT_EQ(plan->files[0].state, State::no_source);
  EXPECT_THAT(plan->files[0].reason, HasSubstr("offline"));
}

TEST_F(Repair, ATwinOnThisMachineComesFirst) {
  seen_whole();
  const std::string twin = folder_.write("home/.lmstudio/models/org/model/model.gguf", kWeights);
  rot(100);
  auto plan = planned();
  ASSERT_EQ(plan->files.size(), 1U);
  EXPECT_EQ(plan->files[0].twin, twin);
  ASSERT_TRUE(mended(*plan));
  EXPECT_EQ(hub_.sent(), 0U);
  EXPECT_EQ(read_all(blob()), kWeights);
}

TEST_F(Repair, UndoBringsTheDamagedFileBack) {
  seen_whole();
  rot(100);
  const std::string damaged = read_all(blob());
  auto plan = planned();
  const auto done = mended(*plan);
  ASSERT_TRUE(done && !done->transaction.empty());
  const auto trash = change::trash({context_, home_, clock_, mlxbase::no_progress(), nullptr, "test"});
  ASSERT_TRUE(trash);
  ASSERT_EQ(trash->size(), 1U);
  EXPECT_EQ(read_all(trash->front().trash_path), damaged);
}

TEST_F(Repair, AllIsAsUpstreamSays) {
  const auto report = compared();
  EXPECT_EQ(standing_of(report, "model.gguf"), Standing::ok);
  EXPECT_EQ(standing_of(report, "config.json"), Standing::ok);
  ASSERT_EQ(report.models.size(), 1U);
  EXPECT_FALSE(report.models[0].moved);
  EXPECT_EQ(hub_.asked_for_bytes(), std::vector<std::string>{});
}

TEST_F(Repair, TellsDamageFromAChangeUpstream) {
  hub_.commits[kNewer] = {{"model.gguf", "other bytes"}};
  hub_.head = kNewer;
  auto report = compared();
  EXPECT_TRUE(report.models[0].moved);
  EXPECT_EQ(report.models[0].head, kNewer);
  EXPECT_EQ(standing_of(report, "model.gguf"), Standing::changed);
  EXPECT_EQ(standing_of(report, "config.json"), Standing::gone);
  rot(100);
  report = compared();
  EXPECT_EQ(standing_of(report, "model.gguf"), Standing::damaged);
  EXPECT_EQ(hub_.asked_for_bytes(), std::vector<std::string>{});
}

TEST_F(Repair, ARepoThatIsGoneUpstreamIsSaidSo) {
  hub_.commits.clear();
  const auto report = compared();
  EXPECT_EQ(standing_of(report, "model.gguf"), Standing::gone);
  EXPECT_FALSE(report.models[0].problem.empty());
}

TEST_F(Repair, AToolWithoutDigestsIsComparedWithWhatTheNameMeansNow) {
  folder_.write("home/.lmstudio/models/org/model/model.gguf", noise(kWeights.size(), 8));
  const auto report = compared();
  std::vector<Standing> of_lm_studio;
  for (const auto& f : report.files) {
    if (f.store == "lm-studio") of_lm_studio.push_back(f.standing);
  }
  EXPECT_EQ(of_lm_studio, std::vector{Standing::changed});
}

}  // namespace
}  // namespace mlxcache::repair
