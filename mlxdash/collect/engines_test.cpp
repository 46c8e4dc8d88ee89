// Each kind of server, as a scripted one: what it answers idle, busy, loading, locked, wrong. The bodies are hand-made after docs/design/monitoring.md's
// sources unless they come from fixtures/http.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>

#include "mlxbase/core/clock.h"
#include "mlxbase/testing/scripted_server.h"
#include "mlxdash/collect/collect_fixture.h"

namespace mlxdash::collect {
namespace {

using mlxbase::testing::ScriptedServer;

/// Answers by path; everything else is 404.
class FakeEngine {
 public:
  FakeEngine() : server_([this](const ScriptedServer::Request& request, ScriptedServer::Peer& peer) { answer(request, peer); }) {}
  void set(const std::string& path, std::string body, int status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[path] = {status, std::move(body)};
  }
  std::string url() const { return server_.url(""); }
  std::vector<std::string> asked() const {
    std::vector<std::string> out;
    for (const auto& r : server_.requests()) out.push_back(r.method + " " + r.target);
    return out;
  }

 private:
  void answer(const ScriptedServer::Request& request, ScriptedServer::Peer& peer) {
    std::pair<int, std::string> found{404, "{\"detail\":\"Not Found\"}"};
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = answers_.find(request.target); at != answers_.end()) found = at->second;
    }
    peer.answer(found.first, {"Content-Type: application/json"}, found.second);
  }
  mutable std::mutex mutex_;
  std::map<std::string, std::pair<int, std::string>> answers_;
  ScriptedServer server_;
};

/// Time that a test moves, over the real one: deadlines must run.
class MovedClock final : public mlxbase::Clock {
 public:
  std::int64_t wall_ns() override { return mlxbase::system_clock().wall_ns() + ahead_; }
  std::int64_t steady_ns() override { return mlxbase::system_clock().steady_ns() + ahead_; }
  void advance(double seconds) { ahead_ += static_cast<std::int64_t>(seconds * 1e9); }

 private:
  std::atomic<std::int64_t> ahead_{0};
};

class EnginesSource : public OnARoot {
 protected:
  std::unique_ptr<Looker> asking(std::vector<std::string> urls, std::uint32_t deadline_ms = 2000) {
    Parts parts{.fs = fs(), .environment = environment_, .clock = moved_};
    parts.root = folder_.path();
    parts.engine_urls = std::move(urls);
    parts.find_engines = false;
    parts.http_deadline_ms = deadline_ms;
    return make_engines(parts);
  }
  const Engine& see(Looker& looker, double after = 0, std::size_t which = 0) {
    moved_.advance(after);
    const auto seen = looker.look({.wall_ns = moved_.wall_ns(), .steady_ns = moved_.steady_ns()});
    EXPECT_TRUE(seen);
    (*seen)(s);
    return s.engines->at(which);
  }
  MovedClock moved_;
};

void be_ollama(FakeEngine& fake) {
  fake.set("/api/version", R"({"version":"0.6.6"})");
  fake.set("/api/ps", R"({"models":[{"name":"llama3.2:3b","model":"llama3.2:3b","size":4000,"digest":"d","details":{"format":"gguf","quantization_level":"Q4_K_M"},
      "expires_at":"2318-01-01T00:00:00.123456789+01:00","size_vram":3000,"context_length":8192}]})");
  fake.set("/api/tags", R"({"models":[{"name":"a"},{"name":"b"}]})");
}

TEST_F(EnginesSource, OllamaTellsItsModelsAndNothingItDoesNotKnow) {
  FakeEngine fake;
  be_ollama(fake);
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "ollama");
  EXPECT_EQ(e.version, "0.6.6");
  EXPECT_EQ(e.state, "up");
  ASSERT_TRUE(e.models);
  ASSERT_EQ(e.models->size(), 1U);
  EXPECT_EQ(e.models->front().gpu_bytes, 3000U);
  EXPECT_TRUE(std::isinf(*e.models->front().expires_in)) << "keep-alive -1";
  EXPECT_EQ(e.models_known, 2U);
  EXPECT_EQ(e.decode.error(), Absent::not_supported) << "it has no metrics: not zero";
}

