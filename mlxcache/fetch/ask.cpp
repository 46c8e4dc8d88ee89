#include "mlxcache/fetch/ask.h"

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"

namespace mlxcache::fetch {

using mlxbase::Code;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::net::Response;
using mlxbase::net::Secret;

mlxbase::Status Asker::wait(std::uint32_t ms) {
  constexpr std::uint32_t kSliceMs = 200;  // Ctrl-C is noticed this soon
  const std::int64_t end = clock_.steady_ns() + std::int64_t{ms} * 1'000'000;
  while (true) {
    if (cancel_ != nullptr && cancel_->requested()) return fail(Code::cancelled, "cancelled");
    const std::int64_t left_ms = (end - clock_.steady_ns()) / 1'000'000;
    if (left_ms <= 0) return {};
    if (auto ok = client_.poll(static_cast<std::uint32_t>(std::min<std::int64_t>(left_ms + 1, kSliceMs))); !ok) return ok;
  }
}

Result<Response> Asker::ask(const mlxbase::net::Request& request) {
  for (std::uint32_t attempt = 1;; ++attempt) {
    auto answer = client_.send(request, cancel_);
    if (!answer && answer.error().code != Code::io) return answer;
    const double chance = static_cast<double>(static_cast<std::uint64_t>(clock_.steady_ns()) / 1000 % 1000) / 1000.0;
    const auto pause = wait_before(retry_, attempt, answer ? nullptr : &answer.error(), answer ? &answer->head : nullptr, chance);
    if (!pause) return answer;
    if (auto ok = wait(*pause); !ok) return fail(std::move(ok).error());
  }
}

std::string said_by_server(const Response& response, const Secret* secret) {
  constexpr std::size_t kShown = 300;
  std::string text = find_header(response.head.headers, "X-Error-Message").value_or("");
  if (text.empty()) {
    if (const auto json = mlxbase::json::parse(response.body, {.bytes = 64U << 10U, .depth = 16})) {
      text = (*json)["error"].string();
      if (text.empty()) text = (*json)["message"].string();
      if (text.empty() && !(*json)["errors"].array().empty()) text = (*json)["errors"].array().front()["message"].string();
    }
  }
  if (secret != nullptr && !secret->empty()) {
    for (auto at = text.find(secret->reveal()); at != std::string::npos; at = text.find(secret->reveal(), at)) text.replace(at, secret->reveal().size(), "…");
  }
  return mlxbase::printable(text.substr(0, kShown));
}

Error unexpected_status(const Response& response, std::string_view what, const Secret* secret) {
  const int status = response.head.status;
  const std::string host = response.head.url.origin();
  std::string said = said_by_server(response, secret);
  if (!said.empty()) said = " (" + said + ")";
  const std::string about(what);
  if (status == 429) return {Code::busy, about + ": " + host + " asks for fewer requests" + said + "; try again later, or log in: a token has a larger share", 0};
  if (status >= 500) return {Code::io, about + ": " + host + " is in trouble, status " + std::to_string(status) + said + "; try again later", 0};
  if (status >= 300 && status < 400) return {Code::corrupt, about + ": " + host + " sends us elsewhere (status " + std::to_string(status) + "), which is not followed", 0};
  return {Code::io, about + ": " + host + " answered with status " + std::to_string(status) + said, 0};
}

}  // namespace mlxcache::fetch
