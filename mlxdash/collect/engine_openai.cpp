// mlx_lm.server and whatever else speaks OpenAI's dialect: that it is there, and what it could load. mlx_lm.server walks the Hugging Face cache for each
// /v1/models, so that is asked once a minute and waited for; what it has loaded it does not tell.
#include <algorithm>

#include "mlxdash/collect/dialect.h"

namespace mlxdash::collect {
namespace {

namespace json = mlxbase::json;

class ModelList final : public Dialect {
 public:
  explicit ModelList(bool has_health) : has_health_(has_health) {}

  std::vector<Question> questions() const override {
    std::vector<Question> asks = {{"/v1/models", has_health_ ? 60'000U : 15'000U, 5000}};
    if (has_health_) asks.push_back({"/health", 2000});
    return asks;
  }

  void read(std::string_view path, const Reply& reply, const Moment&, Engine& engine) override {
    engine.models = Absent::not_supported;
    if (path == "/health" || !has_health_) set_state(reply, engine);
    if (path == "/health") return;
    const json::Value body = json_of(reply);
    engine.models_known = Absent::no_answer;
    if (reply.ok() && body["data"].is_array()) engine.models_known = body["data"].array().size();
  }

 private:
  bool has_health_;
};

bool is_list(const json::Value& body) {
  if (!body["data"].is_array()) return false;
  return std::ranges::all_of(body["data"].array(), [](const json::Value& m) { return m["id"].if_string() != nullptr; });
}

}  // namespace

namespace mlx_lm {

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* health = find(proofs, "/health");
  const Reply* list = find(proofs, "/v1/models");
  if (health == nullptr || list == nullptr || !health->ok() || !list->ok()) return std::nullopt;
  const json::Value body = json_of(*health);
  if (body.object().size() != 1 || body["status"].string() != "ok") return std::nullopt;
  const json::Value models = json_of(*list);
  if (!is_list(models)) return std::nullopt;
  for (const json::Value& m : models["data"].array()) {
    if (!m["owned_by"].is_null()) return std::nullopt;
  }
  return "";
}

std::unique_ptr<Dialect> make() { return std::make_unique<ModelList>(true); }

}  // namespace mlx_lm

namespace openai {

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* list = find(proofs, "/v1/models");
  if (list == nullptr || list->error) return std::nullopt;
  const json::Value body = json_of(*list);
  if (list->ok() && body["object"].string() == "list" && is_list(body)) return "";
  // Locked, and says so as OpenAI does.
  if ((list->status == 401 || list->status == 403) && body["error"].is_object()) return "";
  return std::nullopt;
}

std::unique_ptr<Dialect> make() { return std::make_unique<ModelList>(false); }

}  // namespace openai

}  // namespace mlxdash::collect
