#include "mlxcache/vault/vault.h"

#include <fmt/format.h>

#include <array>
#include <set>
#include <unordered_set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"
#include "mlxcache/cli/vault_text.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
using vault::Access;
using vault::Vault;

constexpr std::string_view kSchema = "mlxcache.vault/1";

json::Value begin(std::string_view action, const std::string& folder) {
  json::Value document{json::Object{}};
  document.set("action", action);
  set_path(document, "vault", folder);
  return document;
}

json::Value damage_json(const std::vector<vault::Damaged>& damaged) {
  json::Value list{json::Array{}};
  for (const auto& d : damaged) list.push(problem_json(d.path, d.what));
  return list;
}

Result<Exit> list(Session& session, const std::string& folder) {
  auto v = TRY(Vault::open(session.fs(), folder, Access::read));
  std::vector<vault::Damaged> damaged = v->damaged();
  json::Value models{json::Array{}};
  Table table({{"MODEL", Align::left, true}, {"STORE", Align::left, false}, {"SIZE", Align::right, false}, {"STORED", Align::right, false}, {"FROZEN", Align::left, false}});
  std::uint64_t bytes = 0;
  TRY(v->each_model([&](vault::ModelFile& file) -> Status {
    const vault::FrozenModel& m = file.model;
    json::Value item{json::Object{}};
    item.set("id", file.id);
    item.set("name", mlxbase::to_utf8(m.name));
    item.set("store", m.store.empty() ? json::Value(nullptr) : json::Value(m.store));
    set_path(item, "root", m.root);
    item.set("bytes", m.bytes);
    item.set("stored_bytes", m.stored);
    item.set("names", m.names.size());
    item.set("frozen_at", iso_time(m.frozen_at_ns));
    models.push(std::move(item));
    table.row({printable(m.name), m.store.empty() ? "folder" : printable(m.store), format_bytes(m.bytes), format_bytes(m.stored), local_time(m.frozen_at_ns)});
    bytes += m.bytes;
    return {};
  }, damaged));
  const std::uint64_t stored = TRY(v->stored_bytes());
  json::Value document = begin("ls", folder);
  document.set("models", std::move(models));
  document.set("bytes", bytes);
  document.set("stored_bytes", stored);
  document.set("damaged", damage_json(damaged));
  session.emit(kSchema, std::move(document));
  warn_of_damage(session, damaged);
  if (table.empty()) {
    session.say("Nothing is frozen.");
  } else {
    table.total({"all", "", format_bytes(bytes), format_bytes(stored), ""});
    session.print(table.render(session.columns(), session.style()));
  }
  return damaged.empty() ? Exit::ok : Exit::found;
}

/// What the objects of the vault take, by how they are kept.
Result<Exit> stat(Session& session, const std::string& folder) {
  auto v = TRY(Vault::open(session.fs(), folder, Access::read));
  std::vector<vault::Damaged> damaged = v->damaged();
  std::uint64_t bytes = 0, models = 0, references = 0;
  TRY(v->each_model([&](vault::ModelFile& file) -> Status {
    ++models;
    bytes += file.model.bytes;
    for (const auto& n : file.model.names) {
      for (const auto& s : n.segments) references += s.what == vault::Segment::What::object ? s.length : 0;
    }
    return {};
  }, damaged));
  struct Sum {
    std::uint64_t objects = 0, bytes = 0, stored = 0;
  };
  std::array<Sum, vault::kKinds> sums{};
  std::uint64_t held = 0;
  for (const vault::Head& h : v->heads()) {
    Sum& s = sums[static_cast<std::size_t>(h.kind)];
    ++s.objects;
    s.bytes += h.size;
    s.stored += h.payload;
    held += h.size;
  }
  const std::uint64_t stored = TRY(v->stored_bytes());
  json::Value document = begin("stat", folder);
  document.set("models_frozen", models);
  document.set("bytes", bytes);
  document.set("stored_bytes", stored);
  document.set("ratio", bytes == 0 ? json::Value(nullptr) : json::Value(static_cast<double>(stored) / static_cast<double>(bytes)));
  json::Value kinds{json::Array{}};
  Table table({{"KEPT", Align::left, false}, {"OBJECTS", Align::right, false}, {"SIZE", Align::right, false}, {"STORED", Align::right, false}});
  for (std::size_t k = 0; k < sums.size(); ++k) {
    if (sums[k].objects == 0) continue;
    const auto name = to_string(static_cast<vault::Kind>(k));
    json::Value item{json::Object{}};
    item.set("kind", name);
    item.set("objects", sums[k].objects);
    item.set("bytes", sums[k].bytes);
    item.set("stored_bytes", sums[k].stored);
    kinds.push(std::move(item));
    table.row({std::string(name), mlxbase::format_exact(sums[k].objects), format_bytes(sums[k].bytes), format_bytes(sums[k].stored)});
  }
  const std::uint64_t shared = references > held ? references - held : 0;
  document.set("shared_bytes", shared);
  document.set("kinds", std::move(kinds));
  document.set("damaged", damage_json(damaged));
  session.emit(kSchema, std::move(document));
  warn_of_damage(session, damaged);
  session.say_wrapped(fmt::format("{} of {} in {} ({:.1f} %) at {}; {} of them are needed more than once.", count(models, "model"), format_bytes(bytes), format_bytes(stored),
                                  bytes == 0 ? 0.0 : 100.0 * static_cast<double>(stored) / static_cast<double>(bytes), session.show_path(folder), format_bytes(shared)));
  if (!table.empty()) session.print(table.render(session.columns(), session.style()));
  return damaged.empty() ? Exit::ok : Exit::found;
}

