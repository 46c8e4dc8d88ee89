#include "mlxcache/cli/completions.h"

#include <fmt/format.h>

#include "mlxcache/cli/command.h"

namespace mlxcache::cli {
namespace {

std::string words_of(Kind kind) { return fmt::format("{}", fmt::join(choices_of(kind), " ")); }

std::string command_names(std::string_view separator) { return fmt::format("{}", fmt::join(choices_of(Kind::command), separator)); }

// Names of models and transactions come from other people. They are compared as text and quoted before they reach the command
// line: `compgen -W` would run a command substitution hidden in a model's name.

std::string bash_values(Kind kind) {
  switch (kind) {
    case Kind::folder: return "_mlxcache_dirs";
    case Kind::model: return "_mlxcache_from ls --ids";
    case Kind::transaction: return "_mlxcache_from history --ids";
    case Kind::store:
    case Kind::method:
    case Kind::shell:
    case Kind::command: return fmt::format("_mlxcache_words {}", words_of(kind));
    case Kind::bytes: return "_mlxcache_words 1M 10M 100M 1G";
    case Kind::age: return "_mlxcache_words 1d 7d 30d 60d";
    case Kind::text: break;
  }
  return "COMPREPLY=()";
}

std::string bash() {
  std::string out = R"(# Completions of mlxcache for bash (3.2 or later). Made by: mlxcache completions bash
# shellcheck shell=bash

_mlxcache_words() {
    local word
    COMPREPLY=()
    for word in "$@"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

# Lines that mlxcache prints. They are foreign text: compared as text, quoted before they are offered.
_mlxcache_from() {
    local line quoted
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$cur"* ]] || continue
        printf -v quoted '%q' "$line"
        COMPREPLY+=("$quoted")
    done < <(command mlxcache "$@" --quiet 2>/dev/null)
    if declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$cur"
    fi
}

_mlxcache_dirs() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(compgen -d -- "$cur")
    compopt -o filenames 2>/dev/null
}

_mlxcache() {
    local cur prev command options i
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    # A name with a colon is three words to readline; taken together again where bash-completion is there to do it.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n : cur prev
    fi
    command=
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
)";
  out += fmt::format("            {}) \n                command=${{COMP_WORDS[i]}}\n                break\n                ;;\n", command_names(" | "));
  out += "        esac\n    done\n\n    case $command:$prev in\n";
  for (const Command& c : commands()) {
    for (const Option& o : c.options) {
      if (!o.value.empty()) out += fmt::format("        {}:{})\n            {}\n            return\n            ;;\n", c.name, o.name, bash_values(o.kind));
    }
  }
  out += "    esac\n\n    options=\"";
  for (const Option& o : global_options()) out += fmt::format("{}{}", &o == global_options().data() ? "" : " ", o.name);
  out += "\"\n    case $command in\n";
  for (const Command& c : commands()) {
    if (c.options.empty()) continue;
    out += fmt::format("        {}) options+=\"", c.name);
    for (const Option& o : c.options) out += fmt::format(" {}", o.name);
    out += "\" ;;\n";
  }
  out += R"(    esac
    if [[ $cur == -* ]]; then
        # shellcheck disable=SC2086 # a list of words
        _mlxcache_words $options
        return
    fi

    case $command in
)";
  out += fmt::format("        '') _mlxcache_words {} ;;\n", command_names(" "));
  for (const Command& c : commands()) {
    if (!c.operands.empty()) out += fmt::format("        {}) {} ;;\n", c.name, bash_values(c.operands.front().kind));
  }
  out += "        *) COMPREPLY=() ;;\n    esac\n}\n\ncomplete -F _mlxcache mlxcache\n";
  return out;
}

/// Inside single quotes of zsh and fish; brackets and colons of an _arguments spec are escaped by the caller.
std::string single_quoted(std::string_view text, std::string_view quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += quote;
    } else {
      out += c;
    }
  }
  return out;
}

