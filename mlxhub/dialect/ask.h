#pragma once
// The one internal request that every dialect is read into.
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/format/json.h"

namespace mlxhub::dialect {

enum class ToolChoice : std::uint8_t { may, none, must };

struct Ask {
  std::string model;
  mlxbase::json::Value messages;     // of a chat: an array in the form that templates take; contents are texts, arguments of calls are objects
  std::vector<std::string> prompts;  // of a text completion
  mlxbase::json::Value tools;        // OpenAI's list: {"type": "function", "function": {"name", "description", "parameters"}}; null: none
  ToolChoice tool_choice = ToolChoice::may;
  bool several_calls = true;
  std::optional<mlxbase::json::Value> form;  // a JSON Schema that the answer fits; true: any object
  bool stream = false, usage_in_stream = false, echo = false;
  std::uint32_t n = 1;
  std::size_t most_tokens = 0;  // 0: not said
  std::vector<std::string> stops;
  std::optional<std::uint64_t> seed;
  float temperature = 1, top_p = 1, min_p = 0, presence_penalty = 0, frequency_penalty = 0, repetition_penalty = 1;
  std::uint32_t repetition_last = 0;  // how many of the last tokens the repetition penalty sees; 0: all
  std::uint32_t top_k = 0;
  std::vector<std::pair<std::uint32_t, float>> bias;
  std::optional<std::uint32_t> logprobs;
  std::optional<std::int64_t> keep_seconds;  // how long the model stays loaded after this; negative: for ever; 0: it goes
};

}  // namespace mlxhub::dialect
