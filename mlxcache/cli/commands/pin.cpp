#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Result;

Result<Exit> list(Session& session, std::string_view schema) {
  const auto all = TRY(keep::pins(session.fs(), session.home()));
  json::Value names{json::Array{}};
  for (const std::string& p : all) names.push(mlxbase::to_utf8(p));
  json::Value document{json::Object{}};
  document.set("pins", std::move(names));
  session.emit(schema, std::move(document));
  for (const std::string& p : all) session.say(mlxbase::printable(p));
  if (all.empty()) session.say("Nothing is pinned.");
  return Exit::ok;
}

Result<Exit> run_pin(Session& session, const Arguments& arguments) {
  const auto& models = arguments.all("MODEL");
  if (!models.empty()) {
    scan::Options options;
    options.find_duplicates = false;
    const catalog::Inventory inventory = TRY(session.scan(options));
    // A pin of something that nobody has would protect nothing, and say nothing.
    for (const std::string& model : models) TRY(keep::models_named(inventory, model));
    for (const std::string& model : models) TRY(keep::pin(session.fs(), session.home(), model));
  }
  return list(session, "mlxcache.pin/1");
}

Result<Exit> run_unpin(Session& session, const Arguments& arguments) {
  for (const std::string& model : arguments.all("MODEL")) TRY(keep::unpin(session.fs(), session.home(), model));
  return list(session, "mlxcache.unpin/1");
}

constexpr Operand kPinOperands[] = {{"MODEL", Kind::model, false, true, "models as 'mlxcache ls' prints them, also 'store/name'; none: list the pins"}};
constexpr Operand kUnpinOperands[] = {{"MODEL", Kind::model, true, true, "pins as 'mlxcache pin' lists them"}};
constexpr Example kPinExamples[] = {
    {"mlxcache pin llama3.2:3b", "rm and prune leave it alone, in every store"},
    {"mlxcache pin hf-hub/Qwen/Qwen3-0.6B", "in the hub cache only"},
    {"mlxcache pin", "what is pinned"},
};
constexpr Example kUnpinExamples[] = {{"mlxcache unpin llama3.2:3b", "it may go again"}};
constexpr ExitNote kPinExits[] = {{Exit::failed, "no store has such a model, or the list of pins cannot be read"}};
constexpr ExitNote kUnpinExits[] = {{Exit::failed, "it is not pinned, or the list of pins cannot be read"}};

}  // namespace

const Command kPin{
    "pin",
    "keep models from rm and prune; list the pins",
    Group::remove,
    false,
    "A pinned model is refused by 'rm' and left out by 'prune' until it is unpinned. Nothing is written into the stores.",
    kPinOperands,
    {},
    kPinExamples,
    kPinExits,
    &run_pin,
};

const Command kUnpin{
    "unpin",
    "let pinned models go again",
    Group::remove,
    false,
    "Takes models off the list that 'mlxcache pin' keeps.",
    kUnpinOperands,
    {},
    kUnpinExamples,
    kUnpinExits,
    &run_unpin,
};

}  // namespace mlxcache::cli
