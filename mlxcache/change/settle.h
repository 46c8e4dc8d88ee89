#pragma once
// What recovery does with one transaction that was cut short, by what it changes.
#include "mlxcache/change/change.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {

/// Of dedup: each step is settled by itself, from what the disk shows.
mlxbase::Status settle_swaps(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out);
/// Of this room: the whole is taken back, unless it was over already.
mlxbase::Status settle_names(const Machinery& machinery, journal::Transaction& t, journal::Writer& writer, Recovered& out);

}  // namespace mlxcache::change