TEST_F(EnginesSource, MlxhubIsNotTakenForTheOllamaWhoseDialectItSpeaks) {
  FakeEngine fake;
  fake.set("/api/version", R"({"version":"0.6.6","server":"mlxhub 0.1.0"})");
  fake.set("/api/ps", R"({"models":[{"name":"m","model":"m","size":4000,"digest":"d","details":{"format":"gguf","quantization_level":"Q4_1"},"expires_at":"2318-01-01T00:00:00Z","size_vram":0}]})");
  fake.set("/api/tags", R"({"models":[{"name":"m"},{"name":"n"}]})");
  const auto count = [&](int prompt, int cached, int answer) {
    fake.set("/metrics", fmt::format("# TYPE mlxhub_requests_active gauge\nmlxhub_requests_active 2\nmlxhub_requests_waiting 1\nmlxhub_prompt_tokens_total {}\n"
                                     "mlxhub_prompt_tokens_cached_total {}\nmlxhub_answer_tokens_total {}\n", prompt, cached, answer));
  };
  count(100, 10, 1000);
  auto engines = asking({fake.url()});
  const Engine& first = see(*engines);
  EXPECT_EQ(first.kind, "mlxhub");
  EXPECT_EQ(first.version, "0.1.0");
  EXPECT_EQ(first.state, "up");
  ASSERT_TRUE(first.models);
  EXPECT_EQ(first.models->front().name, "m");
  EXPECT_EQ(first.models_known, 2U);
  EXPECT_EQ(first.decode.error(), Absent::not_yet);
  count(200, 85, 1100);
  const Engine& second = see(*engines, 10);
  EXPECT_EQ(second.running, 2);
  EXPECT_EQ(second.waiting, 1);
  EXPECT_NEAR(*second.decode, 10, 0.5);
  EXPECT_NEAR(*second.prefill, 10, 0.5);
  EXPECT_DOUBLE_EQ(*second.prefix_hits, 0.75);
  EXPECT_EQ(second.first_token.p50.error(), Absent::not_supported);
  fake.set("/metrics", "", 500);
  EXPECT_EQ(see(*engines, 10).decode.error(), Absent::no_answer);
}

TEST_F(EnginesSource, ARecordedOllamaIsReadAsItWas) {
  const auto recorded = [](const char* name) { return mlxbase::testing::read_all(fixtures() + "/http/ollama/" + name); };
  FakeEngine fake;
  for (const char* name : {"version", "ps", "tags"}) fake.set(std::string("/api/") + name, recorded((std::string(name) + ".idle").c_str()));
  auto engines = asking({fake.url()});
  const Engine& idle = see(*engines);
  EXPECT_EQ(idle.kind, "ollama");
  ASSERT_TRUE(idle.models);
  EXPECT_TRUE(idle.models->empty());
  EXPECT_EQ(idle.models_known, 0U);
  fake.set("/api/ps", recorded("ps.loaded"));
  fake.set("/api/tags", recorded("tags.loaded"));
  const Engine& e = see(*engines, 61);
  ASSERT_EQ(e.models->size(), 1U);
  const LoadedModel& m = e.models->front();
  EXPECT_EQ(m.name, "tiny:latest");
  EXPECT_EQ(m.bytes, 300754944U);
  EXPECT_EQ(m.gpu_bytes, 0U) << "told as zero: it is on the processor";
  EXPECT_EQ(m.context.error(), Absent::not_supported) << "not told";
  EXPECT_EQ(m.expires_in, 0.0) << "its time is over by now";
  EXPECT_EQ(e.models_known, 1U);
}

TEST_F(EnginesSource, NothingIsAskedThatCouldCauseWork) {
  FakeEngine fake;
  be_ollama(fake);
  auto engines = asking({fake.url()});
  for (int i = 0; i < 3; ++i) see(*engines, 61);
  for (const std::string& line : fake.asked()) {
    EXPECT_TRUE(line == "GET /api/version" || line == "GET /api/ps" || line == "GET /api/tags") << line;
  }
}

