#pragma once
// How an answer is told in a dialect: from what a model said to the bytes of a reply. Pure: nothing here knows of connections or models.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxhub::dialect {

struct TokenTold {
  std::string text;   // U+FFFD for what is half a character
  std::string bytes;  // as they are
  float logprob = 0;
  std::vector<TokenTold> alternatives;  // likeliest first
};

struct Call {
  std::string id;         // unique; the dialect puts its own letters in front
  std::string name;
  std::string arguments;  // a JSON object
};

/// What a choice said: since the last time, or all of it.
struct Said {
  std::string text;
  std::vector<Call> calls;
  std::vector<TokenTold> tokens;  // if log probabilities were asked for
};

enum class End : std::uint8_t { none, stop, length, calls };

struct Choice {
  Said said;
  End end = End::none;
  std::optional<std::string> stop;  // the stop string that was met
};

struct Costs {
  std::size_t prompt_tokens = 0, cached_tokens = 0, answer_tokens = 0;  // of all choices together; a prompt counts once
  std::int64_t load_ns = 0, prompt_ns = 0, answer_ns = 0;
};

/// One answer. A stream is opened, then pieces of choices come, each choice ends, then it is closed; what comes back are the bytes to send,
/// which may be none.
class Teller {
 public:
  virtual ~Teller() = default;
  virtual std::string_view stream_type() const = 0;
  virtual std::string open(std::size_t choices, const Costs& so_far) = 0;
  virtual std::string piece(std::size_t choice, const Said& said) = 0;
  virtual std::string end(std::size_t choice, const Choice& ended, const Costs& costs) = 0;
  virtual std::string close(const Costs& costs) = 0;
  virtual std::string whole(const std::vector<Choice>& choices, const Costs& costs) = 0;
  /// In the middle of a stream.
  virtual std::string broken(const mlxbase::Error& error) = 0;
};

/// Of an answer: who it is for the client.
struct Heading {
  std::string id;             // unique; the dialect puts its own letters in front
  std::string model;          // as the client named it
  std::int64_t created_ns = 0;
};

/// How a dialect says that something failed: {"error": …}.
using ErrorBody = std::string (*)(const mlxbase::Error&);
/// 400, 404, 429, 500, 503: the same in all dialects.
int status_of(mlxbase::Code code);

}  // namespace mlxhub::dialect
