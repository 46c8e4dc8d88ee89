#pragma once
// A small HTTP/1.1 server for programs on this machine: one thread for all connections, some more for handlers; answers whole or as a stream. It
// sees at once when a client goes away. Who may ask is checked before a handler is called: the Host that a browser was tricked into, the Origin of
// a page of somebody else, the key.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxbase::http {

struct Request {
  std::string method;  // "GET"
  std::string path;    // without the query, as it came
  std::string query;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view name) const;  // empty if it is not there
};

struct Response {
  int status = 200;
  std::string type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

/// The way back to one client. Any thread may use it, one at a time; whatever comes after the end, or after the client went, is dropped.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void send(Response response) = 0;
  /// A stream: begin (the response's body is its first piece), pieces, end.
  virtual void begin(Response response) = 0;
  virtual void write(std::string piece) = 0;
  virtual void end() = 0;
  /// Called once if the client goes before the end; at once if it has gone. It must not block.
  virtual void on_gone(std::function<void()> call) = 0;
};

struct Options {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;                       // 0: one that is free
  std::size_t body_bytes = std::size_t{32} << 20U;
  std::uint32_t header_bytes = 32 << 10;
  std::size_t connections = 16384;
  std::size_t queued_bytes = std::size_t{8} << 20U;  // of a stream whose client does not read: then it is cut off
  std::chrono::seconds request_time{30};        // for a request to come in whole, once it has begun
  std::chrono::seconds idle_time{120};          // between requests
  std::chrono::seconds write_time{60};          // without the client taking anything
  unsigned handlers = 2;                        // threads
  std::vector<std::string> hosts;               // names besides those of loopback that Host may have; "*": any
  std::vector<std::string> origins;             // pages that may ask besides those from this machine; "*": any
  std::vector<std::string> keys;                // not empty: "Authorization: Bearer KEY" (or x-api-key) is needed
  std::vector<std::string> open_paths = {"/health"};  // without a key
};

class Server {
 public:
  using Handler = std::function<void(Request, std::shared_ptr<Reply>)>;
  /// Errors: busy (the port is taken), permission, invalid (no such address), io.
  static Result<std::unique_ptr<Server>> start(Options options, Handler handler);
  virtual ~Server() = default;  // closes everything at once; every Reply must have gone before
  virtual std::uint16_t port() const = 0;
  /// Takes no new connections and no further requests; returns when the requests in flight are answered, or after `most`.
  virtual void drain(std::chrono::seconds most) = 0;
  virtual std::size_t connections() const = 0;
};

std::string_view reason_of(int status);
/// "a%2Fb" is "a/b"; what is no escape stays.
std::string percent_decoded(std::string_view text);
/// Whether Host (with or without a port) names this machine or one of `allowed`.
bool host_allowed(std::string_view host, const std::vector<std::string>& allowed);
bool origin_allowed(std::string_view origin, const std::vector<std::string>& allowed);

}  // namespace mlxbase::http
