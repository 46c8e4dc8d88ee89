#pragma once
// One change of names taken back, in three strokes, so that many of them share the syncs between. Private to this room.
#include <string>

#include "mlxcache/change/work.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {

/// Whether it may be taken back, and what the name is now. Errors: changed, not_found (its bytes are not here any more), busy, permission.
/// An intent without a temporary name means that there is nothing left to do.
mlxbase::Result<journal::UndoIntent> plan_undo_step(mlxbase::os::FileSystem& fs, Places& places, const journal::Step& step);
/// Names. The intent is on the device.
mlxbase::Status undo_step(mlxbase::os::FileSystem& fs, const journal::Step& step, Folders& to_sync);
/// When the names are on the device: what is left at temporary names and in the trash goes.
mlxbase::Status finish_undo_step(mlxbase::os::FileSystem& fs, const journal::Step& step, Folders& to_sync, std::string& note);
/// Of an undo that was cut short: whether the step is undone; else it is again as before the undo.
mlxbase::Result<bool> settle_undo_step(mlxbase::os::FileSystem& fs, const journal::Step& step, Folders& to_sync);

}  // namespace mlxcache::change
