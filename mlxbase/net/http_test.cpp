// Against a real socket on loopback whose other end does what a test says.
#include "mlxbase/net/http.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <thread>

#include "mlxbase/core/bytes.h"
#include "mlxbase/testing/scripted_server.h"
#include "mlxbase/testing/temporary_folder.h"

namespace mlxbase::net {
namespace {

using testing::ScriptedServer;
using ::testing::HasSubstr;
using ::testing::Not;
using Peer = ScriptedServer::Peer;
using Asked = ScriptedServer::Request;

std::unique_ptr<Client> client(ClientOptions options = {}) { return *Client::make(std::move(options)); }

Request get(const std::string& url, Redirects redirects = Redirects::any) {
  Request request;
  request.url = *Url::parse(url);
  request.redirects = redirects;
  return request;
}

Credential credential(const std::string& url, const std::string& token = "hf_secret") { return {*Url::parse(url), Secret(token)}; }

/// Keeps what it hears, and may refuse or rest.
class Listener final : public Sink {
 public:
  Status on_head(const ResponseHead& head) override {
    heads.push_back(head);
    return head_result;
  }
  Status on_data(std::span<const std::byte> data) override {
    body += as_text(data);
    return data_result;
  }
  void on_done(Status result) override {
    done = std::move(result);
    if (then) then();
  }
  bool wants_data() override { return wanted == 0 || body.size() < wanted; }

  std::vector<ResponseHead> heads;
  std::string body;
  std::optional<Status> done;
  Status head_result, data_result;
  std::size_t wanted = 0;  // rests from here on; 0: never
  std::function<void()> then;
};

void drive(Client& client, const std::function<bool()>& until) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!until()) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit) << "nothing more happens";
    ASSERT_TRUE(client.poll(100));
  }
}

TEST(Http, AnswersComeWhole) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.answer(404, {"X-Error-Code: RepoNotFound"}, "no such"); });
  const auto answer = client()->send(get(server.url("/a?b=c")));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->head.status, 404);
  EXPECT_EQ(answer->body, "no such");
  EXPECT_EQ(answer->head.content_length, 7U);
  EXPECT_EQ(answer->head.http_version, "1.1");
  EXPECT_EQ(find_header(answer->head.headers, "x-error-CODE"), "RepoNotFound");
  EXPECT_EQ(server.requests()[0].target, "/a?b=c");
  EXPECT_EQ(server.requests()[0].header("accept-encoding"), "identity");
}

TEST(Http, HeadAndPostGoOut) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.method == "HEAD") return peer.send("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
    peer.answer(200, {}, request.body);
  });
  const auto net = client();
  auto request = get(server.url("/"));
  request.method = "HEAD";
  const auto head = net->send(request);
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->head.content_length, 12345U);
  request.method = "POST";
  request.body = std::string("a\0b", 3);
  request.headers = {{"Content-Type", "application/json"}};
  EXPECT_EQ(net->send(request)->body, request.body);
  EXPECT_EQ(server.connections(), 1U) << "the connection is kept";
}

TEST(Http, RangesAreAskedFor) {
  ScriptedServer server([](const Asked& request, Peer& peer) { peer.answer_file(request, "0123456789"); });
  auto request = get(server.url("/"));
  request.range = ByteRange{3, 5};
  const auto net = client();
  EXPECT_EQ(net->send(request)->body, "345");
  request.range = ByteRange{7, std::nullopt};
  const auto rest = net->send(request);
  EXPECT_EQ(rest->head.status, 206);
  EXPECT_EQ(rest->body, "789");
}

TEST(Http, ATokenGoesToItsOriginOnly) {
  ScriptedServer other([](const Asked&, Peer& peer) { peer.answer(200, {}, "elsewhere"); });
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    if (request.target == "/here") return peer.answer(302, {"Location: /there"});
    if (request.target == "/away") return peer.answer(307, {"Location: " + other.url("/x?sig=1")});
    peer.answer(200, {}, "here");
  });
  const auto net = client();
  auto request = get(server.url("/here"));
  request.credential = credential(server.url("/"));
  EXPECT_EQ(net->send(request)->body, "here");
  for (const auto& asked : server.requests()) EXPECT_EQ(asked.header("authorization"), "Bearer hf_secret") << asked.target;

  request.url = *Url::parse(server.url("/away"));
  const auto away = net->send(request);
  EXPECT_EQ(away->body, "elsewhere");
  EXPECT_EQ(away->head.url.text(), other.url("/x?sig=1"));
  EXPECT_EQ(other.requests().at(0).header("authorization"), std::nullopt);

  request.url = *Url::parse(other.url("/direct"));
  EXPECT_TRUE(net->send(request));
  EXPECT_EQ(other.requests().at(1).header("authorization"), std::nullopt) << "the request was never for the token's origin";
}

