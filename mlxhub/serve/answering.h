#pragma once
// One request with all its choices, from its prompts to the end of the last choice, told by whichever dialect it came in.
#include <cstdint>
#include <memory>
#include <vector>

#include "mlxbase/http/server.h"
#include "mlxhub/dialect/answer.h"
#include "mlxhub/dialect/ask.h"
#include "mlxhub/serve/library.h"

namespace mlxhub::serve {

struct Dialect {
  std::unique_ptr<dialect::Teller> (*teller)(const dialect::Ask&, dialect::Heading);
  dialect::ErrorBody error_body;
};

/// The prompt of a chat, by the model's template. Errors: unsupported (it has none that can be used), invalid (the template refuses).
mlxbase::Result<std::string> chat_text(const Loaded& loaded, const dialect::Ask& ask);

/// Answers; returns at once. `load_ns`: how long the client waited for the model.
void answer(std::shared_ptr<Loaded> loaded, dialect::Ask ask, const Dialect& dialect, const std::vector<std::vector<schedule::Token>>& prompts, std::int64_t load_ns, std::shared_ptr<mlxbase::http::Reply> reply);

/// Unique in this run, and hardly ever in another.
dialect::Heading heading_for(const dialect::Ask& ask);

}  // namespace mlxhub::serve
