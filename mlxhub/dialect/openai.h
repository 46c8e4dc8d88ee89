#pragma once
// OpenAI's chat and text completions. What cannot be honoured is an error that says so.
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxhub/dialect/answer.h"
#include "mlxhub/dialect/ask.h"

namespace mlxhub::dialect::openai {

/// Errors: invalid (the message names the member), unsupported (a part of the API that is not built), corrupt (no JSON).
mlxbase::Result<Ask> read_chat(std::string_view body);
mlxbase::Result<Ask> read_completion(std::string_view body);

/// `ask` is copied from.
std::unique_ptr<Teller> chat_teller(const Ask& ask, Heading heading);
std::unique_ptr<Teller> completion_teller(const Ask& ask, Heading heading);

/// {"error": {"message", "type", "param", "code"}}
std::string error_body(const mlxbase::Error& error);

}  // namespace mlxhub::dialect::openai
