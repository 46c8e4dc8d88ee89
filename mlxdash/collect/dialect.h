#pragma once
// What one kind of server is known by, what may be asked of it without causing work, and what its answers mean. A row of kinds() (engine_kinds.cpp) and
// one file for each. Facts and their versions: docs/design/monitoring.md.
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxdash/collect/fetcher.h"
#include "mlxdash/collect/source.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash::collect {

/// Path -> what came back when the server was asked who it is.
using Proofs = std::map<std::string, Reply, std::less<>>;

struct Question {
  std::string path;
  std::uint32_t every_ms = 1000;
  std::uint32_t deadline_ms = 0;  // 0: the usual one
};

/// One server of a kind: keeps the counters between its answers.
class Dialect {
 public:
  virtual ~Dialect() = default;
  /// What it wants to know now; each is asked when its own time has come.
  virtual std::vector<Question> questions() const = 0;
  /// Puts an answer (also one that failed) into `engine`. Nothing of a prompt is kept.
  virtual void read(std::string_view path, const Reply& reply, const Moment& now, Engine& engine) = 0;
};

struct EngineKind {
  std::string_view name;                          // "llama-server"
  std::uint16_t port;                             // where it listens by default; 0: nowhere in particular
  std::vector<std::string_view> programs;         // parts of a command line that suggest it
  std::vector<std::string_view> asks;             // paths that prove it, all read-only
  /// Version (may be empty) if the answers prove this kind.
  std::optional<std::string> (*proves)(const Proofs&);
  std::unique_ptr<Dialect> (*make)();
};
/// In the order in which they are tried.
std::span<const EngineKind> kinds();

/// The answer as JSON, or null where it is none.
mlxbase::json::Value json_of(const Reply& reply);
const Reply* find(const Proofs& proofs, std::string_view path);
/// Why a whole server that gave no (usable) answer is not up.
std::string why_of(const Reply& reply);
/// "up", or what the status code says: "locked" (401, 403), "loading" (503), else "down".
void set_state(const Reply& reply, Engine& engine);
/// Everything that a server may tell: not_supported, until a dialect says better.
void nothing_known(Engine& engine);
/// A member that is a number, else what is missing.
Reading<double> number_of(const mlxbase::json::Value& value);
Reading<std::uint64_t> count_of(const mlxbase::json::Value& value);

namespace mlxhub {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace mlxhub
namespace ollama {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace ollama
namespace lm_studio {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace lm_studio
namespace llama_server {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace llama_server
namespace sglang {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace sglang
namespace vllm {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace vllm
namespace mlx_lm {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace mlx_lm
namespace openai {
std::optional<std::string> proves(const Proofs& proofs);
std::unique_ptr<Dialect> make();
}  // namespace openai

}  // namespace mlxdash::collect
