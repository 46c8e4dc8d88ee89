// Servers of models: who listens, which kind it is, and what it tells. A port is asked only if something speaks for it: it is a kind's default, the
// program behind it has a kind's name, or the person named it. Never guessed from the port: the answer is the proof.
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "mlxbase/core/printable.h"
#include "mlxdash/collect/dialect.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/processes.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

using mlxbase::Result;
using mlxbase::net::Url;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kDiscoverEvery = 5 * kSecond;
constexpr std::int64_t kForgetAfter = 60 * kSecond;       // a server whose port has closed
constexpr std::int64_t kAskStrangerAgain = 60 * kSecond;  // a port that proved to be none of ours
constexpr std::int64_t kBackOff[] = {1 * kSecond, 2 * kSecond, 5 * kSecond, 15 * kSecond, 60 * kSecond};
constexpr std::size_t kMostServers = 64;
constexpr std::size_t kMostModels = 256;  // of one server, shown
constexpr std::size_t kMostRounds = 12;   // of questions to a server nobody knows yet, in one look

struct Server {
  std::uint64_t number = 0;
  Url url;
  bool named = false;                    // by the person: shown whatever it is
  bool suspected = false;                // the program behind it has the name of a kind
  std::optional<std::int64_t> pid;
  std::uint64_t started = 0;

  const EngineKind* kind = nullptr;      // proven
  std::unique_ptr<Dialect> dialect;
  Engine engine;
  Proofs proofs;
  std::size_t trying = 0;                // row of kinds() whose proof is looked for
  std::map<std::string, std::int64_t> due;  // path -> when to ask it again
  std::size_t failures = 0;
  std::int64_t rest_until_ns = 0;
  std::int64_t closed_since_ns = 0;
  Rate cpu;
};

