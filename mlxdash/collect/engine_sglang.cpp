// SGLang 0.5: metrics only with --enable-metrics. Several series a model (one a rank): rank 0 is taken, they are not added up. /health_generate would run
// a real token and is never asked.
#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/prometheus.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect::sglang {
namespace {

namespace json = mlxbase::json;
using prometheus::Scrape;

Reading<double> reading(std::optional<double> value) { return value ? Reading<double>(*value) : Reading<double>(Absent::not_supported); }

bool rank_zero(const prometheus::Sample& sample) {
  for (const char* rank : {"tp_rank", "pp_rank", "moe_ep_rank"}) {
    const auto value = sample.label(rank);
    if (value && *value != "0") return false;
  }
  return true;
}

class Sglang final : public Dialect {
 public:
  std::vector<Question> questions() const override { return {{"/health", 2000}, {"/metrics", off_ ? 60'000U : 2000U}, {"/v1/models", 30'000}}; }

  void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) override {
    if (path == "/health") return set_state(reply, engine);
    if (path == "/metrics") return metrics(reply, now, engine);
    if (!reply.ok()) return;
    std::vector<LoadedModel> models;
    const json::Value body = json_of(reply);
    for (const json::Value& m : body["data"].array()) {
      LoadedModel model{.name = m["id"].string(), .state = "loaded"};
      model.bytes = model.gpu_bytes = Absent::not_supported;
      model.expires_in = Absent::not_supported;
      model.context = count_of(m["max_model_len"]);
      models.push_back(std::move(model));
    }
    engine.models = std::move(models);
  }

 private:
  void metrics(const Reply& reply, const Moment& now, Engine& engine) {
    off_ = reply.status == 404;
    const auto scrape = Scrape::read(reply.body,
                                     {"sglang:num_running_reqs", "sglang:num_queue_reqs", "sglang:token_usage", "sglang:gen_throughput", "sglang:cache_hit_rate",
                                      "sglang:prompt_tokens_total", "sglang:generation_tokens_total", "sglang:time_to_first_token_seconds",
                                      "sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"},
                                     rank_zero);
    if (!reply.ok() || !scrape) {
      const Absent why = off_ ? Absent::not_supported : reply.ok() ? Absent::malformed : Absent::no_answer;
      for (auto* r : {&engine.running, &engine.waiting, &engine.decode, &engine.prefill, &engine.kv_used, &engine.prefix_hits, &engine.first_token.p50,
                      &engine.first_token.p95, &engine.between_tokens.p50, &engine.between_tokens.p95, &engine.tokens_total}) {
        *r = why;
      }
      return;
    }
    engine.running = reading(scrape->sum("sglang:num_running_reqs"));
    engine.waiting = reading(scrape->sum("sglang:num_queue_reqs"));
    engine.kv_used = reading(scrape->max("sglang:token_usage"));
    engine.decode = reading(scrape->sum("sglang:gen_throughput"));
    engine.prefix_hits = reading(scrape->max("sglang:cache_hit_rate"));
    engine.tokens_total = reading(scrape->sum("sglang:generation_tokens_total"));
    const auto prompt = scrape->sum("sglang:prompt_tokens_total");
    engine.prefill = prompt ? prompt_.per_second(*prompt, now.steady_ns) : Reading<double>(Absent::not_supported);
    first_.update(scrape->buckets("sglang:time_to_first_token_seconds"), engine.first_token.p50, engine.first_token.p95);
    const auto& between = scrape->buckets("sglang:inter_token_latency_seconds");
    between_.update(between.empty() ? scrape->buckets("sglang:time_per_output_token_seconds") : between, engine.between_tokens.p50, engine.between_tokens.p95);
  }

  bool off_ = false;
  Rate prompt_;
  prometheus::Histogram first_, between_;
};

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/server_info");
  if (reply == nullptr || !reply->ok()) return std::nullopt;
  const json::Value body = json_of(*reply);
  if (!body["tp_size"].is_number() && !body["internal_states"].is_array()) return std::nullopt;
  return body["version"].string();
}

std::unique_ptr<Dialect> make() { return std::make_unique<Sglang>(); }

}  // namespace mlxdash::collect::sglang
