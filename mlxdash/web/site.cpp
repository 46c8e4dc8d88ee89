#include "mlxdash/web/site.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/units.h"
#include "mlxbase/format/json.h"
#include "mlxdash/history/history.h"
#include "mlxdash/sample/json.h"
#include "mlxdash/sample/series.h"
#include "mlxdash/web/assets.h"

namespace mlxdash::web {
namespace {

namespace http = mlxbase::http;
namespace json = mlxbase::json;
using Reply = std::shared_ptr<http::Reply>;

constexpr std::uint32_t kOnceMs = 3000;      // one who asks once waits no longer for a source that hangs
constexpr std::size_t kMostSeries = 64;      // of one question
constexpr std::size_t kMostPoints = 600;     // of one series: more than a chart has columns
constexpr std::uint32_t kRetryMs = 2000;     // when a stream broke off
constexpr std::int64_t kLongest = 400 * std::int64_t{24} * 3600;

// Nothing from elsewhere, nothing inside somebody else's page, no forms: the page needs its own script, its own style, and to ask its own server.
constexpr std::string_view kPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

http::Response guarded(http::Response response) {
  response.headers.emplace_back("Content-Security-Policy", kPolicy);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.headers.emplace_back("Referrer-Policy", "no-referrer");
  response.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
  response.headers.emplace_back("Cross-Origin-Opener-Policy", "same-origin");
  return response;
}

http::Response refusal(int status, std::string_view why) {
  json::Value error = json::Object{};
  error.set("error", why);
  return guarded({.status = status, .body = json::dump(error) + "\n"});
}

http::Response uncached(std::string type, std::string body) { return guarded({.type = std::move(type), .body = std::move(body), .headers = {{"Cache-Control", "no-store"}}}); }

http::Response page(const Asset& asset, const http::Request& request) {
  http::Response response{.type = std::string(asset.type), .headers = {{"Cache-Control", "no-cache"}, {"ETag", std::string(asset.tag)}, {"Vary", "Accept-Encoding"}}};
  if (request.header("if-none-match") == asset.tag) {
    response.status = 304;
  } else if (request.header("accept-encoding").find("gzip") != std::string_view::npos) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = asset.gzip;
  } else {
    response.body = asset.bytes;
  }
  return guarded(std::move(response));
}

/// Of a query, where a plus is a space.
std::string decoded(std::string_view text) {
  std::string spaced(text);
  std::ranges::replace(spaced, '+', ' ');
  return http::percent_decoded(spaced);
}

/// At most kMostPoints: neighbours become one, with the least and the greatest of both.
std::vector<history::Point> thinned(const std::vector<history::Point>& points) {
  const std::size_t each = (points.size() + kMostPoints - 1) / kMostPoints;
  if (each <= 1) return points;
  std::vector<history::Point> out;
  for (std::size_t i = 0; i < points.size(); i += each) {
    const std::size_t n = std::min(each, points.size() - i);
    history::Point point = points[i];
    double sum = 0;
    for (std::size_t k = i; k < i + n; ++k) {
      point.low = std::min(point.low, points[k].low);
      point.high = std::max(point.high, points[k].high);
      sum += points[k].mean;
    }
    point.mean = sum / static_cast<double>(n);
    out.push_back(point);
  }
  return out;
}

}  // namespace

struct Site::State {
  State(Feed& f, SiteOptions o) : feed(f), options(std::move(o)) {}
  Feed& feed;
  SiteOptions options;
  std::mutex mutex;  // of the history, which is not for two threads at once
  std::optional<history::History> history;

  void live(const http::Request&, const Reply& reply) {
    http::Response head = uncached("text/event-stream", fmt::format("retry: {}\n\n", kRetryMs));
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx in between shall not wait for more
    reply->begin(std::move(head));
    const std::uint64_t number = feed.add([reply](const Event& event) { reply->write(*event); });
    if (number == 0) return reply->end();
    reply->on_gone([this, number] { feed.remove(number); });
  }

  void snapshot(const http::Request&, const Reply& reply) {
    reply->send(uncached("application/json", json::dump(to_json(feed.now(kOnceMs))) + "\n"));
  }

  void metrics(const http::Request&, const Reply& reply) {
    reply->send(uncached("text/plain; version=0.0.4; charset=utf-8", prometheus_text(feed.now(kOnceMs))));
  }

  void health(const http::Request&, const Reply& reply) { reply->send(uncached("application/json", "{\"status\":\"ok\"}\n")); }

