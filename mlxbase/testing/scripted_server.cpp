#include "mlxbase/testing/scripted_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

namespace mlxbase::testing {
namespace {

constexpr int kTickMs = 20;
// A client that has gone is no reason to end the test: asked for with each send, or once for the socket.
#ifdef MSG_NOSIGNAL
constexpr int kNoSignal = MSG_NOSIGNAL;
#else
constexpr int kNoSignal = 0;
#endif

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::abort();
}

/// Waits for `events`; false when the server ends or the client has gone.
bool wait_for(int socket, short events, const std::atomic<bool>& ending) {
  while (!ending) {
    pollfd fd{.fd = socket, .events = events, .revents = 0};
    const int n = ::poll(&fd, 1, kTickMs);
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
  return false;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  return text;
}

std::uint64_t number(std::string_view text) { return std::strtoull(std::string(text).c_str(), nullptr, 10); }

}  // namespace

std::optional<std::string> ScriptedServer::Request::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_name) return value;
  }
  return std::nullopt;
}

bool ScriptedServer::Peer::fill() {
  if (!open_ || !wait_for(socket_, POLLIN, server_.ending_)) return false;
  std::array<char, 16384> block;
  const auto n = ::recv(socket_, block.data(), block.size(), 0);
  if (n <= 0) return open_ = false;
  buffered_.append(block.data(), static_cast<std::size_t>(n));
  return true;
}

std::string ScriptedServer::Peer::read(std::size_t size) {
  while (buffered_.size() < size && fill()) {
  }
  const auto out = buffered_.substr(0, size);
  buffered_.erase(0, out.size());
  return out;
}

std::optional<ScriptedServer::Request> ScriptedServer::Peer::read_request(unsigned connection) {
  std::size_t end = 0;
  while ((end = buffered_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return std::nullopt;
  }
  const std::string head = read(end + 4);
  Request request;
  request.connection = connection;
  for (std::size_t at = 0; at < head.size();) {
    const auto stop = head.find("\r\n", at);
    const std::string line = head.substr(at, stop - at);
    if (at == 0) {
      const auto first = line.find(' '), last = line.rfind(' ');
      request.method = line.substr(0, first);
      request.target = line.substr(first + 1, last - first - 1);
      request.version = line.substr(last + 1);
    } else if (const auto colon = line.find(':'); colon != std::string::npos) {
      request.headers.emplace_back(lower(line.substr(0, colon)), line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size())));
    }
    at = stop + 2;
  }
  request.body = read(number(request.header("content-length").value_or("0")));
  return request;
}

void ScriptedServer::Peer::send(std::string_view bytes) {
  while (open_ && !bytes.empty()) {
    if (!wait_for(socket_, POLLOUT, server_.ending_)) return;
    const auto n = ::send(socket_, bytes.data(), std::min<std::size_t>(bytes.size(), 1 << 20), kNoSignal | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n <= 0) {
      open_ = false;
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void ScriptedServer::Peer::answer(int status, const std::vector<std::string>& header_lines, std::string_view body) {
  std::string head = fmt::format("HTTP/1.1 {} Scripted\r\nContent-Length: {}\r\n", status, body.size());
  for (const auto& line : header_lines) head += line + "\r\n";
  head += "\r\n";
  if (body.size() < 4096) {
    send(head.append(body));
    return;
  }
  send(head);
  send(body);
}

void ScriptedServer::Peer::answer_file(const Request& request, std::string_view content, std::string_view etag,
                                       const std::vector<std::string>& header_lines) {
  auto lines = header_lines;
  if (!etag.empty()) lines.push_back(fmt::format("ETag: \"{}\"", etag));
  lines.emplace_back("Accept-Ranges: bytes");
  if (request.method == "HEAD") {
    std::string head = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", content.size());
    for (const auto& line : lines) head += line + "\r\n";
    send(head + "\r\n");
    return;
  }
  auto range = request.header("range").value_or("");
  if (const auto condition = request.header("if-range"); condition && *condition != fmt::format("\"{}\"", etag)) range.clear();
  const auto dash = range.find('-');
  if (!range.starts_with("bytes=") || dash == std::string::npos) {
    answer(200, lines, content);
    return;
  }
  const std::uint64_t first = number(std::string_view(range).substr(6));
  if (first >= content.size()) {
    lines.push_back(fmt::format("Content-Range: bytes */{}", content.size()));
    answer(416, lines);
    return;
  }
  const std::uint64_t last = dash + 1 < range.size() ? std::min<std::uint64_t>(number(std::string_view(range).substr(dash + 1)), content.size() - 1)
                                                     : content.size() - 1;
  lines.push_back(fmt::format("Content-Range: bytes {}-{}/{}", first, last, content.size()));
  answer(206, lines, content.substr(first, last - first + 1));
}

void ScriptedServer::Peer::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  open_ = false;
}

void ScriptedServer::Peer::stall() {
  while (fill()) {
  }
  open_ = false;
}

void ScriptedServer::Peer::wait_ms(unsigned ms) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!server_.ending_ && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

ScriptedServer::ScriptedServer(Handler handler, Greeting greeting, bool ipv6)
    : handler_(std::move(handler)), greeting_(std::move(greeting)), ipv6_(ipv6), listener_(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0)) {
  if (listener_ < 0) die("socket");
  sockaddr_storage address{};
  socklen_t length = 0;
  if (ipv6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_addr = in6addr_loopback;
    length = sizeof v6;
  } else {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    length = sizeof v4;
  }
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 128) != 0) die("listen");
  if (::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) die("getsockname");
  port_ = ntohs(ipv6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port : reinterpret_cast<sockaddr_in&>(address).sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

ScriptedServer::~ScriptedServer() {
  ending_ = true;
  acceptor_.join();
  for (auto& thread : threads_) thread.join();
  ::close(listener_);
}

std::string ScriptedServer::url(std::string_view path) const { return fmt::format("http://{}:{}{}", ipv6_ ? "[::1]" : "127.0.0.1", port_, path); }

std::vector<ScriptedServer::Request> ScriptedServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void ScriptedServer::accept_loop() {
  while (wait_for(listener_, POLLIN, ending_)) {
    const int socket = ::accept(listener_, nullptr, nullptr);
    if (socket < 0) continue;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    ::setsockopt(socket, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    threads_.emplace_back([this, socket, number = connections_++] { serve(socket, number); });
  }
}

void ScriptedServer::serve(int socket, unsigned connection) {
  Peer peer(*this, socket);
  if (greeting_) greeting_(peer);
  while (peer.is_open()) {
    const auto request = peer.read_request(connection);
    if (!request) break;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(*request);
    }
    handler_(*request, peer);
    if (request->header("connection").value_or("") == "close") break;
  }
  ::close(socket);
}

}  // namespace mlxbase::testing
