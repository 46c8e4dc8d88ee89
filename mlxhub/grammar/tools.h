#pragma once
// Answers that call tools, as a grammar: what a family of models writes around a call, and arguments that fit the tool's schema.
#include <memory>
#include <optional>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"
#include "mlxhub/grammar/grammar.h"
#include "mlxhub/text/tool_calls.h"

namespace mlxhub::grammar {

struct ToolAnswer {
  bool must_call = false;  // else there may be text instead, or before
  bool several = true;     // calls in one answer
  std::optional<mlxbase::json::Value> form;  // of an answer without calls; nothing: any text
};

/// `tools`: OpenAI's list, at least one. A tool whose schema cannot be promised takes any object, unless it says "strict". Errors: as Builder::schema.
mlxbase::Result<std::shared_ptr<const Grammar>> tool_answer(const text::ToolSyntax& syntax, const mlxbase::json::Value& tools, const ToolAnswer& answer);

}  // namespace mlxhub::grammar
