#include "mlxbase/http/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace mlxbase::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A client that says bytes and hears bytes.
class Client {
 public:
  explicit Client(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  ~Client() { hang_up(); }
  void hang_up() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void say(std::string_view bytes) const { EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size())); }
  /// Until `end` was heard, or the server hung up.
  std::string hear(std::string_view end = "\n\n\n") const {
    std::string all;
    char room[4096];
    while (all.find(end) == std::string::npos) {
      const ssize_t n = ::recv(socket_, room, sizeof room, 0);
      if (n <= 0) break;
      all.append(room, static_cast<std::size_t>(n));
    }
    return all;
  }

 private:
  int socket_;
};

std::unique_ptr<Server> started(Options options, Server::Handler handler) {
  auto server = Server::start(std::move(options), std::move(handler));
  EXPECT_TRUE(server) << server.error().message;
  return std::move(*server);
}
void echo(Request request, const std::shared_ptr<Reply>& reply) { reply->send({.type = "text/plain", .body = request.method + " " + request.path + "?" + request.query + " " + request.body}); }

TEST(HttpServer, AnswersSeveralRequestsOnOneConnection) {
  const auto server = started({}, echo);
  const Client client(server->port());
  client.say("GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
  const std::string heard = client.hear("POST /d? hi");
  EXPECT_THAT(heard, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(heard, HasSubstr("GET /a?b=c "));
  EXPECT_THAT(heard, EndsWith("POST /d? hi"));
}

TEST(HttpServer, StreamsInPiecesAndEnds) {
  const auto server = started({}, [](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->begin({.type = "text/event-stream", .body = "one"});
    reply->write("two");
    reply->end();
  });
  const Client client(server->port());
  client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(client.hear("0\r\n\r\n"), EndsWith("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
  const Client old(server->port());
  old.say("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(old.hear(), EndsWith("\r\n\r\nonetwo")) << "1.0 knows no chunks: the end of the connection is the end";
}

TEST(HttpServer, SeesAtOnceThatAClientWent) {
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false, gone = false;
  std::shared_ptr<Reply> kept;
  auto server = started({}, [&](const Request&, std::shared_ptr<Reply> reply) {
    reply->begin({});
    reply->on_gone([&] {
      const std::scoped_lock lock(mutex);
      gone = true;
      changed.notify_all();
    });
    const std::scoped_lock lock(mutex);
    kept = std::move(reply);
    asked = true;
    changed.notify_all();
  });
  Client client(server->port());
  client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return asked; });
  EXPECT_FALSE(gone);
  client.hang_up();
  changed.wait(lock, [&] { return gone; });
  kept->write("into the void");
  kept->end();
  kept.reset();
}

TEST(HttpServer, CutsOffWhoDoesNotRead) {
  Options options;
  options.queued_bytes = 1U << 20U;
  std::atomic<bool> gone{false};
  const auto server = started(options, [&](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->on_gone([&] { gone = true; });
    reply->begin({});
    for (int i = 0; i < 100000 && !gone; ++i) reply->write(std::string(1024, 'x'));
    reply->end();
  });
  const Client client(server->port());
  client.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  while (!gone) std::this_thread::yield();
}

TEST(HttpServer, RefusesWhatIsTooLargeOrNoHttp) {
  Options options;
  options.body_bytes = 100;
  options.header_bytes = 1000;
  const auto server = started(options, echo);
  const auto answer = [&](const std::string& said) {
    const Client client(server->port());
    client.say(said);
    return client.hear("\r\n");
  };
  EXPECT_THAT(answer("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 101\r\n\r\n"), HasSubstr(" 413 "));
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nHost: localhost\r\nA: " + std::string(2000, 'a') + "\r\n\r\n"), HasSubstr(" 431 "));
  EXPECT_THAT(answer("nonsense\r\n\r\n"), HasSubstr(" 400 "));
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), HasSubstr(" 403 "));
  EXPECT_THAT(answer("GET / HTTP/1.1\r\n\r\n"), HasSubstr(" 403 ")) << "no Host at all";
  EXPECT_THAT(answer("GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nOrigin: https://evil.example\r\n\r\n"), HasSubstr(" 403 "));
}

TEST(HttpServer, AHandlerThatForgetsOrThrowsIsAnswered) {
  const auto server = started({}, [](const Request& request, const std::shared_ptr<Reply>&) {
    if (request.path == "/throws") throw std::runtime_error("x");
  });
  for (const std::string_view path : {"/forgets", "/throws"}) {
    const Client client(server->port());
    client.say("GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(client.hear(), HasSubstr(" 500 ")) << path;
  }
}

TEST(HttpServer, DrainsWhatIsInFlight) {
  std::shared_ptr<Reply> kept;
  std::mutex mutex;
  std::condition_variable changed;
  const auto server = started({}, [&](const Request&, std::shared_ptr<Reply> reply) {
    const std::scoped_lock lock(mutex);
    kept = std::move(reply);
    changed.notify_all();
  });
  const Client busy(server->port()), idle(server->port());
  busy.say("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  std::shared_ptr<Reply> reply;
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return kept != nullptr; });
    reply = std::move(kept);
  }
  std::thread draining([&] { server->drain(std::chrono::seconds(20)); });
  EXPECT_EQ(idle.hear(), "") << "idle connections are closed";
  reply->send({.body = "last"});
  reply.reset();
  EXPECT_THAT(busy.hear(), HasSubstr("Connection: close"));
  draining.join();
  EXPECT_EQ(server->connections(), 0U);
}

TEST(HttpRules, SayWhoMayAsk) {
  EXPECT_TRUE(host_allowed("LOCALHOST:80", {}));
  EXPECT_TRUE(host_allowed("[::1]:80", {}));
  EXPECT_TRUE(host_allowed("127.9.9.9", {}));
  for (const std::string_view host : {"", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "1127.0.0.1"}) EXPECT_FALSE(host_allowed(host, {})) << host;
  EXPECT_TRUE(host_allowed("box.lan:8080", {"box.lan"}));
  EXPECT_TRUE(origin_allowed("http://localhost:3000", {}));
  EXPECT_FALSE(origin_allowed("null", {}));
  EXPECT_FALSE(origin_allowed("https://evil.example", {"https://good.example"}));
  EXPECT_EQ(percent_decoded("a%2Fb%zz%4"), "a/b%zz%4");
}

}  // namespace
}  // namespace mlxbase::http