/// Which models need one of these objects, directly or below something that does.
Result<std::set<std::string>> touched_by(Vault& v, const std::vector<mlxbase::Digest>& bad) {
  const std::unordered_set<mlxbase::Digest> hit(bad.begin(), bad.end());
  std::set<std::string> names;
  std::vector<vault::Damaged> damaged;
  TRY(v.each_model([&](vault::ModelFile& file) -> Status {
    for (const auto& n : file.model.names) {
      for (const auto& s : n.segments) {
        if (s.what == vault::Segment::What::object && (hit.contains(s.object) || !v.find(s.object))) names.insert(file.model.name);
      }
    }
    return {};
  }, damaged));
  return names;
}

Result<Exit> verify(Session& session, const std::string& folder) {
  auto v = TRY(Vault::open(session.fs(), folder, Access::read));
  const auto result = TRY(v->verify(vault::usual_workers(), session.progress(), &session.world().cancel));
  session.progress_done();
  const auto names = TRY(touched_by(*v, result.bad));
  json::Value touched{json::Array{}};
  for (const std::string& n : names) touched.push(mlxbase::to_utf8(n));
  json::Value document = begin("verify", folder);
  document.set("objects", result.objects);
  document.set("bytes", result.bytes);
  document.set("damaged", damage_json(result.damaged));
  document.set("damaged_models", std::move(touched));
  session.emit(kSchema, std::move(document));
  warn_of_damage(session, result.damaged);
  if (!names.empty()) {
    session.say(session.style().bold("Models that cannot be thawed whole"));
    for (const std::string& n : names) session.say("  " + printable(n));
  }
  const bool good = result.damaged.empty() && names.empty();
  session.say(fmt::format("{} of {} read and compared by SHA-256{}.", count(result.objects, "object"), format_bytes(result.bytes), good ? ": all good" : ""));
  return good ? Exit::ok : Exit::found;
}

Result<Exit> collect(Session& session, const std::string& folder, bool apply) {
  auto v = TRY(Vault::open(session.fs(), folder, apply ? Access::write : Access::read));
  const auto result = TRY(v->collect(apply, session.progress(), &session.world().cancel));
  session.progress_done();
  json::Value document = begin("gc", folder);
  document.set("applied", apply);
  document.set("objects", result.objects);
  document.set("bytes", result.payload_bytes);
  document.set("bytes_freed", result.bytes_freed);
  session.emit(kSchema, std::move(document));
  session.say_wrapped(fmt::format("{} that no frozen model needs; {} {} ({} bytes).", count(result.objects, "object"), apply ? "freed" : "collecting frees", format_bytes(result.bytes_freed),
                                  mlxbase::format_exact(result.bytes_freed)));
  if (!apply && result.bytes_freed > 0) session.note(fmt::format("\nNothing was changed. To do this:\n  mlxcache {} --apply", printable(session.command_line())));
  return Exit::ok;
}

Result<Exit> remove(Session& session, const std::string& folder, const std::vector<std::string>& names, bool apply) {
  if (names.empty()) return fail(Code::invalid, "say which frozen models shall leave the vault");
  auto v = TRY(Vault::open(session.fs(), folder, apply ? Access::write : Access::read));
  json::Value models{json::Array{}};
  std::vector<vault::ModelFile> files;
  for (const std::string& n : names) files.push_back(TRY(find_frozen(session, *v, n)));
  for (const vault::ModelFile& file : files) {
    if (apply) TRY(v->remove_model(file.id));
    json::Value item{json::Object{}};
    item.set("id", file.id);
    item.set("name", mlxbase::to_utf8(file.model.name));
    models.push(std::move(item));
    session.say(fmt::format("{} {} ({})", apply ? "Removed from the vault:" : "Would leave the vault:", printable(file.model.name), format_bytes(file.model.bytes)));
  }
  json::Value document = begin("rm", folder);
  document.set("applied", apply);
  document.set("models", std::move(models));
  session.emit(kSchema, std::move(document));
  if (apply) {
    session.note("What it was made of goes with 'mlxcache vault gc --apply'; bases of other models stay.");
  } else {
    session.note(fmt::format("\nNothing was changed. A model whose files are nowhere else is gone for good then. To do this:\n  mlxcache {} --apply", printable(session.command_line())));
  }
  return Exit::ok;
}

