#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/undone.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Result;

Result<Exit> run(Session& session, const Arguments& arguments) {
  const dedup::Undone undone = TRY(dedup::undo(session.machinery(), arguments.one("TXN").value_or("")));
  return report_undone(session, undone, "mlxcache.undo/1");
}

constexpr Operand kOperands[] = {{"TXN", Kind::transaction, false, false, "a transaction, as 'mlxcache history' lists it; the latest if left out"}};
constexpr Example kExamples[] = {
    {"mlxcache undo", "take the latest dedup back"},
    {"mlxcache undo 20261123T042027-3fa9", "take this one back"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "everything is as it was"},
    {Exit::found, "every file was refused, each with its reason"},
    {Exit::usage, "this transaction is undone already"},
    {Exit::partly, "some files were refused: their tool has changed them since. It may be run again"},
    {Exit::failed, "there is nothing to undo, or no such transaction"},
    {Exit::out_of_space, "the disk has no room for the separate copies; what was restored until then is complete"},
};

}  // namespace

const Command kUndo{
    "undo",
    "take a change back: every file as it was",
    Group::share,
    false,
    "Takes back what a transaction did: after dedup every file has its own inode, bytes, permissions, times, owner and attributes again, exactly as they "
    "were; what publish or pull added goes, and what rm removed comes back out of the trash. "
    "A file that its tool has replaced, deleted or written to since is refused and left as it is: the newer state wins. The disk needs "
    "room for the copies that are separate again.",
    kOperands,
    {},
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
