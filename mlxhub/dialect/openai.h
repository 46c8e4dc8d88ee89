#pragma once
// OpenAI's chat and text completions to one internal request. What cannot be honoured is an error that says so.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::dialect {

struct Ask {
  std::string model;
  mlxbase::json::Value messages;     // of a chat: an array whose contents are texts
  std::vector<std::string> prompts;  // of a text completion
  bool stream = false, usage_in_stream = false, echo = false;
  std::uint32_t n = 1;
  std::size_t most_tokens = 0;  // 0: not said
  std::vector<std::string> stops;
  std::optional<std::uint64_t> seed;
  float temperature = 1, top_p = 1, min_p = 0, presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1;
  std::uint32_t top_k = 0;
  std::vector<std::pair<std::uint32_t, float>> bias;
  std::optional<std::uint32_t> logprobs;
};

/// Errors: invalid (the message names the member), unsupported (a part of the API that is not built), corrupt (no JSON).
mlxbase::Result<Ask> read_chat(std::string_view body);
mlxbase::Result<Ask> read_completion(std::string_view body);

/// {"error": {"message", "type", "param", "code"}}
std::string error_body(const mlxbase::Error& error);
/// 400, 404, 429, 500, 503
int status_of(mlxbase::Code code);

}  // namespace mlxhub::dialect
