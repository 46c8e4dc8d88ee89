#pragma once
// Calls of tools in what a model says: each family of models writes them in its own way, which its chat template shows.
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxhub/text/stop.h"

namespace mlxhub::text {

/// How a call is written: `begin`, an object with "name" and `arguments` (or a list of those), `end`.
struct ToolSyntax {
  std::string_view begin;      // empty: an answer that is such an object, and nothing else, is a call
  std::string_view end;        // empty: the answer ends with it
  std::string_view arguments;  // "arguments", "parameters"
  bool list = false;           // a list of calls follows
  bool elements = false;       // models write <function=NAME><parameter=NAME>value</parameter></function> instead of an object
};
/// The one that this template speaks of; that of Hermes (<tool_call>) if it speaks of none that is known.
ToolSyntax tool_syntax_of(std::string_view chat_template);

/// All markers that some tokenisers have as special tokens.
std::vector<std::string_view> tool_markers();

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

/// Takes calls out of a stream of text. What begins like a call and is none comes out as the text that it is.
class ToolCalls {
 public:
  /// `tools`: OpenAI's list; only their names are calls.
  ToolCalls(const ToolSyntax& syntax, const mlxbase::json::Value& tools);
  struct Step {
    std::string text;
    std::vector<ToolCall> calls;
  };
  Step push(std::string_view text);
  Step finish();

 private:
  bool read(std::string_view written, std::vector<ToolCall>& calls) const;
  bool one(const mlxbase::json::Value& call, std::vector<ToolCall>& calls) const;
  bool elements(std::string_view written, std::vector<ToolCall>& calls) const;
  const mlxbase::json::Value* tool(std::string_view name) const;

  ToolSyntax syntax_;
  mlxbase::json::Value tools_;
  StopMatcher marker_;
  std::string held_;     // a call that is not whole
  bool inside_ = false;  // behind a marker
  bool plain_ = false;   // without markers: the answer has begun, and it is text
  bool called_ = false;
};

}  // namespace mlxhub::text
