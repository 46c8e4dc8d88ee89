// vLLM (names of the 0.2x and 0.3x series, with those from before V1 as second choice). Counters carry _total; the _created series are no counts.
#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/prometheus.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect::vllm {
namespace {

namespace json = mlxbase::json;
using prometheus::Scrape;

Reading<double> reading(std::optional<double> value) { return value ? Reading<double>(*value) : Reading<double>(Absent::not_supported); }

class Vllm final : public Dialect {
 public:
  std::vector<Question> questions() const override { return {{"/metrics", 2000}, {"/v1/models", 30'000}, {"/version", 300'000}}; }

  void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) override {
    if (path == "/metrics") return metrics(reply, now, engine);
    if (!reply.ok()) return;
    const json::Value body = json_of(reply);
    if (path == "/version") engine.version = body["version"].string();
    if (path == "/v1/models") {
      std::vector<LoadedModel> models;
      for (const json::Value& m : body["data"].array()) {
        LoadedModel model{.name = m["id"].string(), .state = "loaded"};
        model.bytes = model.gpu_bytes = Absent::not_supported;
        model.expires_in = Absent::not_supported;
        model.context = count_of(m["max_model_len"]);
        models.push_back(std::move(model));
      }
      engine.models = std::move(models);
    }
  }

 private:
  void metrics(const Reply& reply, const Moment& now, Engine& engine) {
    set_state(reply, engine);
    const auto scrape =
        Scrape::read(reply.body, {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "vllm:prompt_tokens_total",
                                  "vllm:generation_tokens_total", "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:time_to_first_token_seconds",
                                  "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"});
    if (!reply.ok() || !scrape) {
      const Absent why = reply.ok() ? Absent::malformed : Absent::no_answer;
      for (auto* r : {&engine.running, &engine.waiting, &engine.decode, &engine.prefill, &engine.kv_used, &engine.prefix_hits, &engine.first_token.p50,
                      &engine.first_token.p95, &engine.between_tokens.p50, &engine.between_tokens.p95, &engine.tokens_total}) {
        *r = why;
      }
      return;
    }
    engine.running = reading(scrape->sum("vllm:num_requests_running"));
    engine.waiting = reading(scrape->sum("vllm:num_requests_waiting"));
    engine.kv_used = reading(scrape->max("vllm:kv_cache_usage_perc"));
    if (!engine.kv_used) engine.kv_used = reading(scrape->max("vllm:gpu_cache_usage_perc"));
    const auto rate = [&](Rate& memory, std::string_view name) {
      const auto value = scrape->sum(name);
      return value ? memory.per_second(*value, now.steady_ns) : Reading<double>(Absent::not_supported);
    };
    engine.decode = rate(generated_, "vllm:generation_tokens_total");
    engine.prefill = rate(prompt_, "vllm:prompt_tokens_total");
    engine.tokens_total = reading(scrape->sum("vllm:generation_tokens_total"));
    hits(scrape->sum("vllm:prefix_cache_queries_total"), scrape->sum("vllm:prefix_cache_hits_total"), engine);
    first_.update(scrape->buckets("vllm:time_to_first_token_seconds"), engine.first_token.p50, engine.first_token.p95);
    const auto& between = scrape->buckets("vllm:inter_token_latency_seconds");
    between_.update(between.empty() ? scrape->buckets("vllm:time_per_output_token_seconds") : between, engine.between_tokens.p50, engine.between_tokens.p95);
  }

  /// Over what came since the last scrape, so that a good morning does not hide a bad evening.
  void hits(std::optional<double> queries, std::optional<double> hit, Engine& engine) {
    if (!queries || !hit) {
      engine.prefix_hits = Absent::not_supported;
      return;
    }
    if (queries_ && *queries > *queries_ && *hit >= *hits_) ratio_ = (*hit - *hits_) / (*queries - *queries_);
    queries_ = queries;
    hits_ = hit;
    engine.prefix_hits = ratio_;
  }

  Rate generated_, prompt_;
  std::optional<double> queries_, hits_;
  Reading<double> ratio_;
  prometheus::Histogram first_, between_;
};

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/metrics");
  if (reply == nullptr || !reply->ok()) return std::nullopt;
  bool found = false;
  const auto parsed = prometheus::parse(reply->body, [&](const prometheus::Sample& s) { found = found || s.name.starts_with("vllm:"); });
  if (!parsed || !found) return std::nullopt;
  return "";
}

std::unique_ptr<Dialect> make() { return std::make_unique<Vllm>(); }

}  // namespace mlxdash::collect::vllm
