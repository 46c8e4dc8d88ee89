#include "mlxcache/stores/ollama_template.h"

#include <algorithm>

namespace mlxcache::stores::ollama {
namespace {

/// What stands around each message. The answer's turn is opened by assistant.open after the last message.
struct Around {
  std::string open, close;
};
struct Turns {
  std::string_view family;
  Around system, user, assistant;
  std::vector<std::string> stops;
  bool system_in_user = false;  // no turn of its own: stands in the first user's message
  std::string head;             // before all
  std::string lead;             // before an answer that was given; the one to come gets none
  std::string default_system;   // said where the conversation has none
};

bool has(std::string_view text, std::string_view part) { return text.contains(part); }

/// Into Go's template language only text without its braces goes.
bool is_plain(std::string_view text) { return !text.contains("{{") && !text.contains("}}") && !text.contains('\0'); }

/// Writes {{ if }} for the three roles; `$last` keeps the answer's turn open, be it begun already or not.
std::string go_template(const Turns& t) {
  std::string out = t.head;
  if (!t.default_system.empty()) {
    out += "{{ if not .System }}" + t.system.open + t.default_system + t.system.close + "{{ end }}";
  }
  if (t.system_in_user) out += "{{ $first := true }}";
  out += "{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}";
  if (t.system_in_user) {
    out += "{{ if eq .Role \"user\" }}" + t.user.open + "{{ if $first }}{{ $first = false }}{{ if $.System }}" + t.system.open + "{{ $.System }}" + t.system.close +
           "{{ end }}{{ end }}{{ .Content }}" + t.user.close;
  } else {
    out += "{{ if eq .Role \"system\" }}" + t.system.open + "{{ .Content }}" + t.system.close;
    out += "{{ else if eq .Role \"user\" }}" + t.user.open + "{{ .Content }}" + t.user.close;
  }
  out += "{{ else if eq .Role \"assistant\" }}" + t.assistant.open + (t.lead.empty() ? "" : "{{ if not $last }}" + t.lead + "{{ end }}") + "{{ .Content }}{{ if not $last }}" + t.assistant.close + "{{ end }}{{ end }}";
  if (!t.assistant.open.empty()) out += "{{ if and $last (ne .Role \"assistant\") }}" + t.assistant.open + "{{ end }}";
  return out + "{{ end }}";
}

/// Whether it may stand in Go's template as it is and stood in the other as it reads: no escapes, quotes, joins.
bool is_literal(std::string_view text) {
  constexpr std::size_t kLongest = 2000;
  return !text.empty() && text.size() <= kLongest && text.find_first_of("'\"\\{}+") == std::string_view::npos;
}

/// "<|im_start|>system\nYou are …<|im_end|>" as a literal of the template: what it says when nobody else gives a system message.
std::string default_system_of(std::string_view jinja, std::string_view open, std::string_view close) {
  for (std::size_t at = jinja.find(open); at != std::string_view::npos; at = jinja.find(open, at + 1)) {
    std::string_view rest = jinja.substr(at + open.size());
    if (rest.starts_with("\\n")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('\n')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    const std::string_view text = rest.substr(0, rest.find(close));
    if (text.size() < rest.size() && is_literal(text)) return std::string(text);
  }
  constexpr std::string_view kSet = "set system_message = '";
  for (std::size_t at = jinja.find(kSet); at != std::string_view::npos; at = jinja.find(kSet, at + 1)) {
    const std::string_view rest = jinja.substr(at + kSet.size());
    const std::string_view text = rest.substr(0, rest.find('\''));
    if (text.size() < rest.size() && is_literal(text) && rest.substr(text.size() + 1).starts_with(" %}")) return std::string(text);
  }
  return {};
}

Turns chatml(std::string_view jinja) {
  Turns t;
  t.family = "chatml";
  t.system = {"<|im_start|>system\n", "<|im_end|>\n"};
  t.user = {"<|im_start|>user\n", "<|im_end|>\n"};
  t.assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"};
  t.stops = {"<|im_start|>", "<|im_end|>"};
  t.default_system = default_system_of(jinja, "<|im_start|>system", "<|im_end|>");
  return t;
}

Turns phi4() {
  Turns t;
  t.family = "phi4";
  t.system = {"<|im_start|>system<|im_sep|>", "<|im_end|>"};
  t.user = {"<|im_start|>user<|im_sep|>", "<|im_end|>"};
  t.assistant = {"<|im_start|>assistant<|im_sep|>", "<|im_end|>"};
  t.stops = {"<|im_start|>", "<|im_end|>", "<|im_sep|>"};
  return t;
}

Turns headers(std::string_view family, const std::string& open, const std::string& middle, const std::string& close) {
  Turns t;
  t.family = family;
  t.system = {open + "system" + middle, close};
  t.user = {open + "user" + middle, close};
  t.assistant = {open + "assistant" + middle, close};
  for (const std::string& stop : {open, middle, close}) {
    const auto end = stop.find_last_not_of('\n');
    if (end != std::string::npos) t.stops.push_back(stop.substr(0, end + 1));
  }
  return t;
}

Turns gemma() {
  Turns t;
  t.family = "gemma";
  t.system = {"", "\n\n"};
  t.user = {"<start_of_turn>user\n", "<end_of_turn>\n"};
  t.assistant = {"<start_of_turn>model\n", "<end_of_turn>\n"};
  t.stops = {"<start_of_turn>", "<end_of_turn>"};
  t.system_in_user = true;
  return t;
}

/// "<|user|>" turns, closed by a token of their own or by the end of text.
Turns bars(std::string_view family, const std::string& after_role, const std::string& close, std::vector<std::string> stops) {
  Turns t;
  t.family = family;
  t.system = {"<|system|>" + after_role, close};
  t.user = {"<|user|>" + after_role, close};
  t.assistant = {"<|assistant|>" + after_role, close};
  t.stops = std::move(stops);
  return t;
}

Turns command_r() {
  Turns t;
  t.family = "command-r";
  const std::string open = "<|START_OF_TURN_TOKEN|>";
  const std::string close = "<|END_OF_TURN_TOKEN|>";
  t.system = {open + "<|SYSTEM_TOKEN|>", close};
  t.user = {open + "<|USER_TOKEN|>", close};
  t.assistant = {open + "<|CHATBOT_TOKEN|>", close};
  t.stops = {open, close};
  return t;
}

Turns deepseek() {
  Turns t;
  t.family = "deepseek";
  t.user = {"<｜User｜>", ""};
  t.assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"};
  t.stops = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"};
  return t;
}

/// Mistral's versions differ in blanks around the marks; they are taken from the template itself.
Turns instructions(std::string_view jinja) {
  const bool blank_inside = has(jinja, "[INST] ");
  const bool blank_before_end = has(jinja, " [/INST]");
  Turns t;
  t.family = "mistral";
  t.user = {blank_inside ? "[INST] " : "[INST]", blank_before_end ? " [/INST]" : "[/INST]"};
  t.assistant = {"", has(jinja, "eos_token + ' '") || has(jinja, "eos_token+' '") ? "</s> " : "</s>"};
  t.stops = {"[INST]", "[/INST]"};
  if (has(jinja, "[SYSTEM_PROMPT]")) {
    const bool blank = has(jinja, "[SYSTEM_PROMPT] ");
    t.system = {blank ? "[SYSTEM_PROMPT] " : "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"};
    t.stops.insert(t.stops.end(), {"[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"});
    return t;
  }
  t.system_in_user = true;
  if (has(jinja, "<<SYS>>")) {
    t.family = "llama2";
    t.system = {"<<SYS>>\n", "\n<</SYS>>\n\n"};
    t.assistant = {"", " </s><s>"};
    t.lead = " ";
    t.stops.insert(t.stops.end(), {"<<SYS>>", "<</SYS>>"});
  } else {
    t.system = {"", "\n\n"};
  }
  return t;
}

Turns granite() { return headers("granite", "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"); }

Turns exaone() {
  Turns t;
  t.family = "exaone";
  t.system = {"[|system|]", "[|endofturn|]\n"};
  t.user = {"[|user|]", "\n"};
  t.assistant = {"[|assistant|]", "[|endofturn|]\n"};
  t.stops = {"[|endofturn|]", "[|user|]"};
  return t;
}

Turns openchat() {
  Turns t;
  t.family = "openchat";
  t.system = {"GPT4 Correct System: ", "<|end_of_turn|>"};
  t.user = {"GPT4 Correct User: ", "<|end_of_turn|>"};
  t.assistant = {"GPT4 Correct Assistant:", "<|end_of_turn|>"};
  t.lead = " ";
  t.stops = {"<|end_of_turn|>"};
  return t;
}

/// Headings in plain text: "### Instruction:" and "### Response:".
Turns alpaca(std::string_view jinja) {
  const bool coder = has(jinja, "<|EOT|>");
  Turns t;
  t.family = "alpaca";
  t.system = {"", coder ? "" : "\n\n"};
  t.user = {"### Instruction:\n", coder ? "\n" : "\n\n"};
  t.assistant = {"### Response:\n", coder ? "\n<|EOT|>\n" : "\n\n"};
  t.stops = {"### Instruction:", "### Response:"};
  if (coder) t.stops.emplace_back("<|EOT|>");
  return t;
}
Turns solar() {
  Turns t;
  t.family = "solar";
  t.system = {"### System:\n", "\n\n"};
  t.user = {"### User:\n", "\n\n"};
  t.assistant = {"### Assistant:\n", ""};
  t.stops = {"### System:", "### User:", "### Assistant:"};
  return t;
}

/// Some close only answers with the end of text, as can be seen right behind the user's mark.
Turns zephyr(std::string_view jinja, const std::string& end) {
  Turns t = bars("zephyr", "\n", end + "\n", {"<|system|>", "<|user|>", "<|assistant|>", end});
  if (const auto user = jinja.find("<|user|>"); user != std::string_view::npos) {
    const std::string_view turn = jinja.substr(user, jinja.find("{%", user) - user);
    if (turn.contains("content") && !turn.contains("eos_token")) t.user.close = t.system.close = "\n";
  }
  return t;
}

/// In this order: a later family's marks may stand in an earlier one's template, not the other way round.
std::optional<Turns> turns_of(std::string_view jinja, std::string_view end_of_text) {
  if (has(jinja, "<|start_header_id|>") && has(jinja, "<|eot_id|>")) return headers("llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>");
  if (has(jinja, "<|header_start|>") && has(jinja, "<|eot|>")) return headers("llama4", "<|header_start|>", "<|header_end|>\n\n", "<|eot|>");
  if (has(jinja, "<|im_sep|>")) return phi4();
  if (has(jinja, "<|im_start|>") && has(jinja, "<|im_end|>")) return chatml(jinja);
  if (has(jinja, "<start_of_turn>") && has(jinja, "<end_of_turn>")) return gemma();
  if (has(jinja, "<|START_OF_TURN_TOKEN|>")) return command_r();
  if (has(jinja, "<|start_of_role|>")) return granite();
  if (has(jinja, "<｜User｜>") && has(jinja, "<｜Assistant｜>")) return deepseek();
  if (has(jinja, "[gMASK]<sop>") && has(jinja, "<|user|>")) {
    auto t = bars("glm4", "\n", "", {"<|system|>", "<|user|>", "<|assistant|>"});
    t.head = "[gMASK]<sop>";
    return t;
  }
  if (has(jinja, "[|user|]") && has(jinja, "[|endofturn|]")) return exaone();
  if (has(jinja, "<|assistant|>") && has(jinja, "<|end|>")) {
    const bool new_line = has(jinja, "|>\\n") || has(jinja, "|>\n") || has(jinja, "'\\n'") || has(jinja, "'\n'");
    return bars("phi3", new_line ? "\n" : "", new_line ? "<|end|>\n" : "<|end|>", {"<|end|>", "<|system|>", "<|user|>", "<|assistant|>"});
  }
  if (has(jinja, "<|assistant|>") && has(jinja, "eos_token") && !end_of_text.empty() && is_plain(end_of_text)) {
    return zephyr(jinja, std::string(end_of_text));
  }
  if (has(jinja, "[INST]") && has(jinja, "[/INST]")) return instructions(jinja);
  if (has(jinja, "GPT4 Correct ")) return openchat();
  if (has(jinja, "### Instruction:") && has(jinja, "### Response:")) return alpaca(jinja);
  if (has(jinja, "### User:") && has(jinja, "### Assistant:")) return solar();
  return std::nullopt;
}

}  // namespace

std::optional<ChatTemplate> chat_template_of(std::string_view jinja, std::string_view end_of_text) {
  const auto turns = turns_of(jinja, end_of_text);
  if (!turns) return std::nullopt;
  return ChatTemplate{turns->family, go_template(*turns), turns->stops};
}

}  // namespace mlxcache::stores::ollama
