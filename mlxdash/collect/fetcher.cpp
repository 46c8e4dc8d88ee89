#include "mlxdash/collect/fetcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mlxbase/core/bytes.h"

namespace mlxdash::collect {
namespace {

namespace net = mlxbase::net;
using mlxbase::Code;

constexpr std::uint64_t kLongestAnswer = std::uint64_t{4} << 20U;
constexpr std::int64_t kMs = 1'000'000;

}  // namespace

struct Fetcher::Transfer final : net::Sink {
  mlxbase::Status on_head(const net::ResponseHead& head) override {
    done.reply.status = head.status;
    return {};
  }
  mlxbase::Status on_data(std::span<const std::byte> data) override {
    done.reply.body += mlxbase::as_text(data);
    return {};
  }
  void on_done(mlxbase::Status result) override {
    if (!result) done.reply.error = std::move(result.error());
    ended = true;
  }

  Done done;
  net::TransferId id = 0;
  std::int64_t until_ns = 0;
  std::uint32_t deadline_ms = 0;
  bool ended = false;
};

mlxbase::Result<std::unique_ptr<Fetcher>> Fetcher::make(mlxbase::Clock& clock) {
  // No proxy: what is asked is on this machine, or was named by its address.
  auto client = TRY(net::Client::make({.user_agent = "mlxdash/0.1.0", .variable = [](std::string_view) { return std::nullopt; }, .max_connections_per_host = 4}));
  return std::unique_ptr<Fetcher>(new Fetcher(std::move(client), clock));
}

Fetcher::Fetcher(std::unique_ptr<net::Client> client, mlxbase::Clock& clock) : client_(std::move(client)), clock_(clock) {}

Fetcher::~Fetcher() {
  for (const auto& transfer : transfers_) {
    if (!transfer->ended) client_->abandon(transfer->id);
  }
}

void Fetcher::ask(const net::Url& base, Ask ask) {
  auto transfer = std::make_unique<Transfer>();
  transfer->done = {.server = ask.server, .path = ask.path, .reply = {}};
  transfer->deadline_ms = ask.deadline_ms;
  transfer->until_ns = clock_.steady_ns() + static_cast<std::int64_t>(ask.deadline_ms) * kMs;
  const auto failed = [&](mlxbase::Error error) {
    transfer->done.reply.error = std::move(error);
    transfer->ended = true;
  };
  auto url = base.resolve(ask.path);
  if (!url) {
    failed(std::move(url.error()));
  } else {
    net::Request request;
    request.url = std::move(*url);
    request.headers = {{"Accept", "application/json, text/plain"}};
    request.redirects = net::Redirects::none;
    request.max_body = kLongestAnswer;
    request.connect_timeout_ms = ask.deadline_ms;
    request.stall_timeout_ms = ask.deadline_ms;
    auto id = client_->start(std::move(request), *transfer);
    if (!id) {
      failed(std::move(id.error()));
    } else {
      transfer->id = *id;
    }
  }
  transfers_.push_back(std::move(transfer));
}

bool Fetcher::is_asking(std::uint64_t server, const std::string& path) const {
  return std::ranges::any_of(transfers_, [&](const auto& t) { return t->done.server == server && t->done.path == path; });
}

std::vector<Fetcher::Done> Fetcher::run(std::uint32_t most_ms) {
  const std::int64_t until = clock_.steady_ns() + static_cast<std::int64_t>(most_ms) * kMs;
  for (;;) {
    const std::int64_t now = clock_.steady_ns();
    std::int64_t next = until;
    bool waiting = false;
    for (const auto& transfer : transfers_) {
      if (transfer->ended) continue;
      if (now >= transfer->until_ns) {
        client_->abandon(transfer->id);
        transfer->done.reply.error = mlxbase::Error{Code::io, fmt::format("no answer within {} ms", transfer->deadline_ms)};
        transfer->ended = true;
        continue;
      }
      waiting = true;
      next = std::min(next, transfer->until_ns);
    }
    if (!waiting || now >= until) break;
    const auto wait = static_cast<std::uint32_t>(std::max<std::int64_t>(1, (next - now) / kMs + 1));
    if (auto polled = client_->poll(wait); !polled) break;
  }
  std::vector<Done> out;
  std::erase_if(transfers_, [&](const auto& transfer) {
    if (!transfer->ended) return false;
    out.push_back(std::move(transfer->done));
    return true;
  });
  return out;
}

void Fetcher::drop(std::uint64_t server) {
  std::erase_if(transfers_, [&](const auto& transfer) {
    if (transfer->done.server != server) return false;
    if (!transfer->ended) client_->abandon(transfer->id);
    return true;
  });
}

}  // namespace mlxdash::collect