void be_llama_server(FakeEngine& fake) {
  fake.set("/props", R"({"default_generation_settings":{"n_ctx":4096},"total_slots":2,"model_path":"/models/q.gguf","build_info":"b7000-abc","is_sleeping":false})");
  fake.set("/health", R"({"status":"ok"})");
  fake.set("/slots", R"([{"id":0,"n_ctx":4096,"is_processing":true,"id_task":5,"n_prompt_tokens":110,"n_prompt_tokens_processed":75,"n_prompt_tokens_cache":25,"prompt":"my secret","next_token":[{"n_decoded":10}]},
                         {"id":1,"n_ctx":4096,"is_processing":false}])");
  fake.set("/metrics", "llamacpp:prompt_tokens_total 100\nllamacpp:prompt_seconds_total 1\nllamacpp:tokens_predicted_total 50\nllamacpp:tokens_predicted_seconds_total 2\n"
                       "llamacpp:requests_processing 1\nllamacpp:requests_deferred 4\nllamacpp:predicted_tokens_seconds 999\n");
  fake.set("/v1/models", R"({"object":"list","data":[{"id":"q","owned_by":"llamacpp","meta":{"size":123456}}]})");
}

TEST_F(EnginesSource, LlamaServerIsMeasuredFromSlotsAndCounters) {
  FakeEngine fake;
  be_llama_server(fake);
  auto engines = asking({fake.url()});
  see(*engines);
  fake.set("/slots", R"([{"id":0,"n_ctx":4096,"is_processing":true,"id_task":5,"n_prompt_tokens":110,"n_prompt_tokens_processed":75,"n_prompt_tokens_cache":25,"next_token":{"n_decoded":60}},
                         {"id":1,"n_ctx":4096,"is_processing":false}])");
  const Engine& e = see(*engines, 2);
  EXPECT_EQ(e.kind, "llama-server");
  EXPECT_EQ(e.version, "b7000-abc");
  EXPECT_EQ(e.running, 1.0);
  EXPECT_EQ(e.waiting, 4.0);
  EXPECT_EQ(e.prefix_hits, 0.25);
  ASSERT_TRUE(e.decode);
  EXPECT_NEAR(*e.decode, 25, 3) << "50 tokens in two seconds; an object in place of the array is read too";
  EXPECT_EQ(e.models->front().name, "q.gguf");
  EXPECT_EQ(e.models->front().bytes, 123456U);
  EXPECT_EQ(e.models->front().context, 4096U);
}

TEST_F(EnginesSource, ARecordedLlamaServerIsReadAsItWas) {
  const auto recorded = [](const char* name) { return mlxbase::testing::read_all(fixtures() + "/http/llama-server/" + name); };
  FakeEngine fake;
  fake.set("/props", recorded("props.idle"));
  fake.set("/health", recorded("health.idle"));
  fake.set("/v1/models", recorded("models.idle"));
  fake.set("/metrics", recorded("metrics.busy"));
  fake.set("/slots", recorded("slots.busy"));
  auto engines = asking({fake.url()});
  see(*engines);
  fake.set("/slots", recorded("slots.busy2"));
  const Engine& e = see(*engines, 1);
  EXPECT_EQ(e.kind, "llama-server");
  EXPECT_EQ(e.running, 1.0);
  EXPECT_EQ(e.waiting, 0.0);
  ASSERT_TRUE(e.decode);
  EXPECT_NEAR(*e.decode, 52, 6) << "103 - 51 tokens in a second";
  EXPECT_NEAR(*e.kv_used, 130.0 / 16384, 1e-9);
  ASSERT_TRUE(e.models);
  EXPECT_EQ(e.models->front().name, "tiny");
  EXPECT_TRUE(e.models->front().bytes);
  EXPECT_EQ(e.models->front().context, 8192U);
}

TEST_F(EnginesSource, ASleepingLlamaServerIsLeftAsleep) {
  FakeEngine fake;
  be_llama_server(fake);
  fake.set("/props", R"({"total_slots":1,"model_path":"/m/q.gguf","build_info":"b1","is_sleeping":true,"default_generation_settings":{"n_ctx":1}})");
  auto engines = asking({fake.url()});
  see(*engines);
  EXPECT_EQ(see(*engines, 6).state, "sleeping");
  EXPECT_TRUE(std::ranges::none_of(fake.asked(), [](const std::string& line) { return line.find("slots") != std::string::npos; }));
}

