#include <fmt/format.h>
#include <unistd.h>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/os/user_mount.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/vault_text.h"
#include "mlxcache/vault/reader.h"
#include "mlxcache/vault/tree.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace os = mlxbase::os;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::Result;

constexpr std::string_view kSchema = "mlxcache.mount/1";

/// One line an event, at once: whoever started this waits for it.
void tell(Session& session, std::string_view event, const std::string& dir, const json::Value& more) {
  if (!session.preferences().json) return;
  json::Value line{json::Object{}};
  line.set("schema", kSchema);
  line.set("event", event);
  line.set("time", iso_time(session.world().clock.wall_ns()));
  set_path(line, "path", dir);
  for (const auto& [name, value] : more.object()) line.set(name, value);
  session.world().out.write(json::dump(line) + "\n");
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const std::string dir = named_folder(session, *arguments.one("DIR"));
  os::MountSettings settings;
  settings.threads = mlxbase::worker_count() + 2;
  settings.for_all_users = arguments.flag("--all-users");
  if (arguments.flag("--unmount")) {
    TRY(os::take_away_mount(dir, settings.name));
    tell(session, "unmounted", dir, json::Value{json::Object{}});
    session.say(fmt::format("Unmounted: {}", session.show_path(dir)));
    return Exit::ok;
  }
  const std::string folder = vault_folder(session, arguments);
  auto vault = TRY(vault::Vault::open(session.fs(), folder, vault::Access::read));
  warn_of_damage(session, vault->damaged());
  vault::Reader reader(*vault, arguments.bytes("--cache", vault::Reader::kUsualCache));
  auto tree = TRY(vault::FrozenTree::make(*vault, reader));
  warn_of_damage(session, tree->damaged());
  auto mount = TRY(os::UserMount::begin(*tree, dir, settings));
  json::Value document{json::Object{}};
  set_path(document, "vault", folder);
  document.set("models", tree->models());
  document.set("bytes", tree->total_bytes());
  document.set("pid", static_cast<std::int64_t>(::getpid()));
  tell(session, "mounted", dir, document);
  session.say_wrapped(fmt::format("{} of {} can be read at {}, until Ctrl-C or 'mlxcache mount --unmount {}'.", count(tree->models(), "frozen model"), format_bytes(tree->total_bytes()),
                                  session.show_path(dir), mlxbase::printable(*arguments.one("DIR"))));
  TRY(mount->serve(session.world().cancel, [&] {
    session.note("Files of it are still open: this ends when the last one is closed. Ctrl-C again ends at once, and they cannot be read any more.");
  }));
  tell(session, "unmounted", dir, json::Value{json::Object{}});
  return Exit::ok;
}

constexpr Operand kOperands[] = {{"DIR", Kind::folder, true, false, "an empty folder, below which the models appear"}};
constexpr Option kOptions[] = {
    {"--unmount", "", Kind::text, false, "take a mount away, also one whose program is gone"},
    {"--cache", "SIZE", Kind::bytes, false, "memory for what was decoded lately (64M if not given); the kernel keeps more where memory is free"},
    {"--all-users", "", Kind::text, false, "other users may look in, as far as the modes of the files let them; without root this takes 'user_allow_other' in /etc/fuse.conf"},
    kVaultOption,
};
constexpr Example kExamples[] = {
    {"mlxcache mount ~/frozen", "every frozen model as files, until Ctrl-C; llama-cli -m ~/frozen/folders/home/me/models/old.gguf then reads one in place"},
    {"mlxcache mount --unmount ~/frozen", "take it away from another terminal"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "it was unmounted, by a signal or by somebody"},
    {Exit::failed, "there is no vault, DIR is no empty folder, or this machine cannot mount: the message says what to install"},
    {Exit::busy, "DIR is mounted already"},
};

}  // namespace

const Command kMount{
    "mount",
    "show every frozen model as ordinary files",
    Group::cold,
    false,
    "Stays in the foreground. Below DIR lie the frozen models, read-only: STORE/MODEL/… with the files of the model, plain folders below 'folders'. Any tool opens them, also by mmap; what is "
    "read is decoded in blocks of 256 KiB, and nothing is written to the disk. Models that are frozen meanwhile appear by themselves. Of several frozen models with one name the newest has it, the "
    "others are NAME@ID.\n\n"
    "'vault rm' and 'vault gc' may run at the same time: what is open stays readable, and its room on the disk comes back when the mount ends. Ctrl-C and SIGTERM unmount. What is read is checked by "
    "checksums of its blocks; damage is an input/output error for the reader. 'vault verify' compares whole digests.\n\n"
    "Linux only, by FUSE: root mounts directly, others through the program fusermount3 (package fuse3). On macOS, thaw.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
