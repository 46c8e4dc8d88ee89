// mlxhub: parses, wires real parts together, runs.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/format/json.h"
#include "mlxbase/http/server.h"
#include "mlxhub/cli/options.h"
#include "mlxhub/cli/remote.h"
#include "mlxhub/serve/library.h"
#include "mlxhub/serve/service.h"

namespace {

namespace cli = mlxhub::cli;
namespace http = mlxbase::http;
namespace serve = mlxhub::serve;
using mlxbase::json::Value;

constexpr int kUsage = 2, kFailed = 4;

int fail(int status, const mlxbase::Error& error) {
  std::fputs(("mlxhub: " + mlxbase::printable(error.message) + "\n").c_str(), stderr);
  return status;
}
int usage(const std::string& why) { return fail(kUsage, {mlxbase::Code::invalid, why + "; mlxhub --help explains"}); }
void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }
/// What a model says, safe for a terminal; its lines stay lines.
std::string printable_lines(std::string_view text) {
  std::string out;
  for (std::size_t at = 0;;) {
    const auto end = text.find_first_of("\n\t", at);
    out += mlxbase::printable(text.substr(at, end - at));
    if (end == std::string_view::npos) return out;
    out += text[end];
    at = end + 1;
  }
}
Value document(std::string_view schema) {
  Value out{mlxbase::json::Object{}};
  out.set("schema", schema);
  return out;
}

int list(const cli::Options& options) {
  const auto environment = mlxbase::os::real_environment();
  const auto found = serve::find_models(mlxbase::os::real_file_system(), environment);
  if (!found) return fail(kFailed, found.error());
  if (options.json) {
    Value out = document("mlxhub.ls/1"), models{mlxbase::json::Array{}};
    for (const auto& model : *found) {
      Value one{mlxbase::json::Object{}};
      one.set("id", model.id).set("store", model.store).set("format", model.format).set("path", model.path).set("bytes", model.bytes);
      models.push(std::move(one));
    }
    out.set("models", std::move(models));
    print(mlxbase::json::dump(out, 2) + "\n");
    return 0;
  }
  for (const auto& model : *found) print(fmt::format("{:<60} {:<14} {:<12} {:>10}\n", mlxbase::printable(model.id), model.store, model.format, mlxbase::format_bytes(model.bytes)));
  if (found->empty()) print("No models were found.\n");
  return 0;
}

std::string key_of(const cli::Options& options) {
  if (!options.keys.empty()) return options.keys.front();
  return mlxbase::os::real_environment().get_nonempty("MLXHUB_API_KEY").value_or("");
}

int loaded(const cli::Options& options) {
  const auto remote = cli::Remote::at(options.server, key_of(options));
  if (!remote) return fail(kUsage, remote.error());
  const auto said = (*remote)->loaded();
  if (!said) return fail(kFailed, said.error());
  if (options.json) {
    Value out = document("mlxhub.ps/1"), models{mlxbase::json::Array{}};
    for (const Value& model : (*said)["models"].array()) {
      Value one{mlxbase::json::Object{}};
      one.set("id", model["name"]).set("bytes", model["size"]).set("expires_at", model["expires_at"]);
      models.push(std::move(one));
    }
    out.set("models", std::move(models));
    print(mlxbase::json::dump(out, 2) + "\n");
    return 0;
  }
  for (const Value& model : (*said)["models"].array()) print(fmt::format("{:<60} {:>10}   until {}\n", mlxbase::printable(model["name"].string()), mlxbase::format_bytes(model["size"].u64()), mlxbase::printable(model["expires_at"].string())));
  if ((*said)["models"].array().empty()) print("No model is loaded.\n");
  return 0;
}

int stop(const cli::Options& options) {
  const auto remote = cli::Remote::at(options.server, key_of(options));
  if (!remote) return fail(kUsage, remote.error());
  if (const auto done = (*remote)->stop(options.model); !done) return fail(kFailed, done.error());
  if (options.json) {
    Value out = document("mlxhub.stop/1");
    out.set("id", options.model);
    print(mlxbase::json::dump(out, 2) + "\n");
  } else {
    print(fmt::format("{} is let go.\n", mlxbase::printable(options.model)));
  }
  return 0;
}

int chat(const cli::Options& options) {
  const auto remote = cli::Remote::at(options.server, key_of(options));
  if (!remote) return fail(kUsage, remote.error());
  const bool person = ::isatty(STDIN_FILENO) == 1;
  Value messages{mlxbase::json::Array{}};
  const auto say = [&](const std::string& role, const std::string& content) {
    Value message{mlxbase::json::Object{}};
    message.set("role", role).set("content", content);
    messages.push(std::move(message));
  };
  for (;;) {
    std::string text;
    if (person) {
      std::fputs("> ", stderr);
      if (!std::getline(std::cin, text)) return 0;
    } else {
      text.assign(std::istreambuf_iterator<char>(std::cin), {});
    }
    if (text.empty() && person) continue;
    say("user", text);
    const auto said = (*remote)->chat(options.model, messages, [](std::string_view piece) {
      print(printable_lines(piece));
      std::fflush(stdout);
    });
    if (!said) return fail(kFailed, said.error());
    print("\n");
    if (!person) return 0;
    say("assistant", *said);
  }
}

int run(const cli::Options& options, const sigset_t& ends) {
  static const mlxbase::os::Environment environment = mlxbase::os::real_environment();
  http::Options server_options{.address = options.address, .port = options.port};
  server_options.hosts = options.hosts;
  server_options.origins = options.origins;
  server_options.keys = options.keys;
  if (const auto key = environment.get_nonempty("MLXHUB_API_KEY")) server_options.keys.push_back(*key);
  const bool loopback = options.address.starts_with("127.") || options.address == "::1";
  if (!loopback && server_options.keys.empty()) return usage("an address that others reach needs --api-key");
  serve::Library library(mlxbase::os::real_file_system(), environment, {.threads = options.threads, .keep_seconds = options.keep_seconds, .memory_bytes = options.memory_bytes, .schedule = {}});
  for (const std::string& name : options.models) {
    const auto model = library.get(name, true);
    if (!model) return fail(kFailed, {model.error().code, fmt::format("{}: {}", name, model.error().message)});
    std::fputs(fmt::format("mlxhub: {} is loaded\n", mlxbase::printable((*model)->id)).c_str(), stderr);
  }
  auto server = http::Server::start(server_options, serve::make_service(library));
  if (!server) return fail(kFailed, server.error());
  std::fputs(fmt::format("mlxhub: listening on http://{}:{}\n", options.address, (*server)->port()).c_str(), stderr);
  std::fflush(stderr);
  int signal = 0;
  ::sigwait(&ends, &signal);
  std::fputs("mlxhub: ending; requests in flight have 30 seconds\n", stderr);
  (*server)->drain(std::chrono::seconds(30));
  library.stop();
  server->reset();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto options = cli::parse(words);
  if (!options) return usage(options.error().message);
  if (options->help) return print(cli::help_text()), 0;
  if (options->version) return print(fmt::format("mlxhub {}\n", cli::kVersion)), 0;
  switch (options->command) {
    case cli::Command::ls: return list(*options);
    case cli::Command::ps: return loaded(*options);
    case cli::Command::stop: return stop(*options);
    case cli::Command::chat: return chat(*options);
    case cli::Command::man: return print(cli::man_page()), 0;
    case cli::Command::serve: break;
    case cli::Command::none: return usage("a command is needed");
  }
  // Before any thread starts, so that all hold them back and sigwait gets them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  return run(*options, ends);
}