TEST(Http, ATokenThatWasLeftBehindStaysThere) {
  std::string back;
  ScriptedServer other([&](const Asked&, Peer& peer) { peer.answer(302, {"Location: " + back}); });
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    if (request.target == "/") return peer.answer(302, {"Location: " + other.url("/")});
    peer.answer(200);
  });
  back = server.url("/back");
  auto request = get(server.url("/"));
  request.credential = credential(server.url("/"));
  ASSERT_TRUE(client()->send(request));
  EXPECT_EQ(server.requests().at(1).target, "/back");
  EXPECT_EQ(server.requests().at(1).header("authorization"), std::nullopt);
}

TEST(Http, ATokenDoesNotTravelOpenly) {
  ScriptedServer proxy([](const Asked&, Peer& peer) { peer.answer(200); });
  const auto net = client({.proxy = proxy.url("")});
  auto request = get("http://hub.test/x");
  request.credential = credential("http://hub.test/");
  ASSERT_TRUE(net->send(request));
  EXPECT_EQ(proxy.requests().at(0).header("authorization"), std::nullopt);
  request = get("http://127.0.0.1:9/x");  // to loopback it may go, but not by way of somebody else
  request.credential = credential("http://127.0.0.1:9/");
  ASSERT_TRUE(net->send(request));
  EXPECT_EQ(proxy.requests().at(1).header("authorization"), std::nullopt);
}

TEST(Http, RedirectsAreFollowedAsFarAsAllowed) {
  ScriptedServer other([](const Asked&, Peer& peer) { peer.answer(200, {}, "elsewhere"); });
  ScriptedServer server([&](const Asked& request, Peer& peer) {
    if (request.target == "/loop") return peer.answer(302, {"Location: /loop"});
    if (request.target == "/local") return peer.answer(301, {"Location: /end"});
    if (request.target == "/file") return peer.answer(302, {"Location: file:///etc/passwd"});
    if (request.target == "/user") return peer.answer(302, {"Location: http://a:b@127.0.0.1/"});
    if (request.target == "/away") return peer.answer(302, {"Location: " + other.url("/")}, "body of the redirect");
    peer.answer(200, {}, "end");
  });
  const auto net = client();
  EXPECT_EQ(net->send(get(server.url("/local"), Redirects::none))->head.status, 301);
  EXPECT_EQ(net->send(get(server.url("/local"), Redirects::same_origin))->body, "end");
  const auto answer = net->send(get(server.url("/away"), Redirects::same_origin));
  EXPECT_EQ(answer->head.status, 302);
  EXPECT_EQ(find_header(answer->head.headers, "location"), other.url("/"));
  EXPECT_EQ(answer->body, "body of the redirect");
  EXPECT_EQ(net->send(get(server.url("/away")))->body, "elsewhere");
  EXPECT_EQ(net->send(get(server.url("/loop"))).error().code, Code::corrupt);
  EXPECT_EQ(net->send(get(server.url("/file"))).error().code, Code::corrupt);
  EXPECT_EQ(net->send(get(server.url("/user"))).error().code, Code::corrupt);
  EXPECT_EQ(net->send(get(server.url("/user"))).error().message.find("b@"), std::string::npos);
}

TEST(Http, APostThatIsSentElsewhereBecomesAGet) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.target == "/303") return peer.answer(303, {"Location: /end"});
    if (request.target == "/307") return peer.answer(307, {"Location: /end"});
    peer.answer(200, {}, request.method + request.body);
  });
  auto request = get(server.url("/303"));
  request.method = "POST";
  request.body = "x";
  EXPECT_EQ(client()->send(request)->body, "GET");
  request.url = *Url::parse(server.url("/307"));
  EXPECT_EQ(client()->send(request)->body, "POSTx");
}

