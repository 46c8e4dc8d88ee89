#pragma once
// HTTP for programs that download: many transfers at once on one thread, bodies streamed into a sink, limits on everything a
// hostile server chooses. libcurl's multi interface does the protocol; only this room's .cpp files see it. Retrying is the caller's policy (retry.h).
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/net/url.h"

namespace mlxbase::net {

/// Text that is never printed: it has no stream or fmt operator, and reveal() is called only where the header is made.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  bool empty() const { return text_.empty(); }
  const std::string& reveal() const { return text_; }

 private:
  std::string text_;
};

/// A token and the one origin it belongs to. Sent only there, only over https (or to loopback), never after a redirect elsewhere.
struct Credential {
  Url origin;      // scheme, host and port count
  Secret bearer;   // "Authorization: Bearer …"
};

struct Header {
  std::string name;   // as sent; compared without case
  std::string value;
};
using Headers = std::vector<Header>;
/// The last value of `name`, or nothing.
std::optional<std::string> find_header(const Headers& headers, std::string_view name);

enum class Redirects : std::uint8_t {
  none,         // 3xx is the answer
  same_origin,  // followed only while scheme, host and port stay
  any,          // followed anywhere (https never to http, except between loopback hosts); credentials stay behind
};

/// `bytes=first-last`, both included; `last` empty: to the end.
struct ByteRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last;
};

struct Request {
  std::string method = "GET";
  Url url;
  Headers headers;
  std::string body;
  std::optional<ByteRange> range;
  std::optional<Credential> credential;
  Redirects redirects = Redirects::same_origin;
  std::uint32_t max_redirects = 10;
  std::uint64_t max_body = std::uint64_t{64} << 20U;  // a longer body is cut off: Code::corrupt
  std::uint32_t connect_timeout_ms = 10'000;
  std::uint32_t stall_timeout_ms = 30'000;            // no byte for so long: Code::io, "stalled"
  /// For long bodies: a connection of its own (HTTP/1.1) with large buffers, so that a lost packet holds up one transfer and not all.
  bool bulk = false;
};

/// What came before the body (of the last answer, where redirects were followed).
struct ResponseHead {
  int status = 0;
  Headers headers;
  Url url;                                    // where it came from in the end
  std::optional<std::uint64_t> content_length;
  std::string http_version;                   // "1.1", "2"
};

struct Response {
  ResponseHead head;
  std::string body;
};

/// Receives one transfer. Called on the thread that runs the client; an error ends the transfer with that error.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Status on_head(const ResponseHead& head) = 0;
  virtual Status on_data(std::span<const std::byte> data) = 0;
  /// The end. `result` is ok only if the body arrived whole (as long as Content-Length or chunking says). May start other transfers.
  virtual void on_done(Status result) = 0;
  /// False: this transfer rests (nothing is read from the socket) until Client::resume; asked before each on_data.
  virtual bool wants_data() { return true; }
};

using TransferId = std::uint64_t;

struct ClientOptions {
  std::string user_agent;                     // "mlxcache/0.2.0"
  std::string proxy;                          // of all requests; empty: as the variables below say
  /// http_proxy, https_proxy, all_proxy, no_proxy and their upper-case forms (HTTP_PROXY is not read: a CGI trap), SOCKS too.
  std::function<std::optional<std::string>(std::string_view)> variable;
  std::string ca_file;                        // empty: SSL_CERT_FILE, else the system's
  std::uint32_t max_connections_per_host = 8;
  std::uint32_t max_connections = 32;
  bool offline = false;                       // every request fails at once: Code::unsupported, "offline"
};

/// Not for two threads at once, except wake(). Connections are kept between requests.
class Client {
 public:
  static Result<std::unique_ptr<Client>> make(ClientOptions options);
  virtual ~Client() = default;

  /// Queues a transfer; `sink` must live until its on_done or abandon(). Errors: invalid (a header with a line break, a credential among the
  /// headers, a method other than GET, HEAD and POST), unsupported (offline).
  virtual Result<TransferId> start(Request request, Sink& sink) = 0;
  /// Goes on reading a transfer whose sink did not want data.
  virtual void resume(TransferId id) = 0;
  /// Ends a transfer without calling its sink again.
  virtual void abandon(TransferId id) = 0;
  /// Drives all transfers for at most `timeout_ms`, returning earlier when some sink was called or wake() came.
  virtual Status poll(std::uint32_t timeout_ms) = 0;
  /// From any thread: poll() returns.
  virtual void wake() = 0;

  /// One small request from start to end. Any status is a Response; errors: io (unreachable, reset, stalled, cut short), corrupt
  /// (too long, malformed), cancelled, invalid. Messages name method, host and path, never query, user or credentials.
  Result<Response> send(Request request, const Cancel* cancel = nullptr);
};

}  // namespace mlxbase::net
