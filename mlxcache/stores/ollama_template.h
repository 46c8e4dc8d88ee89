#pragma once
// A model's own chat template (Jinja, in its metadata) in the words of Ollama's: Go text/template. Servers of 2026 read the Jinja themselves and prefer it
// where it can do more (tools); older ones know only a template layer, and prompt raw without one.
// Source: ollama/ollama template/template.go, server/images.go (shouldPreferChatTemplate).
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlxcache::stores::ollama {

struct ChatTemplate {
  std::string_view family;         // "chatml", "llama3", …
  std::string go;                  // for a `template` layer: ranges over .Messages, leaves the answer's turn open
  std::vector<std::string> stops;  // for `params`: what begins or ends a turn
};

/// Recognises the families of turns by the tokens that the template writes; nothing of the template is run.
/// `end_of_text` is the model's end token, where known; families that write it are not recognised without. A template of no known family gives nothing: none is better
/// than a wrong one.
std::optional<ChatTemplate> chat_template_of(std::string_view jinja, std::string_view end_of_text);

}  // namespace mlxcache::stores::ollama
