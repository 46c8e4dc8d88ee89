// The only file that includes Beast and Asio.
#include "mlxbase/http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/http/string_body.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "mlxbase/core/printable.h"

namespace mlxbase::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;
using tcp = asio::ip::tcp;

class Connection;

class Running final : public Server {
 public:
  Running(Options options, Handler handler) : options_(std::move(options)), handler_(std::move(handler)), acceptor_(io_), pool_(std::max(1U, options_.handlers)) {}
  ~Running() override;

  Status listen();
  std::uint16_t port() const override { return port_; }
  void drain(std::chrono::seconds most) override;
  std::size_t connections() const override { return open_.load(); }

  const Options& options() const { return options_; }
  const Handler& handler() const { return handler_; }
  asio::io_context& io() { return io_; }
  asio::thread_pool& pool() { return pool_; }
  bool draining() const { return draining_.load(); }
  void opened() { open_.fetch_add(1); }
  void closed() {
    const std::scoped_lock lock(mutex_);
    open_.fetch_sub(1);
    all_closed_.notify_all();
  }

 private:
  friend class Connection;
  void accept();

  Options options_;
  Handler handler_;
  asio::io_context io_;
  tcp::acceptor acceptor_;
  asio::thread_pool pool_;
  std::thread thread_;
  std::uint16_t port_ = 0;
  std::atomic<std::size_t> open_{0};
  std::atomic<bool> draining_{false};
  std::mutex mutex_;
  std::condition_variable all_closed_;
  std::set<Connection*> all_;  // of the io thread
};

