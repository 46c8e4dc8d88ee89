#pragma once
// A client that answers from a script and remembers what it was asked. No network, no time.
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/net/http.h"
#include "mlxbase/testing/fake_clock.h"

namespace mlxcache::fetch {

struct ScriptedAnswer {
  int status = 200;
  std::string body;
  mlxbase::net::Headers headers;
  bool resets = false;  // the connection is lost instead
};

class ScriptedClient final : public mlxbase::net::Client {
 public:
  explicit ScriptedClient(mlxbase::testing::FakeClock& clock) : clock_(clock) {}

  /// Answers to "GET https://…", in turn; the last one stays. What is not in the script is 404.
  std::map<std::string, std::deque<ScriptedAnswer>> script;
  std::vector<mlxbase::net::Request> asked;

  std::vector<std::string> asked_lines() const {
    std::vector<std::string> out;
    for (const auto& request : asked) out.push_back(request.method + " " + request.url.text());
    return out;
  }

  mlxbase::Result<mlxbase::net::TransferId> start(mlxbase::net::Request request, mlxbase::net::Sink& sink) override {
    waiting_.emplace_back(std::move(request), &sink);
    return ++last_;
  }
  void resume(mlxbase::net::TransferId) override {}
  void abandon(mlxbase::net::TransferId) override { waiting_.clear(); }
  void wake() override {}
  mlxbase::Status poll(std::uint32_t timeout_ms) override {
    if (waiting_.empty()) clock_.advance_ns(std::int64_t{timeout_ms} * 1'000'000);
    while (!waiting_.empty()) {
      auto [request, sink] = std::move(waiting_.front());
      waiting_.pop_front();
      asked.push_back(request);
      ScriptedAnswer answer = next(request.method + " " + request.url.text());
      if (answer.resets) {
        sink->on_done(mlxbase::fail(mlxbase::Code::io, request.method + " " + request.url.shown() + ": connection reset"));
        continue;
      }
      mlxbase::net::ResponseHead head;
      head.status = answer.status;
      head.headers = answer.headers;
      head.url = request.url;
      head.content_length = answer.body.size();
      head.http_version = "1.1";
      if (auto ok = sink->on_head(head); !ok) {
        sink->on_done(std::move(ok));
        continue;
      }
      mlxbase::Status end;
      if (request.method != "HEAD" && !answer.body.empty()) end = sink->on_data(mlxbase::as_bytes(answer.body));
      sink->on_done(std::move(end));
    }
    return {};
  }

 private:
  ScriptedAnswer next(const std::string& line) {
    const auto found = script.find(line);
    if (found == script.end()) return {.status = 404, .body = "{}"};
    ScriptedAnswer answer = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    return answer;
  }

  mlxbase::testing::FakeClock& clock_;
  std::deque<std::pair<mlxbase::net::Request, mlxbase::net::Sink*>> waiting_;
  mlxbase::net::TransferId last_ = 0;
};

}  // namespace mlxcache::fetch
