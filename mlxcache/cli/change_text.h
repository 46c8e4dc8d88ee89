#pragma once
// What leaves and what comes, for people and for JSON: shared by rm, gc, prune, publish and unpublish.
#include <span>
#include <string>

#include "mlxbase/format/json.h"
#include "mlxcache/change/change.h"
#include "mlxcache/cli/command.h"
#include "mlxcache/cli/session.h"
#include "mlxcache/keep/keep.h"

namespace mlxcache::cli {

/// The machinery of changes, wired from the session.
change::Machinery change_machinery(Session& session);

/// leaving[], refused[], bytes_freed, exact: what rm, gc and prune have in common. `applied` false, no transaction yet.
mlxbase::json::Value plan_json(const keep::Plan& plan);
/// The same once it was done.
mlxbase::json::Value done_json(const keep::Plan& plan, const change::Done& done, bool emptied);
/// One line a model or file, with what it frees, who shares it, what is kept, and the reasons of what is refused.
std::string leaving_text(Session& session, const keep::Plan& plan);
/// skipped[] of a change.
mlxbase::json::Value left_alone_json(std::span<const change::Skipped> skipped);

/// Shows the plan or does it, after the switches --apply and --now. `schema`: "mlxcache.rm/1"; `nothing`: what to say where there is nothing to do.
mlxbase::Result<Exit> show_or_do(Session& session, const Arguments& arguments, const catalog::Inventory& inventory, const keep::Plan& plan,
                                 std::string_view schema, std::string_view nothing);

inline constexpr Option kApplyOption{"--apply", "", Kind::text, false, "do what the plan says (without it, nothing is changed)"};
inline constexpr Option kNowOption{"--now", "", Kind::text, false, "with --apply: empty the trash of this removal at once; it cannot be restored then"};

}  // namespace mlxcache::cli