/// One client. Everything happens on the io thread; a Reply posts to it.
class Connection final : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Running& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    server_.opened();
    server_.all_.insert(this);
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }
  ~Connection() {
    server_.all_.erase(this);
    server_.closed();
  }

  void read() {
    parser_.emplace();
    parser_->body_limit(server_.options().body_bytes);
    parser_->header_limit(server_.options().header_bytes);
    request_ = next_request();
    // Between requests a client may rest; once one has begun it has to come.
    stream_.expires_after(buffer_.size() > 0 ? server_.options().request_time : server_.options().idle_time);
    idle_ = true;
    beast::http::async_read_header(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) { self->header_read(error); });
  }
  bool idle() const { return idle_; }
  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.socket().close(ignored);
    gone();
  }

  // For Answer, on the io thread; `request` is the one it answers.
  void send(std::uint64_t request, Response response, bool streams) {
    if (request != request_ || answered_ || begun_) return;
    begun_ = true;
    chunked_ = streams && parser_->get().version() >= 11;
    if (streams && !chunked_) keep_ = false;
    std::string head = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", response.status, reason_of(response.status), response.type);
    for (const auto& [name, value] : response.headers) head += fmt::format("{}: {}\r\n", name, value);
    if (!origin_.empty()) head += fmt::format("Access-Control-Allow-Origin: {}\r\nVary: Origin\r\n", origin_);
    // 304 has the length of what it stands for, which is not known here; 204 has none.
    if (!streams && response.status != 304 && response.status != 204) head += fmt::format("Content-Length: {}\r\n", response.body.size());
    if (chunked_) head += "Transfer-Encoding: chunked\r\nCache-Control: no-cache\r\n";
    if (!keep_ || server_.draining()) {
      keep_ = false;
      head += "Connection: close\r\n";
    }
    head += "\r\n";
    put(std::move(head));
    if (!response.body.empty() && parser_->get().method() != beast::http::verb::head) put(chunk(std::move(response.body)));
    if (!streams) end(request);
  }
  void write(std::uint64_t request, std::string piece) {
    if (request == request_ && begun_ && !answered_ && !piece.empty()) put(chunk(std::move(piece)));
  }
  void end(std::uint64_t request) {
    if (request != request_ || !begun_ || answered_) return;
    if (chunked_) put("0\r\n\r\n");
    answered_ = true;
    on_gone_ = nullptr;
    if (!writing_) finished();
  }
  void on_gone(std::uint64_t request, std::function<void()> call) {
    if (request != request_ || answered_) return;
    if (gone_) {
      call();
    } else {
      on_gone_ = std::move(call);
    }
  }

 private:
  std::uint64_t next_request() {
    begun_ = answered_ = chunked_ = false;
    origin_.clear();
    return request_ + 1;
  }
  std::string chunk(std::string piece) const { return chunked_ ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::move(piece); }

  void header_read(error_code error) {
    if (error) return refused(error);
    idle_ = false;
    stream_.expires_after(server_.options().request_time);
    if (beast::http::token_list(parser_->get()[beast::http::field::expect]).exists("100-continue") && !parser_->is_done()) {
      static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(stream_, asio::buffer(kGoOn), [self = shared_from_this()](error_code failed, std::size_t) {
        if (!failed) self->read_body();
      });
      return;
    }
    read_body();
  }
  void read_body() {
    beast::http::async_read(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) { self->dispatch(error); });
  }

  void refused(error_code error) {
    namespace http = beast::http;
    if (error == http::error::end_of_stream || error == asio::error::eof || error == asio::error::connection_reset || error == asio::error::operation_aborted) return close();
    keep_ = false;
    if (error == beast::error::timeout) return close();
    const int status = error == http::error::body_limit ? 413 : error == http::error::header_limit ? 431 : 400;
    refuse(status, fmt::format("the request could not be read: {}", error.message()));
  }
  void refuse(int status, std::string_view why) {
    send(request_, {.status = status, .body = fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,"code":null}}}})", why)}, false);
  }

  void dispatch(error_code error) {
    if (error) return refused(error);
    stream_.expires_never();
    const auto& message = parser_->get();
    keep_ = message.keep_alive();
    Request request{.method = std::string(message.method_string())};
    const std::string_view target(message.target().data(), message.target().size());
    const auto mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string_view::npos) request.query = target.substr(mark + 1);
    for (const auto& field : message) {
      std::string name(field.name_string());
      std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
      request.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    request.body = std::move(parser_->get().body());
    if (!host_allowed(request.header("host"), server_.options().hosts)) return refuse(403, "this Host is not served here; --allow-host NAME allows it");
    if (const std::string_view origin = request.header("origin"); !origin.empty()) {
      if (!origin_allowed(origin, server_.options().origins)) return refuse(403, "pages of this Origin may not ask; --allow-origin ORIGIN allows them");
      if (origin.find_first_of("\r\n") == std::string_view::npos) origin_ = origin;
    }
    if (request.method == "OPTIONS") {
      return send(request_, {.status = 204, .type = "text/plain", .headers = {{"Access-Control-Allow-Methods", "GET, POST, OPTIONS"}, {"Access-Control-Allow-Headers", "authorization, content-type, x-api-key"}, {"Access-Control-Max-Age", "600"}}}, false);
    }
    if (!key_fits(request)) return refuse(401, "a key is needed: Authorization: Bearer KEY");
    watch();
    hand_over(std::move(request));
  }
  void hand_over(Request request);

  bool key_fits(const Request& request) const {
    const Options& options = server_.options();
    if (options.keys.empty() || std::find(options.open_paths.begin(), options.open_paths.end(), request.path) != options.open_paths.end()) return true;
    std::string_view given = request.header("authorization");
    if (given.starts_with("Bearer ") || given.starts_with("bearer ")) {
      given.remove_prefix(7);
    } else {
      given = request.header("x-api-key");
    }
    bool fits = false;
    for (const std::string& key : options.keys) {  // in a time that does not tell how much of it fits
      unsigned differs = given.size() == key.size() ? 0 : 1;
      for (std::size_t i = 0; i < key.size(); ++i) differs |= static_cast<unsigned char>(key[i]) ^ static_cast<unsigned char>(i < given.size() ? given[i] : 0);
      fits = fits || differs == 0;
    }
    return fits;
  }

  /// While an answer is made: sees the client go.
  void watch() {
    stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this(), request = request_](error_code error) {
      if (error || request != self->request_ || self->answered_) return;
      char byte = 0;
      error_code peeked;
      self->stream_.socket().non_blocking(true, peeked);
      const std::size_t n = self->stream_.socket().receive(asio::buffer(&byte, 1), tcp::socket::message_peek, peeked);
      if (peeked == asio::error::would_block) return self->watch();
      if (peeked || n == 0) self->close();  // else the next request is there already: it waits
    });
  }

  void put(std::string bytes) {
    if (gone_) return;
    queued_ += bytes.size();
    if (queued_ > server_.options().queued_bytes + bytes.size()) return close();
    queue_.push_back(std::move(bytes));
    if (!writing_) write_next();
  }
  void write_next() {
    writing_ = true;
    sending_.clear();
    for (std::string& s : queue_) sending_ += s;
    queue_.clear();
    stream_.expires_after(server_.options().write_time);
    asio::async_write(stream_, asio::buffer(sending_), [self = shared_from_this()](error_code error, std::size_t) {
      self->writing_ = false;
      if (error) return self->close();
      self->queued_ -= self->sending_.size();
      if (!self->queue_.empty()) return self->write_next();
      self->stream_.expires_never();
      if (self->answered_) self->finished();
    });
  }
  void finished() {
    if (gone_) return;
    if (!keep_ || server_.draining()) {
      error_code ignored;
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
      gone_ = true;
      stream_.socket().cancel(ignored);
      return;
    }
    stream_.socket().cancel();  // watch()
    read();
  }
  void gone() {
    gone_ = true;
    if (auto call = std::exchange(on_gone_, nullptr)) call();
  }

  Running& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{std::size_t{64} << 20U};
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  std::uint64_t request_ = 0;
  std::vector<std::string> queue_;
  std::string sending_, origin_;
  std::size_t queued_ = 0;
  std::function<void()> on_gone_;
  bool keep_ = true, begun_ = false, answered_ = false, chunked_ = false, writing_ = false, gone_ = false, idle_ = false;
};