TEST_F(EnginesSource, ALoadingLlamaServerIsLoadingAndMetricsThatAreOffAreNotSupported) {
  FakeEngine fake;
  be_llama_server(fake);
  const std::string loading = mlxbase::testing::read_all(fixtures() + "/http/llama-server/props.loading");
  for (const char* path : {"/props", "/health", "/slots", "/v1/models"}) fake.set(path, loading, 503);
  fake.set("/metrics", R"({"error":{"code":501,"type":"not_supported_error"}})", 501);
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "llama-server");
  EXPECT_EQ(e.state, "loading");
  EXPECT_EQ(e.waiting.error(), Absent::not_supported);
  be_llama_server(fake);
  EXPECT_EQ(see(*engines, 6).state, "up");
}

TEST_F(EnginesSource, VllmRatesAreOfTheIntervalAndQuantilesOfWhatCameInIt) {
  FakeEngine fake;
  const auto metrics = [](int tokens, int fast, int slow) {
    return "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3\nvllm:num_requests_waiting{engine=\"0\"} 2\n"
           "vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 9\nvllm:kv_cache_usage_perc 0.5\nvllm:prompt_tokens_total 7\n"
           "vllm:generation_tokens_total " + std::to_string(tokens) + "\nvllm:generation_tokens_created 1.7e9\n"
           "vllm:time_to_first_token_seconds_bucket{le=\"0.1\"} " + std::to_string(fast) + "\nvllm:time_to_first_token_seconds_bucket{le=\"1.0\"} " + std::to_string(fast + slow) +
           "\nvllm:time_to_first_token_seconds_bucket{le=\"+Inf\"} " + std::to_string(fast + slow) + "\n";
  };
  fake.set("/metrics", metrics(1000, 100, 0));
  fake.set("/v1/models", R"({"object":"list","data":[{"id":"org/m","owned_by":"vllm","max_model_len":32768}]})");
  fake.set("/version", R"({"version":"0.21.0"})");
  auto engines = asking({fake.url()});
  see(*engines);
  fake.set("/metrics", metrics(1200, 100, 10));
  const Engine& e = see(*engines, 4);
  EXPECT_EQ(e.kind, "vllm");
  EXPECT_EQ(e.version, "0.21.0");
  EXPECT_EQ(e.running, 3.0);
  EXPECT_EQ(e.waiting, 2.0) << "not the series whose name only begins alike";
  EXPECT_EQ(e.kv_used, 0.5);
  ASSERT_TRUE(e.decode);
  EXPECT_NEAR(*e.decode, 50, 5);
  EXPECT_GT(*e.first_token.p50, 0.1) << "the fast ones came before";
  EXPECT_EQ(e.models->front().context, 32768U);
}

TEST_F(EnginesSource, SglangTakesTheFirstRankAlone) {
  FakeEngine fake;
  fake.set("/server_info", R"({"tp_size":2,"version":"0.5.4"})");
  fake.set("/health", "");
  fake.set("/metrics", "sglang:num_running_reqs{tp_rank=\"0\"} 4\nsglang:num_running_reqs{tp_rank=\"1\"} 4\nsglang:gen_throughput{tp_rank=\"0\"} 77.5\nsglang:token_usage{tp_rank=\"0\"} 0.25\n");
  fake.set("/v1/models", R"({"object":"list","data":[{"id":"m","owned_by":"sglang"}]})");
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "sglang");
  EXPECT_EQ(e.running, 4.0);
  EXPECT_EQ(e.decode, 77.5);
  EXPECT_TRUE(std::ranges::none_of(fake.asked(), [](const std::string& line) { return line.find("health_generate") != std::string::npos; }));
}

TEST_F(EnginesSource, LmStudioShowsWhatIsLoadedNotWhatIsThere) {
  FakeEngine fake;
  fake.set("/api/v0/models", R"({"object":"list","data":[{"id":"a","compatibility_type":"mlx","quantization":"4bit","state":"loaded","loaded_context_length":2048,"max_context_length":9},
                                                         {"id":"b","compatibility_type":"gguf","state":"not-loaded"}]})");
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "lm-studio");
  ASSERT_EQ(e.models->size(), 1U);
  EXPECT_EQ(e.models->front().name, "a");
  EXPECT_EQ(e.models->front().context, 2048U);
  EXPECT_EQ(e.models_known, 2U);
}

