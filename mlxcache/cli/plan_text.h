#pragma once
// A plan for people and for JSON.
#include <span>
#include <string>

#include "mlxbase/format/json.h"
#include "mlxcache/cli/session.h"
#include "mlxcache/dedup/plan.h"

namespace mlxcache::cli {

/// actions[] of the schema.
mlxbase::json::Value actions_json(std::span<const dedup::Action> actions);
/// The actions, grouped by the store that changes and the method.
std::string plan_text(Session& session, const dedup::Plan& plan);
/// What hard links will change besides bytes; empty if nothing.
std::string merges_text(Session& session, const dedup::Plan& plan);

}  // namespace mlxcache::cli
