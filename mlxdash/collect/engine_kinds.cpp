#include "mlxdash/collect/dialect.h"

#include <fmt/format.h>

namespace mlxdash::collect {

namespace json = mlxbase::json;

std::span<const EngineKind> kinds() {
  static const std::vector<EngineKind> kKinds = {
      // name         port   programs                                        asked                             proof, reader
      // Before Ollama, whose dialect it speaks too.
      {"mlxhub",       8080,  {"mlxhub"},                                    {"/api/version"},                 &mlxhub::proves, &mlxhub::make},
      {"ollama",       11434, {"ollama"},                                    {"/api/version"},                 &ollama::proves, &ollama::make},
      {"lm-studio",    1234,  {"lmstudio", "lm-studio", "LM Studio", "llmster"}, {"/api/v0/models"},           &lm_studio::proves, &lm_studio::make},
      {"llama-server", 8080,  {"llama-server", "llamafile", "llama_cpp"},    {"/props"},                       &llama_server::proves, &llama_server::make},
      {"sglang",       30000, {"sglang"},                                    {"/server_info"},                 &sglang::proves, &sglang::make},
      {"vllm",         8000,  {"vllm"},                                      {"/metrics"},                     &vllm::proves, &vllm::make},
      {"mlx_lm.server", 8080, {"mlx_lm"},                                    {"/health", "/v1/models"},        &mlx_lm::proves, &mlx_lm::make},
      {"openai-compatible", 0, {"openai_api", "koboldcpp", "tabbyapi", "local-ai", "text-generation", "omlx"}, {"/v1/models"}, &openai::proves, &openai::make},
  };
  return kKinds;
}

json::Value json_of(const Reply& reply) {
  auto parsed = json::parse(reply.body, {.bytes = std::size_t{4} << 20U, .depth = 32});
  return parsed ? std::move(*parsed) : json::Value();
}

const Reply* find(const Proofs& proofs, std::string_view path) {
  const auto at = proofs.find(path);
  return at == proofs.end() ? nullptr : &at->second;
}

std::string why_of(const Reply& reply) {
  if (reply.error) return reply.error->message;
  if (reply.status == 401 || reply.status == 403) return fmt::format("it wants a key (HTTP {})", reply.status);
  return fmt::format("HTTP {}", reply.status);
}

void set_state(const Reply& reply, Engine& engine) {
  engine.why.clear();
  if (reply.ok()) {
    engine.state = "up";
    return;
  }
  engine.why = why_of(reply);
  engine.state = reply.error ? "down" : reply.status == 401 || reply.status == 403 ? "locked" : reply.status == 503 ? "loading" : "down";
}

void nothing_known(Engine& e) {
  for (auto* reading : {&e.running, &e.waiting, &e.decode, &e.prefill, &e.kv_used, &e.prefix_hits, &e.first_token.p50, &e.first_token.p95,
                        &e.between_tokens.p50, &e.between_tokens.p95, &e.tokens_total}) {
    *reading = Absent::not_supported;
  }
  e.models_known = Absent::not_supported;
  e.models = Absent::not_yet;
}

Reading<double> number_of(const json::Value& value) {
  if (!value.is_number()) return Absent::not_supported;
  return value.number();
}

Reading<std::uint64_t> count_of(const json::Value& value) {
  if (!value.is_number() || value.number() < 0) return Absent::not_supported;
  return value.u64(static_cast<std::uint64_t>(value.number()));
}

}  // namespace mlxdash::collect
