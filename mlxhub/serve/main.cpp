// mlxhub: parses, wires real parts together, runs.
#include <fmt/format.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/http/server.h"
#include "mlxhub/serve/library.h"
#include "mlxhub/serve/service.h"

namespace {

namespace http = mlxbase::http;
namespace serve = mlxhub::serve;

constexpr int kUsage = 2, kFailed = 4;

constexpr std::string_view kHelp = R"(mlxhub serves the models of this machine, whatever tool they belong to, over the APIs of OpenAI, Anthropic and Ollama. It reads them where they lie.

Usage:
  mlxhub serve [options]   answer until SIGINT or SIGTERM, which let the requests in flight end
  mlxhub ls                models that can be named, with their store and size

Options of serve:
  --model NAME             load it at once, and keep it: a name that ls shows, or a path (./, /) to a GGUF file or a folder; may be repeated
  --address ADDRESS        where to listen (127.0.0.1 unless told otherwise)
  --port PORT              8080 unless told otherwise; 0: one that is free
  --threads N              for the arithmetic; one a core unless told otherwise
  --memory SIZE            most for all models together, as 8GB; what the machine has left unless told otherwise
  --keep AGE               how long a model stays that nobody asks, as 30m; 0s: not at all; ever: for ever
  --api-key KEY            needed from clients, as Authorization: Bearer KEY; may be repeated; MLXHUB_API_KEY does the same
  --allow-host NAME        a Host besides those of loopback; *: any
  --allow-origin ORIGIN    pages that may ask besides those of this machine; *: any
  --version, --help

Examples:
  mlxhub serve --model ./SmolLM2-135M-Instruct.Q4_1.gguf
  mlxhub serve --port 1234 --api-key secret
  mlxhub ls

Exit codes:
  0  done
  2  the command line makes no sense
  4  it failed
)";

int fail(int status, const mlxbase::Error& error) {
  std::fputs(("mlxhub: " + mlxbase::printable(error.message) + "\n").c_str(), stderr);
  return status;
}
int usage(const std::string& why) { return fail(kUsage, {mlxbase::Code::invalid, why + "; mlxhub --help explains"}); }

int list() {
  const auto environment = mlxbase::os::real_environment();
  const auto found = serve::find_models(mlxbase::os::real_file_system(), environment);
  if (!found) return fail(kFailed, found.error());
  for (const auto& model : *found) {
    std::fputs(fmt::format("{:<60} {:<14} {:<12} {:>10}\n", mlxbase::printable(model.id), model.store, model.format, mlxbase::format_bytes(model.bytes)).c_str(), stdout);
  }
  if (found->empty()) std::fputs("No models were found.\n", stdout);
  return 0;
}

struct Words {
  http::Options server;
  serve::LibraryOptions library;
  std::vector<std::string> models;
};

int run(Words words, const sigset_t& ends) {
  static const mlxbase::os::Environment environment = mlxbase::os::real_environment();
  if (const auto key = environment.get_nonempty("MLXHUB_API_KEY")) words.server.keys.push_back(*key);
  const bool loopback = words.server.address.starts_with("127.") || words.server.address == "::1";
  if (!loopback && words.server.keys.empty()) return usage("an address that others reach needs --api-key");
  serve::Library library(mlxbase::os::real_file_system(), environment, words.library);
  for (const std::string& name : words.models) {
    const auto loaded = library.get(name, true);
    if (!loaded) return fail(kFailed, {loaded.error().code, fmt::format("{}: {}", name, loaded.error().message)});
    std::fputs(fmt::format("mlxhub: {} is loaded\n", mlxbase::printable((*loaded)->id)).c_str(), stderr);
  }
  auto server = http::Server::start(words.server, serve::make_service(library));
  if (!server) return fail(kFailed, server.error());
  std::fputs(fmt::format("mlxhub: listening on http://{}:{}\n", words.server.address, (*server)->port()).c_str(), stderr);
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
  // Before any thread starts, so that all hold them back and sigwait gets them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const std::vector<std::string> given(argv + 1, argv + argc);
  Words words;
  words.server.port = 8080;
  std::string command;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const std::string& word = given[i];
    if (word == "--help" || word == "-h" || word == "help") return std::fputs(std::string(kHelp).c_str(), stdout), 0;
    if (word == "--version") return std::fputs("mlxhub 0.1.0\n", stdout), 0;
    if (!word.starts_with('-')) {
      if (!command.empty()) return usage(fmt::format("'{}' is one word too many", word));
      command = word;
      continue;
    }
    if (i + 1 >= given.size()) return usage(fmt::format("{} is not known, or needs a value", word));
    const std::string& value = given[++i];
    const auto number = [&](unsigned long most) -> long { return value.empty() || value.size() > 6 || value.find_first_not_of("0123456789") != std::string::npos || std::strtoul(value.c_str(), nullptr, 10) > most ? -1 : std::strtol(value.c_str(), nullptr, 10); };
    if (word == "--model") {
      words.models.push_back(value);
    } else if (word == "--address") {
      words.server.address = value;
    } else if (word == "--port") {
      if (number(65535) < 0) return usage("--port: a number up to 65535 is needed");
      words.server.port = static_cast<std::uint16_t>(number(65535));
    } else if (word == "--threads") {
      if (number(1024) < 1) return usage("--threads: a number from 1 to 1024 is needed");
      words.library.threads = static_cast<unsigned>(number(1024));
    } else if (word == "--memory") {
      words.library.memory_bytes = mlxbase::parse_bytes(value);
      if (!words.library.memory_bytes) return usage("--memory: a size like 8GB is needed");
    } else if (word == "--keep") {
      const auto age = value == "ever" ? std::chrono::seconds(-1) : mlxbase::parse_age(value).value_or(std::chrono::seconds(-2));
      if (age.count() == -2) return usage("--keep: an age like 30m, or ever, is needed");
      words.library.keep_seconds = age.count();
    } else if (word == "--api-key") {
      words.server.keys.push_back(value);
    } else if (word == "--allow-host") {
      words.server.hosts.push_back(value);
    } else if (word == "--allow-origin") {
      words.server.origins.push_back(value);
    } else {
      return usage(fmt::format("unknown option '{}'", word));
    }
  }
  if (command == "serve") return run(std::move(words), ends);
  if (command == "ls") return list();
  return usage(command.empty() ? "a command is needed" : fmt::format("unknown command '{}'", command));
}
