#include "mlxcache/vault/thaw.h"

#include <fmt/format.h>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/vault_text.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  const auto& names = arguments.all("MODEL");
  const auto to = arguments.one("--to");
  if (to && names.size() > 1) return fail(Code::invalid, "with --to, thaw one model at a time");
  auto vault = TRY(vault::Vault::open(session.fs(), vault_folder(session, arguments), vault::Access::read));
  warn_of_damage(session, vault->damaged());
  json::Value models{json::Array{}};
  for (const std::string& name : names) {
    const vault::ModelFile file = TRY(find_frozen(session, *vault, name));
    const vault::Target target = vault::target_of(file.model, to ? named_folder(session, *to) : std::string());
    session.progress().stage(fmt::format("thaw {}", printable(file.model.name)), file.model.bytes, true);
    const auto machinery = change_machinery(session);
    const vault::Thawed thawed = TRY(vault::thaw(*vault, file.model, target, machinery, vault::usual_workers()));
    session.progress_done();
    json::Value notes{json::Array{}};
    for (const change::Skipped& s : thawed.notes) {
      notes.push(problem_json(s.path, s.reason));
      session.warn(fmt::format("{}: {}", session.show_path(s.path), printable(s.reason)));
    }
    json::Value item{json::Object{}};
    item.set("name", mlxbase::to_utf8(file.model.name));
    item.set("frozen", file.id);
    item.set("store", file.model.store.empty() ? json::Value(nullptr) : json::Value(file.model.store));
    set_path(item, "root", target.root);
    item.set("files", thawed.files);
    item.set("bytes", thawed.bytes);
    item.set("there", thawed.there.size());
    item.set("notes", std::move(notes));
    item.set("transaction", thawed.done.transaction.empty() ? json::Value(nullptr) : json::Value(thawed.done.transaction));
    models.push(std::move(item));
    session.say_wrapped(fmt::format("{} {}: {} of {} at {}{}.", session.style().green("Thawed"), printable(file.model.name), count(thawed.files, "file"), format_bytes(thawed.bytes),
                                    session.show_path(target.root), thawed.there.empty() ? std::string() : fmt::format("; {} were there already", count(thawed.there.size(), "name"))));
  }
  json::Value document{json::Object{}};
  document.set("models", std::move(models));
  session.emit("mlxcache.thaw/1", std::move(document));
  session.note("The vault keeps its copy; 'mlxcache vault rm' and 'mlxcache vault gc' let it go.");
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"MODEL", Kind::text, true, true, "frozen models as 'mlxcache vault ls' prints them, also 'store/name', a folder's path, or an id"}};
constexpr Option kOptions[] = {
    {"--to", "DIR", Kind::text, false, "into this folder instead of the place they had; it is made if it is missing"},
    kVaultOption,
};
constexpr Example kExamples[] = {
    {"mlxcache thaw Qwen/Qwen3-0.6B", "the exact files again, where they were"},
    {"mlxcache thaw Qwen/Qwen3-0.6B --to ./model", "into a folder"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "all files are there; their SHA-256 was compared before they got their names"},
    {Exit::failed, "the vault has no such model, it is damaged, or another file has one of the names: nothing was made then"},
};

}  // namespace

const Command kThaw{
    "thaw",
    "bring frozen models back, byte for byte",
    Group::cold,
    true,
    "Makes the exact files again: bytes, names, symlinks, hard links, modes, times, extended attributes, holes. Every file is made beside its place, its SHA-256 "
    "compared, and then all names appear together, through the journal ('mlxcache undo' takes them away again). A name that holds the same bytes already is left "
    "as it is; one that holds others ends the command before anything is made.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
