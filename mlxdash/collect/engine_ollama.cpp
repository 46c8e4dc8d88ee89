// Ollama: /api/version, /api/ps, /api/tags (source of August 2026). It has no metrics: tokens a second stand only in its answers to others.
#include <cmath>
#include <ctime>
#include <limits>

#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/text.h"

namespace mlxdash::collect::ollama {
namespace {

namespace json = mlxbase::json;

/// Days from 1970-01-01 of a date of the Gregorian calendar.
std::int64_t days_of(std::int64_t y, unsigned m, unsigned d) {
  y -= m <= 2 ? 1 : 0;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const auto yoe = static_cast<unsigned>(y - era * 400);
  const unsigned doy = (153 * (m + (m > 2 ? -3U : 9U)) + 2) / 5 + d - 1;
  const unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + static_cast<std::int64_t>(doe) - 719468;
}

/// Seconds since 1970 of "2026-11-27T21:24:12.123456789+01:00".
std::optional<double> time_of(std::string_view t) {
  if (t.size() < 20 || t[4] != '-' || t[7] != '-' || (t[10] != 'T' && t[10] != 't') || t[13] != ':' || t[16] != ':') return std::nullopt;
  const auto part = [&](std::size_t at, std::size_t length) { return to_integer<unsigned>(t.substr(at, length)); };
  const auto year = part(0, 4), month = part(5, 2), day = part(8, 2), hour = part(11, 2), minute = part(14, 2), second = part(17, 2);
  if (!year || !month || !day || !hour || !minute || !second || *month < 1 || *month > 12 || *day < 1 || *day > 31) return std::nullopt;
  double seconds = static_cast<double>(days_of(*year, *month, *day)) * 86400 + *hour * 3600.0 + *minute * 60.0 + *second;
  std::size_t at = 19;
  if (t[at] == '.') {
    std::size_t end = at + 1;
    while (end < t.size() && t[end] >= '0' && t[end] <= '9') ++end;
    seconds += to_number(std::string("0").append(t.substr(at, end - at))).value_or(0);
    at = end;
  }
  const std::string_view zone = t.substr(at);
  if (zone == "Z" || zone == "z") return seconds;
  if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-')) return std::nullopt;
  const auto zone_hours = to_integer<unsigned>(zone.substr(1, 2)), zone_minutes = to_integer<unsigned>(zone.substr(4, 2));
  if (!zone_hours || !zone_minutes) return std::nullopt;
  const double offset = *zone_hours * 3600.0 + *zone_minutes * 60.0;
  return zone[0] == '+' ? seconds - offset : seconds + offset;
}

constexpr double kForEver = 10.0 * 365 * 86400;  // keep-alive -1 gives a date hundreds of years ahead

class Ollama final : public Dialect {
 public:
  std::vector<Question> questions() const override { return {{"/api/ps", 1000}, {"/api/tags", 60'000}}; }

  void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) override {
    const json::Value body = json_of(reply);
    if (path == "/api/tags") {
      engine.models_known = Absent::no_answer;
      if (reply.ok() && body["models"].is_array()) engine.models_known = body["models"].array().size();
      return;
    }
    set_state(reply, engine);
    if (!reply.ok()) {
      engine.models = Absent::no_answer;
      return;
    }
    if (!body["models"].is_array()) {
      engine.models = Absent::malformed;
      return;
    }
    std::vector<LoadedModel> models;
    for (const json::Value& m : body["models"].array()) {
      LoadedModel model{.name = m["name"].string(), .state = "loaded"};
      model.format = m["details"]["format"].string() + " " + m["details"]["quantization_level"].string();
      model.bytes = count_of(m["size"]);
      model.gpu_bytes = count_of(m["size_vram"]);
      model.context = count_of(m["context_length"]);
      model.expires_in = Absent::not_supported;
      if (const auto at = time_of(m["expires_at"].string())) {
        const double left = *at - static_cast<double>(now.wall_ns) / 1e9;
        model.expires_in = left > kForEver ? std::numeric_limits<double>::infinity() : std::max(left, 0.0);
      }
      models.push_back(std::move(model));
    }
    engine.models = std::move(models);
  }
};

}  // namespace

std::optional<std::string> proves(const Proofs& proofs) {
  const Reply* reply = find(proofs, "/api/version");
  if (reply == nullptr || !reply->ok()) return std::nullopt;
  const json::Value body = json_of(*reply);
  if (body["version"].if_string() == nullptr) return std::nullopt;
  return body["version"].string();
}

std::unique_ptr<Dialect> make() { return std::make_unique<Ollama>(); }

}  // namespace mlxdash::collect::ollama