/// Copies models with all they are made of, and compares every file's digest in the new place before they count.
Result<Exit> copy(Session& session, std::string_view action, const std::string& from, const std::string& to, const std::vector<std::string>& names) {
  auto source = TRY(Vault::open(session.fs(), from, Access::read));
  auto target = TRY(Vault::open(session.fs(), to, Access::write));
  std::vector<vault::ModelFile> files;
  std::vector<vault::Damaged> damaged;
  std::set<std::string> there;
  const auto key = [](const vault::FrozenModel& m) { return fmt::format("{}\n{}\n{}\n{}", m.store, m.root, m.name, m.frozen_at_ns); };
  TRY(target->each_model([&](vault::ModelFile& f) -> Status { there.insert(key(f.model)); return {}; }, damaged));
  if (names.empty()) {
    TRY(source->each_model([&](vault::ModelFile& f) -> Status { files.push_back(std::move(f)); return {}; }, damaged));
  } else {
    for (const std::string& n : names) files.push_back(TRY(find_frozen(session, *source, n)));
  }
  warn_of_damage(session, damaged);
  json::Value models{json::Array{}};
  std::uint64_t copied = 0, failed = 0;
  for (const vault::ModelFile& file : files) {
    if (there.contains(key(file.model))) continue;
    if (const auto done = vault::copy_model(*target, *source, file.model, vault_means(session)); !done) {
      // What is damaged costs its model, and no other.
      if (done.error().code == Code::cancelled || done.error().code == Code::out_of_space) return fail(done.error());
      damaged.push_back({file.model.name, done.error().message});
      session.warn(fmt::format("{} was not copied: {}", printable(file.model.name), printable(done.error().message)));
      ++failed;
      continue;
    }
    ++copied;
    models.push(mlxbase::to_utf8(file.model.name));
  }
  session.progress_done();
  json::Value document = begin(action, action == "export" ? from : to);
  set_path(document, "other", action == "export" ? to : from);
  document.set("copied", std::move(models));
  const std::uint64_t known = files.size() - copied - failed;
  document.set("there", known);
  document.set("damaged", damage_json(damaged));
  session.emit(kSchema, std::move(document));
  session.say_wrapped(fmt::format("{} {} to {}, read back and compared{}.", session.style().green("Copied"), count(copied, "model"), session.show_path(to),
                                  known == 0 ? std::string() : fmt::format("; {} were there already", known)));
  return damaged.empty() ? Exit::ok : Exit::found;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const std::string folder = vault_folder(session, arguments);
  std::vector<std::string> rest = arguments.all("ACTION");
  const std::string action = rest.front();
  rest.erase(rest.begin());
  const bool apply = arguments.flag("--apply");
  const bool takes_words = action == "rm" || action == "export" || action == "import";
  if (!rest.empty() && !takes_words) return fail(Code::invalid, fmt::format("'vault {}' takes no further word: '{}'", action, printable(rest.front())));
  if (apply && action != "gc" && action != "rm") return fail(Code::invalid, fmt::format("'vault {}' has no --apply", action));
  if (action == "ls") return list(session, folder);
  if (action == "stat") return stat(session, folder);
  if (action == "verify") return verify(session, folder);
  if (action == "gc") return collect(session, folder, apply);
  if (action == "rm") return remove(session, folder, rest, apply);
  if (action == "export" || action == "import") {
    if (rest.empty()) return fail(Code::invalid, fmt::format("'vault {}' needs the folder of the other vault", action));
    const std::string other = named_folder(session, rest.front());
    rest.erase(rest.begin());
    if (path::is_within(other, folder) || path::is_within(folder, other)) return fail(Code::invalid, "one vault cannot lie in the other");
    return action == "export" ? copy(session, action, folder, other, rest) : copy(session, action, other, folder, rest);
  }
  return fail(Code::invalid, fmt::format("'vault {}' is none of ls, stat, verify, gc, rm, export, import", printable(action)));
}

constexpr Operand kOperands[] = {
    {"ACTION", Kind::text, true, true, "ls, stat, verify, gc; rm and frozen models; export or import, the other vault's folder, and models (none: all)"},
};
constexpr Option kOptions[] = {kVaultOption, kApplyOption};
constexpr Example kExamples[] = {
    {"mlxcache vault ls", "what is frozen"},
    {"mlxcache vault stat", "how the bytes are kept, and the ratio"},
    {"mlxcache vault verify", "read everything and compare digests"},
    {"mlxcache vault rm old-model --apply", "let a frozen model go"},
    {"mlxcache vault gc --apply", "free what no frozen model needs"},
    {"mlxcache vault export /mnt/disk/vault", "a copy on another disk"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "done, or shown"},
    {Exit::found, "something in the vault is damaged; it is listed, and the rest can be read"},
    {Exit::failed, "there is no vault, or no such frozen model"},
    {Exit::busy, "another mlxcache writes to the vault"},
};

}  // namespace

const Command kVault{
    "vault",
    "list, check, clean and copy what is frozen",
    Group::cold,
    false,
    "ls lists frozen models, with what each added to the vault. stat says how their bytes are kept. verify reads every object and compares its SHA-256; damage is named "
    "with the models it touches, and everything else stays readable. rm lets a frozen model go, and gc frees what no model needs, directly or as the base of "
    "another's differences: so a base can be removed at any time. export and import copy models to and from another vault, and compare every file before it counts.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