TEST(Http, ABodyBeyondTheLimitIsCutOff) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.target == "/said") return peer.answer(200, {}, std::string(2000, 'x'));
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1000 && peer.is_open(); ++i) peer.send("400\r\n" + std::string(1024, 'y') + "\r\n");
  });
  for (const char* path : {"/said", "/endless"}) {
    auto request = get(server.url(path));
    request.max_body = 1999;
    const auto answer = client()->send(request);
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, Code::corrupt);
  }
}

TEST(Http, HeadersHaveAnEnd) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\n");
    const std::string line = request.target == "/many" ? "A: b\r\n" : "A: " + std::string(60'000, 'b') + "\r\n";
    for (int i = 0; i < 3000 && peer.is_open(); ++i) peer.send(line);
    peer.send("Content-Length: 0\r\n\r\n");
  });
  for (const char* path : {"/many", "/long"}) {
    const auto answer = client()->send(get(server.url(path)));
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, Code::corrupt);
  }
}

TEST(Http, BrokenConnectionsAreErrorsOfTheNetwork) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.target.starts_with("/cut")) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      peer.close();
    } else if (request.target.starts_with("/chunk")) {
      peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf");
      peer.close();
    } else if (request.target.starts_with("/reset")) {
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
      peer.wait_ms(50);
      peer.reset();
    } else if (request.target.starts_with("/silent")) {
      peer.close();
    }
  });
  for (const char* path : {"/cut", "/chunk", "/reset", "/silent"}) {
    const auto broken = client()->send(get(server.url(path) + "?token=hunter2"));
    ASSERT_FALSE(broken) << path;
    EXPECT_EQ(broken.error().code, Code::io) << broken.error().message;
    EXPECT_THAT(broken.error().message, HasSubstr(path));
    EXPECT_THAT(broken.error().message, Not(HasSubstr("hunter2")));
  }
  const auto nobody = client()->send(get("http://127.0.0.1:1/x?token=hunter2"));
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, Code::io);
  EXPECT_THAT(nobody.error().message, Not(HasSubstr("hunter2")));
}

TEST(Http, WhatIsNotHttpIsRefused) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    if (request.target == "/packed") return peer.answer(200, {"Content-Encoding: gzip"}, "xx");
    peer.send(request.target == "/old" ? "hello there, this is no HTTP at all\r\n\r\n" : "HTTP/1.1 abc\r\n\r\n");
    peer.close();
  });
  for (const char* path : {"/old", "/status", "/packed"}) {
    const auto answer = client()->send(get(server.url(path)));
    ASSERT_FALSE(answer) << path;
    EXPECT_EQ(answer.error().code, Code::corrupt) << answer.error().message;
  }
}

TEST(Http, AStallEnds) {
  ScriptedServer server([](const Asked&, Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    peer.stall();
  });
  auto request = get(server.url("/"));
  request.stall_timeout_ms = 200;
  const auto answer = client()->send(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::io);
  EXPECT_THAT(answer.error().message, HasSubstr("stalled"));
}

TEST(Http, ASlowBodyIsNoStall) {
  ScriptedServer server([](const Asked&, Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    for (int i = 0; i < 6; ++i) {
      peer.wait_ms(150);
      peer.send("x");
    }
  });
  auto request = get(server.url("/"));
  request.stall_timeout_ms = 500;
  const auto answer = client()->send(request);
  EXPECT_TRUE(answer) << answer.error().message;
}

TEST(Http, TransfersRunSideBySide) {
  ScriptedServer server([](const Asked& request, Peer& peer) {
    peer.wait_ms(200);
    peer.answer(200, {}, request.target);
  });
  const auto net = client({.max_connections_per_host = 4});
  std::vector<Listener> listeners(8);
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < listeners.size(); ++i) ASSERT_TRUE(net->start(get(server.url(fmt::format("/{}", i))), listeners[i]));
  drive(*net, [&] { return std::ranges::all_of(listeners, [](const Listener& l) { return l.done.has_value(); }); });
  for (std::size_t i = 0; i < listeners.size(); ++i) EXPECT_EQ(listeners[i].body, fmt::format("/{}", i));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(1200));
  EXPECT_EQ(server.connections(), 4U) << "at most as many as allowed, and kept for the next";
}

