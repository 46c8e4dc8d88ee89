#pragma once
// One row a file; the table that gathers them is in table_of_commands.cpp.
#include "mlxcache/cli/command.h"

namespace mlxcache::cli {

extern const Command kScan, kLs, kShow, kDups, kDu, kDedup, kUndo, kHistory, kRecover, kVerify, kDoctor, kDemo, kCompletions, kMan,
    kHelp, kPull, kPublish, kUnpublish, kRm, kRestore, kGc, kPrune, kPin, kUnpin, kRepair, kFreeze, kThaw, kMount, kVault, kWatch, kStatus;

// Options that several commands share.
inline constexpr Option kRootOption{"--root", "DIR", Kind::folder, true, "also look in this folder (may be given several times)"};
inline constexpr Option kStoreOption{"--store", "NAME", Kind::store, true, "only this kind of store (may be given several times)"};

}  // namespace mlxcache::cli
