#include "mlxhub/grammar/tools.h"

#include <fmt/format.h>

#include <vector>

namespace mlxhub::grammar {

using mlxbase::Result;
using mlxbase::json::Value;

Result<std::shared_ptr<const Grammar>> tool_answer(const text::ToolSyntax& syntax, const Value& tools, const ToolAnswer& answer) {
  Builder b;
  std::vector<NodeId> ways;
  for (const Value& tool : tools.array()) {
    const Value& function = tool["function"];
    const Value& parameters = function["parameters"];
    const NodeId close = b.space(b.literal("}", b.end()));
    NodeId arguments = b.json_object(close);
    if (!parameters.is_null()) {
      auto enforced = b.schema(parameters, close);
      if (enforced) {
        arguments = *enforced;
      } else if (function["strict"].boolean() || !b.fits()) {
        return std::unexpected(enforced.error());
      }
    }
    const NodeId second = b.space(b.literal(fmt::format("\"{}\":", syntax.arguments), b.space(arguments)));
    ways.push_back(b.literal("{", b.space(b.literal("\"name\":", b.space(b.literal(mlxbase::json::dump(function["name"]), b.literal(",", second)))))));
  }
  const RuleId call = b.rule(b.choice(ways));
  // What stands behind the first marker, up to the end of the answer.
  NodeId body = b.end();
  if (syntax.list) {
    const NodeId close = b.space(b.literal("]", b.end()));
    const NodeId more = answer.several ? b.any_number([&](NodeId n) { return b.literal(",", b.space(b.call(call, n))); }, close) : close;
    body = b.space(b.literal("[", b.space(b.call(call, more))));
  } else {
    const auto marked = [&](NodeId next) { return b.space(b.call(call, b.space(b.literal(syntax.end, next)))); };
    const bool several = answer.several && !syntax.begin.empty();
    body = several ? marked(b.any_number([&](NodeId n) { return b.space(b.literal(syntax.begin, marked(n))); }, b.end())) : marked(b.end());
  }
  const NodeId calls = b.literal(syntax.begin, body);
  NodeId start = calls;
  if (answer.form) {
    const NodeId formed = *answer.form == Value(true) ? b.json_object(b.end()) : TRY(b.schema(*answer.form, b.end()));
    start = answer.must_call ? calls : b.choice({calls, formed});
  } else if (!answer.must_call) {
    start = b.text_until(syntax.begin, body, b.end());
  }
  if (!b.fits()) return mlxbase::fail(mlxbase::Code::unsupported, "the schemas of the tools are too large");
  return std::move(b).build(start);
}

}  // namespace mlxhub::grammar