TEST(Http, ASinkMayRestAndGoOn) {
  const std::string content(4 << 20, 'z');
  ScriptedServer server([&](const Asked&, Peer& peer) { peer.answer(200, {}, content); });
  const auto net = client();
  Listener listener;
  listener.wanted = 100'000;
  auto request = get(server.url("/"));
  request.stall_timeout_ms = 300;
  const auto id = net->start(request, listener);
  ASSERT_TRUE(id);
  drive(*net, [&] { return listener.body.size() >= listener.wanted; });
  const auto rest = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
  while (std::chrono::steady_clock::now() < rest) ASSERT_TRUE(net->poll(100));
  EXPECT_LT(listener.body.size(), listener.wanted + (std::size_t{1} << 20U));
  EXPECT_FALSE(listener.done) << "to rest is not to stall";
  listener.wanted = 0;
  net->resume(*id);
  drive(*net, [&] { return listener.done.has_value(); });
  EXPECT_TRUE(*listener.done);
  EXPECT_EQ(listener.body, content);
}

TEST(Http, ASinksErrorEndsItsTransfer) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.answer(200, {}, std::string(100'000, 'x')); });
  const auto net = client();
  Listener at_head, at_data;
  at_head.head_result = fail(Code::changed, "another");
  at_data.data_result = fail(Code::out_of_space, "full");
  ASSERT_TRUE(net->start(get(server.url("/")), at_head));
  ASSERT_TRUE(net->start(get(server.url("/")), at_data));
  drive(*net, [&] { return at_head.done && at_data.done; });
  EXPECT_EQ(at_head.done->error().code, Code::changed);
  EXPECT_EQ(at_data.done->error().code, Code::out_of_space);
}

TEST(Http, AnAbandonedTransferIsNotHeardOfAgain) {
  ScriptedServer server([](const Asked&, Peer& peer) {
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    peer.stall();
  });
  const auto net = client();
  Listener listener, waiting;
  const auto id = net->start(get(server.url("/")), listener);
  drive(*net, [&] { return !listener.body.empty(); });
  net->abandon(*id);
  const auto second = net->start(get(server.url("/")), waiting);
  net->abandon(*second);
  ASSERT_TRUE(net->poll(50));
  EXPECT_FALSE(listener.done);
  EXPECT_FALSE(waiting.done);
}

TEST(Http, AbandonFromWithinASinkIsFine) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.answer(200, {}, std::string(100'000, 'x')); });
  const auto net = client();
  TransferId own = 0;
  class Leaver final : public Sink {
   public:
    Leaver(Client& client, TransferId& id) : client_(client), id_(id) {}
    Status on_head(const ResponseHead&) override { return {}; }
    Status on_data(std::span<const std::byte>) override {
      client_.abandon(id_);
      left = true;
      return {};
    }
    void on_done(Status) override { done = true; }
    bool left = false, done = false;

   private:
    Client& client_;
    TransferId& id_;
  } leaver(*net, own);
  own = *net->start(get(server.url("/")), leaver);
  drive(*net, [&] { return leaver.left; });
  ASSERT_TRUE(net->poll(50));
  EXPECT_FALSE(leaver.done);
}

TEST(Http, AnEndMayStartTheNext) {
  ScriptedServer server([](const Asked& request, Peer& peer) { peer.answer(200, {}, request.target); });
  const auto net = client();
  Listener first, second;
  first.then = [&] { ASSERT_TRUE(net->start(get(server.url("/2")), second)); };
  ASSERT_TRUE(net->start(get(server.url("/1")), first));
  drive(*net, [&] { return second.done.has_value(); });
  EXPECT_EQ(second.body, "/2");
}

TEST(Http, WakeEndsAPoll) {
  const auto net = client();
  const auto begin = std::chrono::steady_clock::now();
  std::thread waker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    net->wake();
  });
  ASSERT_TRUE(net->poll(10'000));
  waker.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Http, ACancelEndsASend) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.stall(); });
  Cancel cancel;
  std::thread person([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel.request();
  });
  const auto answer = client()->send(get(server.url("/")), &cancel);
  person.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::cancelled);
}

