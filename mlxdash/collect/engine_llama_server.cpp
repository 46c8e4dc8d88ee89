// llama-server (source of October 2026). /health, /props and /metrics neither wake a sleeping server nor reset its idle timer, /slots may: it is skipped
// while the server sleeps. The two throughput gauges of /metrics are averages since the last scrape by anybody, so they are not read at all: rates come
// from the counters, and /metrics is asked only every five seconds. /slots may hold prompt text in debug builds: numbers alone are taken.
#include <algorithm>
#include <map>

#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/prometheus.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect::llama_server {
namespace {

namespace json = mlxbase::json;

/// An array of one object in the source, an object in the documentation's example.
const json::Value& next_token_of(const json::Value& slot) {
  const json::Value& next = slot["next_token"];
  return next.is_array() && !next.array().empty() ? next.array().front() : next;
}

class LlamaServer final : public Dialect {
 public:
  std::vector<Question> questions() const override {
    std::vector<Question> asks = {{"/health", 1000}, {"/props", 5000}};
    if (!sleeping_ && up_) asks.push_back({"/slots", slots_off_ ? 60'000U : 1000U});
    asks.push_back({"/metrics", metrics_off_ ? 60'000U : 5000U});
    asks.push_back({"/v1/models", 30'000});
    return asks;
  }

  void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) override {
    if (path == "/health") {
      set_state(reply, engine);
      up_ = reply.ok();
      if (!up_) {
        engine.running = engine.decode = engine.kv_used = engine.prefix_hits = Absent::no_answer;
        slots_.clear();
      } else if (sleeping_) {
        engine.state = "sleeping";
      }
    } else if (path == "/props") {
      props(reply, engine);
    } else if (path == "/slots") {
      slots(reply, now, engine);
    } else if (path == "/metrics") {
      metrics(reply, engine);
    } else if (path == "/v1/models") {
      if (reply.ok()) meta_ = json_of(reply)["data"];
    }
    models(engine);
  }

 private:
  void props(const Reply& reply, Engine& engine) {
    if (!reply.ok()) return;
    const json::Value body = json_of(reply);
    sleeping_ = body["is_sleeping"].boolean(false);
    if (sleeping_) {
      engine.running = 0.0;
      engine.decode = 0.0;
    }
    name_ = body["model_alias"].string(body["model_path"].string());
    if (const auto slash = name_.rfind('/'); slash != std::string::npos && body["model_alias"].string().empty()) name_.erase(0, slash + 1);
    engine.version = body["build_info"].string(engine.version);
    context_ = count_of(body["default_generation_settings"]["n_ctx"]);
  }

  void slots(const Reply& reply, const Moment& now, Engine& engine) {
    if (reply.status == 501 || reply.status == 404) {
      slots_off_ = true;
      engine.running = engine.kv_used = engine.prefix_hits = Absent::not_supported;
      return;
    }
    slots_off_ = false;
    const json::Value body = json_of(reply);
    if (!reply.ok() || !body.is_array()) {
      engine.running = engine.kv_used = engine.decode = reply.ok() ? Absent::malformed : Absent::no_answer;
      slots_.clear();
      return;
    }
    double running = 0, held = 0, context = 0, prompt = 0, cached = 0, rate = 0;
    bool rate_known = true;
    std::map<std::int64_t, Slot> next;
    for (const json::Value& s : body.array()) {
      const bool busy = s["is_processing"].boolean(false);
      if (busy) running += 1;
      context += number_of(s["n_ctx"]).value_or(0);
      const double decoded = number_of(next_token_of(s)["n_decoded"]).value_or(0);
      held += number_of(s["n_prompt_tokens"]).value_or(0);  // with what was decoded since: seen in a build of 2026
      if (busy) {
        prompt += number_of(s["n_prompt_tokens_processed"]).value_or(0) + number_of(s["n_prompt_tokens_cache"]).value_or(0);
        cached += number_of(s["n_prompt_tokens_cache"]).value_or(0);
      }
      const std::int64_t id = s["id"].i64(-1);
      const std::int64_t task = s["id_task"].i64(-1);
      // Another task in the slot begins to count anew.
      const auto before = slots_.find(id);
      Slot slot = before != slots_.end() && before->second.task == task ? before->second : Slot{.task = task, .decoded = {}};
      if (before != slots_.end() && before->second.task != task) (void)slot.decoded.per_second(0, before_ns_);
      const auto gained = slot.decoded.per_second(decoded, now.steady_ns);
      if (gained) {
        rate += *gained;
      } else if (busy) {
        rate_known = false;
      }
      next.emplace(id, slot);
    }
    slots_ = std::move(next);
    before_ns_ = now.steady_ns;
    engine.running = running;
    engine.decode = rate_known ? Reading<double>(rate) : Absent::not_yet;
    engine.kv_used = context > 0 ? Reading<double>(std::min(held / context, 1.0)) : Absent::not_supported;
    if (prompt > 0) engine.prefix_hits = cached / prompt;
  }

  void metrics(const Reply& reply, Engine& engine) {
    if (reply.status == 501 || reply.status == 404) {
      metrics_off_ = true;
      engine.waiting = engine.prefill = engine.tokens_total = Absent::not_supported;
      return;
    }
    metrics_off_ = false;
    const auto scrape = prometheus::Scrape::read(
        reply.body, {"llamacpp:prompt_tokens_total", "llamacpp:prompt_seconds_total", "llamacpp:tokens_predicted_total", "llamacpp:tokens_predicted_seconds_total",
                     "llamacpp:requests_processing", "llamacpp:requests_deferred"});
    if (!reply.ok() || !scrape) {
      engine.waiting = engine.prefill = engine.tokens_total = reply.ok() ? Absent::malformed : Absent::no_answer;
      return;
    }
    const auto reading = [](std::optional<double> value) { return value ? Reading<double>(*value) : Reading<double>(Absent::not_supported); };
    engine.waiting = reading(scrape->sum("llamacpp:requests_deferred"));
    engine.tokens_total = reading(scrape->sum("llamacpp:tokens_predicted_total"));
    if (slots_off_) engine.running = reading(scrape->sum("llamacpp:requests_processing"));
    // The server adds tokens and seconds when a request ends: their quotient is the speed while it worked.
    engine.prefill = speed(scrape->sum("llamacpp:prompt_tokens_total"), scrape->sum("llamacpp:prompt_seconds_total"), prompt_);
    const auto decode = speed(scrape->sum("llamacpp:tokens_predicted_total"), scrape->sum("llamacpp:tokens_predicted_seconds_total"), predicted_);
    if (slots_off_) engine.decode = decode;
  }

  struct Pair {
    std::optional<double> tokens, seconds;
    Reading<double> last;
  };
  static Reading<double> speed(std::optional<double> tokens, std::optional<double> seconds, Pair& before) {
    if (!tokens || !seconds) return Absent::not_supported;
    if (before.tokens && *tokens > *before.tokens && *seconds > *before.seconds) before.last = (*tokens - *before.tokens) / (*seconds - *before.seconds);
    if (before.tokens && *tokens < *before.tokens) before.last = Absent::not_yet;
    before.tokens = tokens;
    before.seconds = seconds;
    return before.last;
  }

  void models(Engine& engine) const {
    if (name_.empty() && meta_.array().empty()) return;
    LoadedModel model{.name = name_, .format = "gguf", .state = engine.state == "loading" ? "loading" : sleeping_ ? "sleeping" : "loaded"};
    model.bytes = model.gpu_bytes = Absent::not_supported;
    model.expires_in = Absent::not_supported;
    model.context = context_;
    if (!meta_.array().empty()) {
      const json::Value& first = meta_.array().front();
      if (model.name.empty()) model.name = first["id"].string();
      model.bytes = count_of(first["meta"]["size"]);
    }
    engine.models = std::vector<LoadedModel>{std::move(model)};
  }

  struct Slot {
    std::int64_t task = -1;
    Rate decoded;
  };
  bool sleeping_ = false, slots_off_ = false, metrics_off_ = false, up_ = true;
  std::string name_;
  Reading<std::uint64_t> context_;
  json::Value meta_;
  std::map<std::int64_t, Slot> slots_;
  std::int64_t before_ns_ = 0;
  Pair prompt_, predicted_;
};

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/props");
  if (reply == nullptr || reply->error) return std::nullopt;
  const json::Value body = json_of(*reply);
  if (reply->status == 503 && body["error"]["type"].string() == "unavailable_error") return "";  // loading: it says so in its own words
  if (!reply->ok() || body["build_info"].if_string() == nullptr || !body["total_slots"].is_number()) return std::nullopt;
  return body["build_info"].string();
}

std::unique_ptr<Dialect> make() { return std::make_unique<LlamaServer>(); }

}  // namespace mlxdash::collect::llama_server
