#pragma once
// What taking a transaction back came to, for people and for JSON.
#include <string_view>

#include "mlxcache/cli/session.h"

namespace mlxcache::cli {

Exit report_undone(Session& session, const dedup::Undone& undone, std::string_view schema);

}  // namespace mlxcache::cli
