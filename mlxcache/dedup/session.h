#pragma once
// The machinery that dedup shares with every other change of stores, under this room's name.
#include "mlxcache/change/bytes.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/change/session.h"
#include "mlxcache/change/swap.h"

namespace mlxcache::dedup {

using change::check_within;
using change::compare;
using change::copy_bytes;
using change::Fate;
using change::finish;
using change::folder_of;
using change::Held;
using change::hold;
using change::holes_of;
using change::is_transaction_id;
using change::kProgramVersion;
using change::lock_home;
using change::LockSet;
using change::make_staging_folder;
using change::new_transaction_id;
using change::put_back;
using change::recover_locked;
using change::remove_if_there;
using change::remove_staging_folder;
using change::same_inode;
using change::settle;
using change::Swap;
using change::swap_in;
using change::SwapResult;
using change::temporary_names;

}  // namespace mlxcache::dedup
