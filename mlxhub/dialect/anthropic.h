#pragma once
// Anthropic's messages.
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxhub/dialect/answer.h"
#include "mlxhub/dialect/ask.h"

namespace mlxhub::dialect::anthropic {

/// Errors: invalid (the message names the member), unsupported (a part of the API that is not built), corrupt (no JSON).
mlxbase::Result<Ask> read_messages(std::string_view body);
/// For counting: the same members, of which max_tokens is not one.
mlxbase::Result<Ask> read_count(std::string_view body);

std::unique_ptr<Teller> teller(const Ask& ask, Heading heading);

/// {"type": "error", "error": {"type", "message"}}
std::string error_body(const mlxbase::Error& error);

}  // namespace mlxhub::dialect::anthropic
