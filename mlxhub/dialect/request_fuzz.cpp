// Any bytes as a request in every dialect: it is refused with a reason, or what was read is read the same when it is written again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mlxbase/format/json.h"
#include "mlxhub/dialect/anthropic.h"
#include "mlxhub/dialect/ollama.h"
#include "mlxhub/dialect/openai.h"

namespace {

using mlxbase::json::Value;

void check(const mlxbase::Result<mlxhub::dialect::Ask>& ask) {
  using namespace mlxhub::dialect;
  if (!ask) {
    if (ask.error().message.empty() || status_of(ask.error().code) != 400) std::abort();
    if (!mlxbase::json::parse(openai::error_body(ask.error())) || !mlxbase::json::parse(anthropic::error_body(ask.error())) || !mlxbase::json::parse(ollama::error_body(ask.error()))) std::abort();
    return;
  }
  if (ask->messages.is_null()) return;
  Value again{mlxbase::json::Object{}};
  again.set("model", ask->model).set("messages", ask->messages);
  const auto read = openai::read_chat(mlxbase::json::dump(again));
  if (!read || read->messages != ask->messages) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxhub::dialect;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  check(openai::read_chat(body));
  check(openai::read_completion(body));
  check(anthropic::read_messages(body));
  check(anthropic::read_count(body));
  check(ollama::read_chat(body));
  check(ollama::read_generate(body));
  return 0;
}