TEST_F(EnginesSource, MlxLmIsToldFromOthersOnTheSamePort) {
  FakeEngine fake;
  fake.set("/health", R"({"status": "ok"})");
  fake.set("/v1/models", R"({"object":"list","data":[{"id":"mlx-community/x","object":"model","created":1}]})");
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "mlx_lm.server");
  EXPECT_EQ(e.models.error(), Absent::not_supported) << "it lists what is on disk, not what is loaded";
  EXPECT_EQ(e.models_known, 1U);
}

TEST_F(EnginesSource, AServerThatWantsAKeyIsLockedNotDown) {
  FakeEngine fake;
  for (const char* path : {"/v1/models", "/props", "/metrics", "/health"}) fake.set(path, R"({"error":{"message":"Invalid API Key","type":"authentication_error"}})", 401);
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "openai-compatible");
  EXPECT_EQ(see(*engines, 16).state, "locked");
}

TEST_F(EnginesSource, AWebServerThatIsNoneOfTheseIsNotTakenForOne) {
  FakeEngine fake;
  for (const char* path : {"/v1/models", "/props", "/metrics", "/health", "/api/version", "/server_info", "/api/v0/models"}) fake.set(path, "<html>hello</html>");
  auto engines = asking({fake.url()});
  const Engine& e = see(*engines);
  EXPECT_EQ(e.kind, "");
  EXPECT_EQ(e.state, "unknown");
  const auto asked = fake.asked().size();
  see(*engines, 5);
  EXPECT_EQ(fake.asked().size(), asked) << "and is left alone for a while";
}

TEST_F(EnginesSource, OneThatHangsCostsTheOthersNothing) {
  FakeEngine good;
  be_ollama(good);
  ScriptedServer hangs([](const ScriptedServer::Request&, ScriptedServer::Peer& peer) { peer.stall(); });
  auto engines = asking({hangs.url(""), good.url()}, 200);
  see(*engines);
  const Engine& bad = s.engines->at(0);
  EXPECT_EQ(bad.state, "down");
  EXPECT_FALSE(bad.why.empty());
  // The other one may need a second look, never more: its questions do not wait behind the one that hangs.
  EXPECT_EQ(see(*engines, 1, 1).kind, "ollama");
}

TEST_F(EnginesSource, AGigabyteIsCutOff) {
  std::atomic<std::uint64_t> sent{0};
  ScriptedServer floods([&](const ScriptedServer::Request&, ScriptedServer::Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    const std::string piece(1 << 20, 'x');
    for (int i = 0; i < 1000 && peer.is_open(); ++i) {
      peer.send(piece);
      sent += piece.size();
    }
  });
  auto engines = asking({floods.url("")}, 5000);
  const Engine& e = see(*engines);
  EXPECT_EQ(e.state, "down");
  EXPECT_LT(sent, 200'000'000U);
}

TEST_F(EnginesSource, OneThatDiesLosesItsValuesAndComesBack) {
  FakeEngine fake;
  be_ollama(fake);
  std::atomic<bool> dead{false};
  ScriptedServer server([&](const ScriptedServer::Request& request, ScriptedServer::Peer& peer) {
    if (dead) return peer.reset();
    peer.answer(200, {}, request.target == "/api/version" ? R"({"version":"1"})" : R"({"models":[]})");
  });
  auto engines = asking({server.url("")});
  EXPECT_TRUE(see(*engines).models);
  dead = true;
  see(*engines, 1);
  see(*engines, 1);
  const Engine& e = see(*engines, 1);
  EXPECT_EQ(e.state, "down");
  EXPECT_EQ(e.models.error(), Absent::no_answer);
  dead = false;
  EXPECT_EQ(see(*engines, 61).state, "up");
}

TEST_F(EnginesSource, CutOffOrWrongBodiesAreMissingNotEmpty) {
  FakeEngine fake;
  be_ollama(fake);
  auto engines = asking({fake.url()});
  see(*engines);
  for (const char* body : {"", "{\"models\":[{\"na", "<html>", "{\"models\":7}", "[]", "null"}) {
    fake.set("/api/ps", body);
    EXPECT_EQ(see(*engines, 2).models.error(), Absent::malformed) << body;
  }
}

}  // namespace
}  // namespace mlxdash::collect
