#include "mlxcache/cli/completions.h"

#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/session.h"

namespace mlxcache::cli {
namespace {

mlxbase::Result<Exit> run(Session& session, const Arguments& arguments) {
  const std::string shell = *arguments.one("SHELL");
  const std::string script = completion_script(shell);
  mlxbase::json::Value document;
  document.set("shell", shell);
  document.set("script", script);
  session.emit("mlxcache.completions/1", std::move(document));
  session.print(script);
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"SHELL", Kind::shell, true, false, "bash, zsh or fish"}};
constexpr Example kExamples[] = {
    {"mlxcache completions bash > ~/.local/share/bash-completion/completions/mlxcache", "for bash"},
    {"mlxcache completions zsh > ~/.zfunc/_mlxcache", "for zsh, with ~/.zfunc in fpath before compinit"},
    {"mlxcache completions fish > ~/.config/fish/completions/mlxcache.fish", "for fish"},
};

}  // namespace

const Command kCompletions{
    "completions",
    "print completions for bash, zsh or fish",
    Group::more,
    false,
    "Prints a script that teaches the shell the commands, options, store names, models and transactions of mlxcache.",
    kOperands,
    {},
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
