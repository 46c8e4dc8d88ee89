#include "mlxcache/doctor/servers.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"

namespace mlxcache::doctor {
namespace {

namespace os = mlxbase::os;
namespace path = mlxbase::path;

// Names as the kernel keeps them: 15 bytes at most.
struct Known {
  std::string_view comm;
  std::string_view program;
};
constexpr Known kServers[] = {
    {"ollama", "Ollama"},          {"llama-server", "llama.cpp server"}, {"LM Studio", "LM Studio"}, {"lm-studio", "LM Studio"},
    {"lms", "LM Studio"},          {"llmster", "LM Studio"},             {"Jan", "Jan"},             {"jan", "Jan"},
    {"gpt4all", "GPT4All"},        {"koboldcpp", "KoboldCpp"},           {"local-ai", "LocalAI"},    {"vllm", "vLLM"},
    {"com.docker.back", "Docker Desktop"}, {"model-runner", "Docker Model Runner"}, {"ramalama", "RamaLama"}, {"invokeai-web", "InvokeAI"},
    {"foundry", "Foundry Local"},
};

/// /proc says of its files that they have no bytes, so the size is not asked.
std::string read_comm(os::FileSystem& fs, const std::string& file) {
  auto opened = fs.open_read(file);
  if (!opened) return {};
  std::array<std::byte, 64> buffer{};
  const auto got = (*opened)->pread(0, buffer);
  if (!got) return {};
  std::string text(mlxbase::as_text(std::span(buffer).first(*got)));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Servers find_servers(const stores::Context& context) {
  Servers servers;
  const std::string proc = context.environment.system("/proc");
  const auto entries = context.fs.list(proc);
  if (!entries) return servers;
  for (const os::DirEntry& e : *entries) {
    if (e.name.empty() || e.name.size() > 10 || !std::all_of(e.name.begin(), e.name.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    servers.known = true;
    const std::string comm = read_comm(context.fs, path::join(proc, e.name, "comm"));
    for (const Known& k : kServers) {
      if (comm == k.comm) servers.running.push_back({std::string(k.program), std::stoll(e.name)});
    }
  }
  std::sort(servers.running.begin(), servers.running.end(), [](const Server& a, const Server& b) { return a.pid < b.pid; });
  return servers;
}

}  // namespace mlxcache::doctor