TEST(Http, OfflineAsksNobody) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.answer(200); });
  const auto answer = client({.offline = true})->send(get(server.url("/")));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, Code::unsupported);
  EXPECT_EQ(server.connections(), 0U);
}

TEST(Http, RequestsThatSmuggleAreRefused) {
  const auto net = client();
  const auto refused = [&](const Request& request) {
    const auto answer = net->send(request);
    return !answer && answer.error().code == Code::invalid;
  };
  auto request = get("http://127.0.0.1:1/");
  for (const Header& header : {Header{"A", "b\r\nC: d"}, Header{"A b", "c"}, Header{"", "x"}, Header{"A:", "x"}, Header{"Authorization", "Bearer x"}, Header{"cookie", "x"}}) {
    request.headers = {header};
    EXPECT_TRUE(refused(request)) << header.name;
  }
  request.headers.clear();
  request.method = "GET /other HTTP/1.1\r\nX:";
  EXPECT_TRUE(refused(request));
  request.method = "GET";
  request.credential = credential("http://127.0.0.1:1/", "a\nb");
  EXPECT_TRUE(refused(request));
  EXPECT_TRUE(refused(Request{}));
}

TEST(Http, SixIsAnAddressToo) {
  ScriptedServer server([](const Asked&, Peer& peer) { peer.answer(200, {}, "six"); }, {}, true);
  const auto answer = client()->send(get(server.url("/")));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "six");
}

ClientOptions with_variables(std::map<std::string, std::string, std::less<>> variables) {
  ClientOptions options;
  options.variable = [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return options;
}

TEST(Http, GoesThroughAProxyAsTheVariablesSay) {
  ScriptedServer proxy([](const Asked& request, Peer& peer) {
    if (request.method == "CONNECT") return peer.answer(407, {"Proxy-Authenticate: Basic realm=x"});
    peer.answer(200, {}, "by proxy: " + request.target);
  });
  const auto net = client(with_variables({{"http_proxy", proxy.url("")}, {"https_proxy", proxy.url("")}, {"no_proxy", "127.0.0.2,direct.invalid"}}));
  EXPECT_EQ(net->send(get("http://hub.test/a"))->body, "by proxy: http://hub.test/a");
  const auto tunnel = net->send(get("https://hub.test/a"));
  ASSERT_FALSE(tunnel);
  EXPECT_EQ(tunnel.error().code, Code::permission) << tunnel.error().message;
  EXPECT_EQ(proxy.requests().at(1).target, "hub.test:443");
  const auto direct = net->send(get("http://direct.invalid/"));
  ASSERT_FALSE(direct);
  EXPECT_EQ(proxy.requests().size(), 2U) << "no_proxy names it";
}

TEST(Http, SocksResolvesTheNameThereWhereAsked) {
  std::string asked_for;
  ScriptedServer proxy([](const Asked& request, Peer& peer) { peer.answer(200, {}, "by socks: " + request.target); },
                       [&](Peer& peer) {
                         const auto hello = peer.read(2);
                         peer.read(static_cast<unsigned char>(hello[1]));
                         peer.send(std::string("\x05\x00", 2));
                         const auto request = peer.read(5);
                         asked_for = peer.read(static_cast<unsigned char>(request[4]));
                         peer.read(2);
                         peer.send(std::string("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10));
                       });
  const auto net = client(with_variables({{"ALL_PROXY", fmt::format("socks5h://127.0.0.1:{}", proxy.port())}}));
  const auto answer = net->send(get("http://hub.test/a"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "by socks: /a");
  EXPECT_EQ(asked_for, "hub.test");
}

TEST(Http, EarlyHintsAndTrailersAreNotTheAnswer) {
  ScriptedServer server([](const Asked&, Peer& peer) {
    peer.send("HTTP/1.1 103 Early Hints\r\nX-Which: hint\r\n\r\nHTTP/1.1 200 OK\r\nX-Which: answer\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2\r\nok\r\n0\r\nX-Which: trailer\r\n\r\n");
  });
  const auto answer = client()->send(get(server.url("/")));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "ok");
  EXPECT_EQ(answer->head.status, 200);
  EXPECT_EQ(find_header(answer->head.headers, "X-Which"), "answer");
  EXPECT_EQ(answer->head.headers.size(), 2U);
}

}  // namespace
}  // namespace mlxbase::net
