// Whatever a template is, compiling and rendering it ends, within its limits, and twice the same way.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxstudio/template/template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace jinja = mlxstudio::jinja;
  static const auto variables = mlxbase::json::parse(
      R"({"messages": [{"role": "user", "content": "hé"}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]}],
          "tools": null, "add_generation_prompt": true, "x": [1, [2, {"k": "v"}], "s"]})");
  const jinja::Limits limits{.nesting = 60, .depth = 200, .work = 50'000, .text_bytes = 1U << 20U};
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto compiled = jinja::Template::compile(source, limits);
  if (!compiled) return 0;
  const jinja::Context context{.variables = *variables};
  const auto first = compiled->render(context);
  const auto second = compiled->render(context);
  if (first.has_value() != second.has_value()) std::abort();
  if (first ? *first != *second || first->size() > limits.text_bytes : first.error().message != second.error().message) std::abort();
  return 0;
}