class Engines final : public Looker {
 public:
  explicit Engines(const Parts& parts)
      : parts_(parts), processes_(parts.fs, parts.root), ticks_per_second_(static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK)))) {
    for (const std::string& text : parts.engine_urls) {
      if (auto url = Url::parse(text.find("://") == std::string::npos ? "http://" + text : text)) add(*url).named = true;
    }
    if (parts.find_engines) {
      if (const auto host = parts.environment.get_nonempty("OLLAMA_HOST")) add_ollama_host(*host);
    }
  }

  Result<Apply> look(const Moment& now) override {
    if (fetcher_ == nullptr) fetcher_ = TRY(Fetcher::make(parts_.clock));
    if (parts_.find_engines && now.steady_ns >= discover_at_ns_) {
      discover(now);
      discover_at_ns_ = now.steady_ns + kDiscoverEvery;
    }
    const std::int64_t until = parts_.clock.steady_ns() + 2 * static_cast<std::int64_t>(parts_.http_deadline_ms) * 1'000'000;
    for (std::size_t round = 0; round < kMostRounds; ++round) {
      bool strangers = false;
      for (Server& server : servers_) strangers = begin(server, now) || strangers;
      for (auto& done : fetcher_->run(parts_.http_deadline_ms + 50)) take(std::move(done), now);
      if (!strangers || parts_.clock.steady_ns() >= until) break;
    }
    std::vector<Engine> engines;
    for (Server& server : servers_) {
      if (!is_shown(server)) continue;
      measure(server, now);
      engines.push_back(server.engine);
    }
    return [engines = std::move(engines)](Snapshot& s) { s.engines = engines; };
  }

 private:
  static bool is_shown(const Server& server) { return server.named || server.kind != nullptr || (server.suspected && server.engine.state == "down"); }

  Server& add(const Url& url) {
    for (Server& server : servers_) {
      if (server.url.same_origin(url)) return server;
    }
    Server& server = servers_.emplace_back();
    server.number = ++last_number_;
    server.url = url;
    server.engine.url = url.origin();
    server.engine.state = "unknown";
    nothing_known(server.engine);
    return server;
  }

  /// OLLAMA_HOST: host, host:port or URL; a bare host means port 11434; 0.0.0.0 is where it listens, not where to ask.
  void add_ollama_host(std::string host) {
    if (host.find("://") == std::string::npos) {
      if (host.find(':') == std::string::npos) host += ":11434";
      host.insert(0, "http://");
    }
    if (const auto at = host.find("//0.0.0.0"); at != std::string::npos) host.replace(at, 9, "//127.0.0.1");
    if (auto url = Url::parse(host)) add(*url).suspected = true;
  }

  /// The kind's row whose programs are part of the process's words.
  static bool sounds_like_an_engine(std::string_view name, std::string_view command) {
    for (const EngineKind& kind : kinds()) {
      for (const std::string_view program : kind.programs) {
        if (name.find(program) != std::string_view::npos || command.find(program) != std::string_view::npos) return true;
      }
    }
    return false;
  }

  static bool is_default_port(std::uint16_t port) {
    return std::ranges::any_of(kinds(), [&](const EngineKind& kind) { return kind.port == port && port != 0; });
  }

  void discover(const Moment& now) {
    std::set<std::uint64_t> open;
    auto listeners = processes_.refresh() ? processes_.listeners() : Result<std::vector<Listener>>(mlxbase::fail(mlxbase::Code::not_found, ""));
    if (!listeners) {  // no /proc: ask where the kinds listen by default
      for (const EngineKind& kind : kinds()) {
        if (kind.port == 0) continue;
        if (auto url = Url::parse(fmt::format("http://127.0.0.1:{}", kind.port))) open.insert(add(*url).number);
      }
      return;
    }
    std::set<std::int64_t> servers;
    for (const Listener& l : *listeners) {
      if (l.pid) servers.insert(*l.pid);
    }
    for (const Listener& l : *listeners) {
      bool suspected = false;
      const auto running = l.pid ? processes_.all().find(*l.pid) : processes_.all().end();
      if (running != processes_.all().end()) {
        if (*l.pid == ::getpid()) continue;
        suspected = sounds_like_an_engine(running->second.name, processes_.command_line(*l.pid));
        // A runner that a server started for itself (Ollama's, a router's) is told of by the server.
        const auto parent = processes_.all().find(running->second.parent);
        if (suspected && parent != processes_.all().end() && servers.contains(parent->first) && parent->second.name == running->second.name) continue;
      }
      if (!suspected && !is_default_port(l.port)) continue;
      const bool v6 = l.host.find(':') != std::string::npos;
      auto url = Url::parse(v6 ? fmt::format("http://[{}]:{}", l.host, l.port) : fmt::format("http://{}:{}", l.host, l.port));
      if (!url || servers_.size() >= kMostServers) continue;
      Server& server = add(*url);
      server.suspected = suspected;
      const std::uint64_t started = running != processes_.all().end() ? running->second.started : 0;
      if (server.pid != l.pid || server.started != started) {  // another process took the port
        if (server.pid || server.closed_since_ns != 0) restart(server);
        server.pid = l.pid;
        server.started = started;
      }
      server.closed_since_ns = 0;
      open.insert(server.number);
    }
    for (Server& server : servers_) {
      if (open.contains(server.number) || server.named || !server.url.is_loopback()) continue;
      if (server.closed_since_ns == 0) {
        server.closed_since_ns = now.steady_ns;
        down(server.engine, Absent::gone);
        server.engine.why = "nothing listens on its port any more";
        server.engine.process = Absent::gone;
        server.pid.reset();
        fetcher_->drop(server.number);
      }
    }
    std::erase_if(servers_, [&](const Server& s) { return s.closed_since_ns != 0 && (s.kind == nullptr || now.steady_ns - s.closed_since_ns > kForgetAfter); });
  }

  static void down(Engine& engine, Absent why) {
    nothing_known(engine);
    engine.state = "down";
    engine.models = why;
    for (auto* r : {&engine.running, &engine.waiting, &engine.decode, &engine.prefill, &engine.kv_used}) *r = why;
  }

  void restart(Server& server) {
    fetcher_->drop(server.number);
    server.kind = nullptr;
    server.dialect.reset();
    server.proofs.clear();
    server.trying = 0;
    server.due.clear();
    server.failures = 0;
    server.rest_until_ns = 0;
    server.cpu.forget();
    const std::string url = server.engine.url;
    server.engine = Engine{};
    server.engine.url = url;
    server.engine.state = "unknown";
    nothing_known(server.engine);
  }

  /// Asks what is due. True: it is being found out which kind it is, and another round brings that further.
  bool begin(Server& server, const Moment& now) {
    if (server.closed_since_ns != 0 || now.steady_ns < server.rest_until_ns) return false;
    if (server.kind == nullptr) return begin_proof(server, now);
    for (const Question& question : server.dialect->questions()) {
      auto [due, fresh] = server.due.try_emplace(question.path, 0);
      if (now.steady_ns < due->second || fetcher_->is_asking(server.number, question.path)) continue;
      // A little early is on time: looks come once a period, never exactly.
      due->second = now.steady_ns + static_cast<std::int64_t>(question.every_ms) * 1'000'000 - kSecond / 20;
      fetcher_->ask(server.url, {.server = server.number, .path = question.path, .deadline_ms = question.deadline_ms != 0 ? question.deadline_ms : parts_.http_deadline_ms});
    }
    return false;
  }

  bool begin_proof(Server& server, const Moment& now) {
    while (server.trying < kinds().size()) {
      const EngineKind& kind = kinds()[server.trying];
      bool asked = false;
      for (const std::string_view path : kind.asks) {
        if (find(server.proofs, path) != nullptr) continue;
        asked = true;
        const std::string text(path);
        // The list of models may take its time where a server walks a cache for it.
        if (!fetcher_->is_asking(server.number, text)) fetcher_->ask(server.url, {.server = server.number, .path = text, .deadline_ms = path == "/v1/models" ? 2000 : parts_.http_deadline_ms});
      }
      if (asked) return true;
      if (auto version = kind.proves(server.proofs)) {
        server.kind = &kind;
        server.dialect = kind.make();
        server.engine.kind = kind.name;
        server.engine.version = *version;
        server.engine.state = "up";
        // What was asked for the proof is an answer like any other.
        for (const auto& [path, reply] : server.proofs) {
          for (const Question& question : server.dialect->questions()) {
            if (question.path != path) continue;
            server.dialect->read(path, reply, now, server.engine);
            server.due[path] = now.steady_ns + static_cast<std::int64_t>(question.every_ms) * 1'000'000;
          }
        }
        server.proofs.clear();
        begin(server, now);
        return true;  // so that its first answers come in this look
      }
      ++server.trying;
    }
    server.engine.state = "unknown";
    server.engine.why = "it answers, but as no server of models that is known";
    server.proofs.clear();
    server.trying = 0;
    server.rest_until_ns = now.steady_ns + kAskStrangerAgain;
    return false;
  }

  void take(Fetcher::Done done, const Moment& now) {
    const auto at = std::ranges::find(servers_, done.server, &Server::number);
    if (at == servers_.end()) return;
    Server& server = *at;
    const Moment arrived{.wall_ns = now.wall_ns, .steady_ns = parts_.clock.steady_ns()};
    // A status is an answer; no answer at all three times over says that the server is away, and asking it every second would only cost.
    if (done.reply.error) {
      if (server.kind == nullptr) {
        rest(server, arrived);
        down(server.engine, Absent::no_answer);
        server.engine.why = why_of(done.reply);
        server.proofs.clear();
        server.trying = 0;
        fetcher_->drop(server.number);
        return;
      }
      server.dialect->read(done.path, done.reply, arrived, server.engine);
      if (++server.failures >= 2) {
        rest(server, arrived);
        down(server.engine, Absent::no_answer);
        server.engine.why = why_of(done.reply);
      }
      return;
    }
    server.failures = 0;
    if (server.kind == nullptr) {
      server.proofs[done.path] = std::move(done.reply);
      return;
    }
    server.dialect->read(done.path, done.reply, arrived, server.engine);
    if (server.engine.models && server.engine.models->size() > kMostModels) server.engine.models->resize(kMostModels);
  }

  static void rest(Server& server, const Moment& now) {
    const std::size_t step = std::min(server.failures, std::size(kBackOff) - 1);
    server.rest_until_ns = now.steady_ns + kBackOff[step];
    if (server.kind == nullptr) ++server.failures;
  }

  void measure(Server& server, const Moment& now) {
    if (!server.pid) {
      server.engine.process = server.closed_since_ns != 0 ? Absent::gone : server.url.is_loopback() ? Absent::not_permitted : Absent::not_supported;
      return;
    }
    Process process = processes_.measure(*server.pid);
    process.cpu = server.cpu.per_second(static_cast<double>(processes_.family_ticks(*server.pid)) / ticks_per_second_, now.steady_ns);
    server.engine.process = std::move(process);
  }

  Parts parts_;
  ProcessTable processes_;
  double ticks_per_second_;
  std::unique_ptr<Fetcher> fetcher_;
  std::list<Server> servers_;
  std::uint64_t last_number_ = 0;
  std::int64_t discover_at_ns_ = 0;
};

}  // namespace

std::unique_ptr<Looker> make_engines(const Parts& parts) { return std::make_unique<Engines>(parts); }

}  // namespace mlxdash::collect
