#pragma once
// What was resolved, as the stores' publications want it.
#include "mlxcache/pull/pull.h"

namespace mlxcache::pull {

/// Everything but paths and states: as it can be told before any byte is here.
stores::ModelSource source_before_download(const Plan& plan);

/// For tools other than the one the id belongs to. A registry's layers get the names that files of a model have, and what only Ollama reads is left out;
/// a hub's repo stays as it is.
stores::ModelSource source_for_others(const stores::ModelSource& source, const fetch::Resolved& resolved);

}  // namespace mlxcache::pull