  void kept(const http::Request& request, const Reply& reply) {
    const std::vector<std::string> series = query_values(request.query, "series");
    const std::vector<std::string> since = query_values(request.query, "since");
    std::int64_t back = 3600;
    if (!since.empty()) {
      const auto age = mlxbase::parse_age(since.front());
      if (!age) return reply->send(refusal(400, "since: an age such as 90s, 30m, 12h or 60d is needed"));
      back = std::clamp<std::int64_t>(age->count(), 1, kLongest);
    }
    if (series.size() > kMostSeries) return reply->send(refusal(400, fmt::format("at most {} series can be asked for at once", kMostSeries)));
    const auto text = read(series, back);
    if (!text) {
      const bool none = text.error().code == mlxbase::Code::not_found;
      return reply->send(refusal(none ? 404 : 503, none ? "no history is kept" : text.error().message));
    }
    reply->send(uncached("application/json", *text));
  }

  /// Without names: which there are.
  mlxbase::Result<std::string> read(const std::vector<std::string>& names, std::int64_t back) {
    const std::lock_guard lock(mutex);
    if (options.history.empty()) return mlxbase::fail(mlxbase::Code::not_found, "no history is kept");
    if (!history) history = TRY(history::History::open(options.history));
    const std::int64_t now = mlxbase::system_clock().wall_ns() / 1'000'000'000;
    json::Array list;
    const std::vector<std::string> keys = names.empty() ? TRY(history->series()) : names;
    for (const std::string& key : keys) {
      json::Value row = json::Object{};
      row.set("key", key);
      if (!names.empty()) {
        json::Array points;
        for (const history::Point& p : thinned(TRY(history->read(key, now - back, now)))) points.emplace_back(json::Array{p.t, p.mean, p.low, p.high});
        row.set("points", std::move(points));
      }
      list.push_back(std::move(row));
    }
    json::Value document = json::Object{};
    document.set("schema", "mlxdash.history/1");
    document.set("series", std::move(list));
    return json::dump(document) + "\n";
  }
};

struct Site::Route {
  std::string_view path;
  bool open;     // without a key
  bool endless;  // a stream
  void (State::*answer)(const http::Request&, const Reply&);
};

const Site::Route Site::kRoutes[] = {
    // path           open   endless
    {"/metrics",      false, false, &State::metrics},
    {"/api/snapshot", false, false, &State::snapshot},
    {"/api/live",     false, true,  &State::live},
    {"/api/history",  false, false, &State::kept},
    {"/health",       true,  false, &State::health},
};

Site::Site(Feed& feed, SiteOptions options) : state_(std::make_unique<State>(feed, std::move(options))) {}
Site::~Site() = default;

std::vector<std::string> Site::open_paths() {
  std::vector<std::string> paths = {"/"};
  for (const Asset& asset : assets()) paths.emplace_back(asset.path);
  for (const Route& route : kRoutes) {
    if (route.open) paths.emplace_back(route.path);
  }
  return paths;
}

void Site::answer(http::Request request, const std::shared_ptr<http::Reply>& reply) {
  if (!is_own_origin(request.header("origin"), request.header("host"), state_->options.origins)) return reply->send(refusal(403, "pages of this Origin may not ask; --allow-origin ORIGIN allows them"));
  const bool head = request.method == "HEAD";
  if (request.method != "GET" && !head) return reply->send(refusal(405, "there is nothing to change here: GET"));
  const std::string path = request.path == "/" ? "/index.html" : request.path;
  for (const Asset& asset : assets()) {
    if (asset.path == path) return reply->send(page(asset, request));
  }
  for (const Route& route : kRoutes) {
    if (route.path != request.path) continue;
    if (head && route.endless) return reply->send(refusal(405, "a stream has no HEAD"));
    return (state_.get()->*route.answer)(request, reply);
  }
  reply->send(refusal(404, "there is nothing under this name"));
}

bool is_own_origin(std::string_view origin, std::string_view host, const std::vector<std::string>& allowed) {
  if (origin.empty()) return true;
  if (std::ranges::find(allowed, origin) != allowed.end()) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme) && origin.substr(scheme.size()) == host) return true;
  }
  return false;
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> out;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    const std::size_t equals = part.find('=');
    if (equals != std::string_view::npos && decoded(part.substr(0, equals)) == name) out.push_back(decoded(part.substr(equals + 1)));
  }
  return out;
}

}  // namespace mlxdash::web