std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : single_quoted(text, "'\\''")) {
    if (c == '[' || c == ']' || c == ':') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_values(Kind kind) {
  switch (kind) {
    case Kind::folder: return "_files -/";
    case Kind::model: return "_mlxcache_models";
    case Kind::transaction: return "_mlxcache_transactions";
    case Kind::store:
    case Kind::method:
    case Kind::shell:
    case Kind::command: return fmt::format("({})", words_of(kind));
    case Kind::bytes: return "(1M 10M 100M 1G)";
    case Kind::age: return "(1d 7d 30d 60d)";
    case Kind::text: break;
  }
  return " ";
}

std::string zsh_option(const Option& o) {
  std::string spec = fmt::format("'{}{}[{}]", o.repeated ? "*" : "", o.name, zsh_text(o.help));
  if (!o.value.empty()) spec += fmt::format(":{}:{}", zsh_text(o.value), zsh_values(o.kind));
  return spec + "'";
}

std::string zsh() {
  std::string out = R"zsh(#compdef mlxcache
# Completions of mlxcache for zsh. Made by: mlxcache completions zsh

_mlxcache_models() {
    local -a names
    names=(${(f)"$(command mlxcache ls --ids --quiet 2>/dev/null)"})
    compadd -a names
}

_mlxcache_transactions() {
    local -a names
    names=(${(f)"$(command mlxcache history --ids --quiet 2>/dev/null)"})
    compadd -V transactions -a names
}

_mlxcache_commands() {
    local -a commands
    commands=(
)zsh";
  for (const Command& c : commands()) out += fmt::format("        '{}:{}'\n", c.name, zsh_text(c.summary));
  out += R"zsh(    )
    _describe -t commands 'mlxcache command' commands
}

_mlxcache() {
    local context state state_descr line
    typeset -A opt_args
    local -a everywhere
    everywhere=(
)zsh";
  for (const Option& o : global_options()) out += fmt::format("        {}\n", zsh_option(o));
  out += R"zsh(    )
    _arguments -C "${everywhere[@]}" '1:command:_mlxcache_commands' '*::argument:->rest' && return
    [[ $state == rest ]] || return
    case $line[1] in
)zsh";
  for (const Command& c : commands()) {
    out += fmt::format("        {})\n            _arguments \"${{everywhere[@]}}\"", c.name);
    for (const Option& o : c.options) out += fmt::format(" \\\n                {}", zsh_option(o));
    for (const Operand& o : c.operands) {
      out += fmt::format(" \\\n                '{}:{}:{}'", o.repeated ? "*" : o.required ? "1" : "1:", zsh_text(o.name), zsh_values(o.kind));
    }
    out += "\n            ;;\n";
  }
  out += R"zsh(    esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _mlxcache "$@"
else
    compdef _mlxcache mlxcache
fi
)zsh";
  return out;
}

std::string fish_values(Kind kind) {
  switch (kind) {
    case Kind::folder: return "-a '(__fish_complete_directories)'";
    case Kind::model: return "-a '(command mlxcache ls --ids --quiet 2>/dev/null)'";
    case Kind::transaction: return "-k -a '(command mlxcache history --ids --quiet 2>/dev/null)'";
    case Kind::store:
    case Kind::method:
    case Kind::shell:
    case Kind::command: return fmt::format("-a '{}'", words_of(kind));
    case Kind::bytes: return "-a '1M 10M 100M 1G'";
    case Kind::age: return "-a '1d 7d 30d 60d'";
    case Kind::text: break;
  }
  return {};
}

std::string fish() {
  const auto text = [](std::string_view t) { return single_quoted(t, "\\'"); };
  std::string out = "# Completions of mlxcache for fish. Made by: mlxcache completions fish\n\ncomplete -c mlxcache -f\n";
  const std::string none = fmt::format("not __fish_seen_subcommand_from {}", command_names(" "));
  for (const Command& c : commands()) out += fmt::format("complete -c mlxcache -n '{}' -a {} -d '{}'\n", none, c.name, text(c.summary));
  for (const Option& o : global_options()) out += fmt::format("complete -c mlxcache -l {} -d '{}'\n", o.name.substr(2), text(o.help));
  for (const Command& c : commands()) {
    const std::string here = fmt::format("__fish_seen_subcommand_from {}", c.name);
    for (const Option& o : c.options) {
      out += fmt::format("complete -c mlxcache -n '{}' -l {}{} -d '{}'\n", here, o.name.substr(2),
                         o.value.empty() ? "" : fmt::format(" -x {}", fish_values(o.kind)), text(o.help));
    }
    for (const Operand& o : c.operands) {
      const std::string values = fish_values(o.kind);
      if (!values.empty()) out += fmt::format("complete -c mlxcache -n '{}' {}\n", here, values);
    }
  }
  return out;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return bash();
  if (shell == "zsh") return zsh();
  if (shell == "fish") return fish();
  return {};
}

}  // namespace mlxcache::cli
