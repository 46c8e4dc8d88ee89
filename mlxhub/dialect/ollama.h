#pragma once
// Ollama's chat and generate, as its version 0.6.6 has them.
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxhub/dialect/answer.h"
#include "mlxhub/dialect/ask.h"

namespace mlxhub::dialect::ollama {

/// Errors: invalid (the message names the member), unsupported (a part of the API that is not built), corrupt (no JSON). A request without messages, or
/// without a prompt, only loads the model (or lets it go, with keep_alive 0): then neither `messages` nor `prompts` has anything.
mlxbase::Result<Ask> read_chat(std::string_view body);
mlxbase::Result<Ask> read_generate(std::string_view body);

std::unique_ptr<Teller> chat_teller(const Ask& ask, Heading heading);
std::unique_ptr<Teller> generate_teller(const Ask& ask, Heading heading);
/// The answer to a request that only loads, or lets go.
std::string loaded_body(const Heading& heading, bool chat, bool unloaded);

/// "2025-01-02T03:04:05.000000006Z"
std::string time_text(std::int64_t wall_ns);
/// {"error": "…"}
std::string error_body(const mlxbase::Error& error);

}  // namespace mlxhub::dialect::ollama
