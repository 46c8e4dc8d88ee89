#include "mlxhub/cli/remote.h"

#include <fmt/format.h>

#include <optional>
#include <span>
#include <utility>

#include "mlxbase/core/bytes.h"
#include "mlxbase/net/http.h"

namespace mlxhub::cli {
namespace {

namespace net = mlxbase::net;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using mlxbase::json::Value;

/// What the server said of why it refuses.
std::unexpected<mlxbase::Error> refused(int status, std::string_view body) {
  const auto parsed = mlxbase::json::parse(body);
  std::string why;
  if (parsed) why = (*parsed)["error"].is_string() ? (*parsed)["error"].string() : (*parsed)["error"]["message"].string();
  return fail(status == 404 ? Code::not_found : Code::invalid, why.empty() ? fmt::format("the server answered with status {}", status) : why);
}

/// Lines "data: {…}" of a stream of events, as they come.
class Events final : public net::Sink {
 public:
  explicit Events(const std::function<void(std::string_view)>& piece) : piece_(piece) {}
  Status on_head(const net::ResponseHead& head) override {
    status_ = head.status;
    return {};
  }
  Status on_data(std::span<const std::byte> data) override {
    held_ += mlxbase::as_text(data);
    if (status_ != 200) return {};
    for (auto end = held_.find('\n'); end != std::string::npos; end = held_.find('\n')) {
      const std::string line = held_.substr(0, end);
      held_.erase(0, end + 1);
      if (!line.starts_with("data: {")) continue;
      const Value event = TRY(mlxbase::json::parse(std::string_view(line).substr(6)));
      if (!event["error"].is_null()) return fail(Code::io, event["error"]["message"].string());
      if (event["choices"].array().empty()) continue;
      const std::string text = event["choices"].array().front()["delta"]["content"].string();
      if (text.empty()) continue;
      said_ += text;
      piece_(text);
    }
    return {};
  }
  void on_done(Status result) override { done_ = std::move(result); }

  const std::function<void(std::string_view)>& piece_;
  int status_ = 0;
  std::string held_, said_;
  std::optional<Status> done_;
};

class HttpRemote final : public Remote {
 public:
  HttpRemote(net::Url url, std::string key, std::unique_ptr<net::Client> client) : url_(std::move(url)), key_(std::move(key)), client_(std::move(client)) {}

  Result<Value> loaded() override {
    const auto response = TRY(client_->send(TRY(request("/api/ps", nullptr))));
    if (response.head.status != 200) return refused(response.head.status, response.body);
    return mlxbase::json::parse(response.body);
  }
  Status stop(const std::string& model) override {
    Value body{mlxbase::json::Object{}};
    body.set("model", model).set("keep_alive", 0);
    const auto response = TRY(client_->send(TRY(request("/api/generate", &body))));
    if (response.head.status != 200) return refused(response.head.status, response.body);
    return {};
  }
  Result<std::string> chat(const std::string& model, const Value& messages, const std::function<void(std::string_view)>& piece) override {
    Value body{mlxbase::json::Object{}};
    body.set("model", model).set("messages", messages).set("stream", true);
    Events events(piece);
    TRY(client_->start(TRY(request("/v1/chat/completions", &body)), events));
    while (!events.done_) TRY(client_->poll(1000));
    TRY(Status(*events.done_));
    if (events.status_ != 200) return refused(events.status_, events.held_);
    return events.said_;
  }

 private:
  Result<net::Request> request(std::string_view path, const Value* body) const {
    net::Request request{.method = body == nullptr ? "GET" : "POST", .url = below(path)};
    request.stall_timeout_ms = 600'000;  // a model may have to be loaded, or a long prompt be read
    if (body != nullptr) {
      request.body = mlxbase::json::dump(*body);
      request.headers.push_back({"Content-Type", "application/json"});
    }
    if (!key_.empty()) request.credential = net::Credential{.origin = url_, .bearer = net::Secret(key_)};
    return request;
  }
  net::Url below(std::string_view path) const { return *url_.resolve(path); }

  net::Url url_;
  std::string key_;
  std::unique_ptr<net::Client> client_;
};

}  // namespace

Result<std::unique_ptr<Remote>> Remote::at(const std::string& url, const std::string& key) {
  auto parsed = TRY(net::Url::parse(url.find("://") == std::string::npos ? "http://" + url : url));
  auto client = TRY(net::Client::make({.user_agent = "mlxhub/0.1.0", .variable = [](std::string_view) { return std::nullopt; }}));
  return std::make_unique<HttpRemote>(std::move(parsed), key, std::move(client));
}

}  // namespace mlxhub::cli
