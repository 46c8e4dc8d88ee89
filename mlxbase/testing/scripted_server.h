#pragma once
// An HTTP/1.1 server on loopback that answers as a test says: late, wrong, cut short, or not at all. A thread a connection.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace mlxbase::testing {

class ScriptedServer {
 public:
  struct Request {
    std::string method, target, version;
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::string body;
    unsigned connection = 0;  // 0 is the first that was made
    std::optional<std::string> header(std::string_view lower_name) const;
  };

  /// The other end of one connection, in the hands of the handler.
  class Peer {
   public:
    Peer(ScriptedServer& server, int socket) : server_(server), socket_(socket) {}
    void send(std::string_view bytes);
    /// A whole answer with its Content-Length; `header_lines` as "Name: value".
    void answer(int status, const std::vector<std::string>& header_lines = {}, std::string_view body = {});
    /// `content` as servers of files do: whole, or the range that was asked for (206, 416), with `header_lines`. If-Range and HEAD are understood;
    /// `etag` is sent where it is not empty.
    void answer_file(const Request& request, std::string_view content, std::string_view etag = {}, const std::vector<std::string>& header_lines = {});
    /// Ends the connection after what was sent; reset() with an RST.
    void close() { open_ = false; }
    void reset();
    /// Until the client leaves or the server ends.
    void stall();
    void wait_ms(unsigned ms);
    /// Exactly `size` bytes, fewer if the client leaves: for other protocols than HTTP.
    std::string read(std::size_t size);
    bool is_open() const { return open_; }

   private:
    friend class ScriptedServer;
    std::optional<Request> read_request(unsigned connection);
    bool fill();
    ScriptedServer& server_;
    int socket_;
    bool open_ = true;
    std::string buffered_;
  };

  /// Called on the connection's thread, several at once.
  using Handler = std::function<void(const Request&, Peer&)>;
  /// Before the first request of a connection: a SOCKS handshake.
  using Greeting = std::function<void(Peer&)>;

  explicit ScriptedServer(Handler handler, Greeting greeting = {}, bool ipv6 = false);
  ~ScriptedServer();
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  std::uint16_t port() const { return port_; }
  /// http://127.0.0.1:<port><path>
  std::string url(std::string_view path) const;
  /// What was asked so far, in the order of arrival.
  std::vector<Request> requests() const;
  unsigned connections() const { return connections_; }

 private:
  void accept_loop();
  void serve(int socket, unsigned number);

  Handler handler_;
  Greeting greeting_;
  bool ipv6_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  std::atomic<unsigned> connections_{0};
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace mlxbase::testing
