// mlxhub: speaks Ollama's dialect about its models, and has metrics of its own (mlxhub/serve/service.cpp of this tree).
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/prometheus.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect::mlxhub {
namespace {

Reading<double> reading(std::optional<double> value) { return value ? Reading<double>(*value) : Reading<double>(Absent::not_supported); }

class Hub final : public Dialect {
 public:
  std::vector<Question> questions() const override {
    std::vector<Question> asks = models_->questions();
    asks.push_back({"/metrics", 1000});
    return asks;
  }

  void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) override {
    if (path == "/metrics") return metrics(reply, now, engine);
    models_->read(path, reply, now, engine);
  }

 private:
  void metrics(const Reply& reply, const Moment& now, Engine& engine) {
    const auto scrape = prometheus::Scrape::read(reply.body, {"mlxhub_requests_active", "mlxhub_requests_waiting", "mlxhub_prompt_tokens_total", "mlxhub_prompt_tokens_cached_total", "mlxhub_answer_tokens_total"});
    if (!reply.ok() || !scrape) {
      const Absent why = reply.ok() ? Absent::malformed : reply.status == 401 ? Absent::not_permitted : Absent::no_answer;
      for (auto* r : {&engine.running, &engine.waiting, &engine.decode, &engine.prefill, &engine.prefix_hits, &engine.tokens_total}) *r = why;
      return;
    }
    engine.running = reading(scrape->sum("mlxhub_requests_active"));
    engine.waiting = reading(scrape->sum("mlxhub_requests_waiting"));
    engine.tokens_total = reading(scrape->sum("mlxhub_answer_tokens_total"));
    const auto rate = [&](Rate& memory, std::optional<double> value) { return value ? memory.per_second(*value, now.steady_ns) : Reading<double>(Absent::not_supported); };
    engine.decode = rate(answered_, scrape->sum("mlxhub_answer_tokens_total"));
    const auto prompt = scrape->sum("mlxhub_prompt_tokens_total"), cached = scrape->sum("mlxhub_prompt_tokens_cached_total");
    engine.prefill = rate(prompt_, prompt);
    hits(prompt, cached, engine);
  }

  /// Over the prompts that came since they were last counted.
  void hits(std::optional<double> prompt, std::optional<double> cached, Engine& engine) {
    if (!prompt || !cached) {
      engine.prefix_hits = Absent::not_supported;
      return;
    }
    if (prompts_before_ && *prompt > *prompts_before_ && *cached >= *cached_before_) ratio_ = (*cached - *cached_before_) / (*prompt - *prompts_before_);
    prompts_before_ = prompt;
    cached_before_ = cached;
    engine.prefix_hits = ratio_;
  }

  std::unique_ptr<Dialect> models_ = ollama::make();
  Rate answered_, prompt_;
  std::optional<double> prompts_before_, cached_before_;
  Reading<double> ratio_;
};

constexpr std::string_view kName = "mlxhub ";

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/api/version");
  if (reply == nullptr || !reply->ok()) return std::nullopt;
  const std::string server = json_of(*reply)["server"].string();
  if (!server.starts_with(kName)) return std::nullopt;
  return server.substr(kName.size());
}

std::unique_ptr<Dialect> make() { return std::make_unique<Hub>(); }

}  // namespace mlxdash::collect::mlxhub