class Answer final : public Reply {
 public:
  Answer(asio::io_context& io, std::shared_ptr<Connection> connection, std::uint64_t request) : io_(io), connection_(std::move(connection)), request_(request) {}
  ~Answer() override {
    if (!ended_) {  // a handler that forgot: the client shall not wait for ever
      asio::post(io_, [c = connection_, r = request_] {
        c->send(r, {.status = 500, .body = R"({"error":{"message":"no answer was made","type":"server_error","param":null,"code":null}})"}, false);
        c->end(r);
      });
    }
  }
  void send(Response response) override {
    ended_ = true;
    asio::post(io_, [c = connection_, r = request_, m = std::move(response)]() mutable { c->send(r, std::move(m), false); });
  }
  void begin(Response response) override {
    asio::post(io_, [c = connection_, r = request_, m = std::move(response)]() mutable { c->send(r, std::move(m), true); });
  }
  void write(std::string piece) override {
    asio::post(io_, [c = connection_, r = request_, p = std::move(piece)]() mutable { c->write(r, std::move(p)); });
  }
  void end() override {
    ended_ = true;
    asio::post(io_, [c = connection_, r = request_] { c->end(r); });
  }
  void on_gone(std::function<void()> call) override {
    asio::post(io_, [c = connection_, r = request_, f = std::move(call)]() mutable { c->on_gone(r, std::move(f)); });
  }

 private:
  asio::io_context& io_;
  std::shared_ptr<Connection> connection_;
  std::uint64_t request_;
  std::atomic<bool> ended_{false};
};

void Connection::hand_over(Request request) {
  auto answer = std::make_shared<Answer>(server_.io(), shared_from_this(), request_);
  asio::post(server_.pool(), [&handler = server_.handler(), r = std::move(request), a = std::move(answer)]() mutable {
    try {
      handler(std::move(r), a);
    } catch (const std::exception&) {
      a->send({.status = 500, .body = R"({"error":{"message":"the request could not be handled","type":"server_error","param":null,"code":null}})"});
    }
  });
}

Status Running::listen() {
  error_code error;
  const auto address = asio::ip::make_address(options_.address, error);
  if (error) return fail(Code::invalid, fmt::format("{} is no address to listen on", printable(options_.address)));
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) {
    const Code code = error == asio::error::address_in_use ? Code::busy : error == asio::error::access_denied ? Code::permission : Code::io;
    return fail(code, fmt::format("listen on {} port {}: {}", options_.address, options_.port, error.message()), error.value());
  }
  port_ = acceptor_.local_endpoint(error).port();
  accept();
  thread_ = std::thread([this] { io_.run(); });
  return {};
}

void Running::accept() {
  acceptor_.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted || draining()) return;
    if (!error && open_.load() < options_.connections) std::make_shared<Connection>(*this, std::move(socket))->read();
    if (error == asio::error::no_descriptors) {  // try again once some are free
      auto timer = std::make_shared<asio::steady_timer>(io_, std::chrono::milliseconds(100));
      timer->async_wait([this, timer](error_code) { accept(); });
      return;
    }
    accept();
  });
}

void Running::drain(std::chrono::seconds most) {
  draining_.store(true);
  asio::post(io_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    for (Connection* connection : std::vector<Connection*>(all_.begin(), all_.end())) {
      if (connection->idle()) connection->close();
    }
  });
  std::unique_lock lock(mutex_);
  all_closed_.wait_for(lock, most, [&] { return open_.load() == 0; });
}

Running::~Running() {
  draining_.store(true);
  asio::post(io_, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    for (Connection* connection : std::vector<Connection*>(all_.begin(), all_.end())) connection->close();
  });
  pool_.join();  // handlers may still hold replies; what they post is dropped
  // Nothing is left to wait for then: every connection was closed, and its last handler has run.
  if (thread_.joinable()) thread_.join();
}

}  // namespace

Result<std::unique_ptr<Server>> Server::start(Options options, Handler handler) {
  try {
    auto server = std::make_unique<Running>(std::move(options), std::move(handler));
    TRY(server->listen());
    return server;
  } catch (const std::exception& error) {
    return fail(Code::io, fmt::format("start the server: {}", error.what()));
  }
}

}  // namespace mlxbase::http
