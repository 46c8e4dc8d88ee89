#include "mlxdash/cli/serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxbase/http/server.h"
#include "mlxdash/web/site.h"

namespace mlxdash::cli {
namespace {

namespace http = mlxbase::http;
using mlxbase::Code;

constexpr std::size_t kShortestKey = 16;
constexpr std::size_t kLongestKey = 512;
constexpr std::size_t kQueued = std::size_t{1} << 20U;  // some sixty events: who reads none of them is cut off
constexpr std::size_t kConnections = 1024;

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

sigset_t hold_back_ends() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  return ends;
}

mlxbase::Result<std::string> key_of(const Options& options, mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment) {
  std::string key = environment.get_nonempty("MLXDASH_KEY").value_or("");
  if (!options.key_file.empty()) key = trimmed(TRY(mlxbase::os::read_small_file(fs, environment.absolute(options.key_file), 4096)));
  if (key.empty() && !options.key_file.empty()) return mlxbase::fail(Code::invalid, fmt::format("{} holds no key", mlxbase::printable(options.key_file)));
  if (key.empty() && !is_loopback(options.address)) return mlxbase::fail(Code::invalid, "an address that others reach needs a key: --key-file FILE or MLXDASH_KEY");
  const bool plain = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 127; });
  if (!key.empty() && (!plain || key.size() < kShortestKey || key.size() > kLongestKey)) {
    return mlxbase::fail(Code::invalid, fmt::format("a key has {} to {} signs of ASCII and no blanks; `openssl rand -hex 16` makes one", kShortestKey, kLongestKey));
  }
  return key;
}

mlxbase::Status serve(collect::Board& board, const Options& options, const ServeParts& parts, const sigset_t& ends) {
  web::Feed feed(board, {.interval_ms = options.interval_ms, .always = options.always, .on_sample = parts.on_sample});
  web::Site site(feed, {.history = parts.history, .origins = options.origins});
  http::Options server{.address = options.address, .port = options.port, .body_bytes = 4096, .connections = kConnections, .queued_bytes = kQueued, .handlers = 4};
  server.hosts = options.hosts;
  if (!is_loopback(options.address)) {
    server.hosts.push_back(options.address);
    if (!parts.host.empty()) server.hosts.push_back(parts.host);
  }
  server.origins = {"*"};  // the site itself is stricter: only its own pages
  if (!parts.key.empty()) server.keys.push_back(parts.key);
  server.open_paths = web::Site::open_paths();
  auto running = TRY(http::Server::start(server, [&site](http::Request request, const std::shared_ptr<http::Reply>& reply) { site.answer(std::move(request), reply); }));
  const bool v6 = options.address.find(':') != std::string::npos;
  parts.say(fmt::format("listening on http://{}{}{}:{}{}", v6 ? "[" : "", options.address, v6 ? "]" : "", running->port(), parts.key.empty() ? "" : ", with a key"));
  int number = 0;
  ::sigwait(&ends, &number);
  feed.end();
  running.reset();
  return {};
}

}  // namespace mlxdash::cli
