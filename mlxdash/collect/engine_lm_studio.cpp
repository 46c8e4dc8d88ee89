// LM Studio (documentation of April 2026): /api/v0/models says what is loaded; /v1/models lists everything that was downloaded, and is not asked.
#include "mlxdash/collect/dialect.h"

namespace mlxdash::collect::lm_studio {
namespace {

namespace json = mlxbase::json;

class LmStudio final : public Dialect {
 public:
  std::vector<Question> questions() const override { return {{"/api/v0/models", 2000}}; }

  void read(std::string_view, const Reply& reply, const Moment&, Engine& engine) override {
    set_state(reply, engine);
    const json::Value body = json_of(reply);
    if (!reply.ok() || !body["data"].is_array()) {
      engine.models = reply.ok() ? Absent::malformed : Absent::no_answer;
      engine.models_known = reply.ok() ? Absent::malformed : Absent::no_answer;
      return;
    }
    std::vector<LoadedModel> models;
    for (const json::Value& m : body["data"].array()) {
      if (m["state"].string() == "not-loaded") continue;
      LoadedModel model{.name = m["id"].string(), .format = m["compatibility_type"].string() + " " + m["quantization"].string(), .state = m["state"].string()};
      model.bytes = model.gpu_bytes = Absent::not_supported;
      model.expires_in = Absent::not_supported;
      model.context = count_of(m["loaded_context_length"]);
      if (!model.context) model.context = count_of(m["max_context_length"]);
      models.push_back(std::move(model));
    }
    engine.models = std::move(models);
    engine.models_known = body["data"].array().size();
  }
};

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/api/v0/models");
  if (reply == nullptr || !reply->ok()) return std::nullopt;
  const json::Value body = json_of(*reply);
  if (body["object"].string() != "list" || !body["data"].is_array()) return std::nullopt;
  for (const json::Value& m : body["data"].array()) {
    if (m["compatibility_type"].if_string() == nullptr) return std::nullopt;
  }
  return "";
}

std::unique_ptr<Dialect> make() { return std::make_unique<LmStudio>(); }

}  // namespace mlxdash::collect::lm_studio
