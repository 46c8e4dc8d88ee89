#include "mlxcache/cli/vault_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/parts.h"

namespace mlxcache::cli {

namespace json = mlxbase::json;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

std::string named_folder(Session& session, std::string_view text) {
  return path::normal(path::join(session.environment().working_directory, session.environment().absolute(text)));
}

std::string vault_folder(Session& session, const Arguments& arguments) {
  if (const auto given = arguments.one("--vault")) return named_folder(session, *given);
  if (const auto variable = session.environment().get_nonempty("MLXCACHE_VAULT")) return session.environment().absolute(*variable);
  return path::join(session.home(), "vault");
}

vault::Means vault_means(Session& session) {
  return {session.fs(), session.world().clock, session.progress(), &session.world().cancel, vault::usual_workers()};
}

std::string reasons_text(const vault::Tally& tally) {
  std::vector<std::size_t> order;
  for (std::size_t r = 0; r < vault::kReasons; ++r) {
    if (tally.bytes[r] > 0) order.push_back(r);
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tally.bytes[a] > tally.bytes[b]; });
  std::vector<std::string> parts;
  for (const std::size_t r : order) {
    const auto name = to_string(static_cast<vault::Reason>(r));
    const std::uint64_t share = tally.all_bytes() == 0 ? 0 : (tally.bytes[r] * 100 + tally.all_bytes() / 2) / tally.all_bytes();
    if (share > 0) parts.push_back(fmt::format("{} % {}", share, name));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

json::Value reasons_json(const vault::Tally& tally) {
  json::Value list{json::Array{}};
  for (std::size_t r = 0; r < vault::kReasons; ++r) {
    if (tally.bytes[r] == 0) continue;
    json::Value item{json::Object{}};
    item.set("reason", to_string(static_cast<vault::Reason>(r)));
    item.set("bytes", tally.bytes[r]);
    item.set("stored_bytes", tally.stored[r]);
    list.push(std::move(item));
  }
  return list;
}

Result<vault::ModelFile> find_frozen(Session& session, vault::Vault& vault, const std::string& text) {
  const std::string folder = named_folder(session, text);
  std::optional<vault::ModelFile> found;
  std::set<std::string> stores;
  std::vector<std::string> names;
  std::vector<vault::Damaged> damaged;
  TRY(vault.each_model([&](vault::ModelFile& file) -> mlxbase::Status {
    const vault::FrozenModel& m = file.model;
    names.push_back(m.name);
    const bool fits = m.name == text || m.store + "/" + m.name == text || file.id == text || (m.store.empty() && m.name == folder);
    if (!fits) return {};
    stores.insert(m.store);
    found = std::move(file);
    return {};
  }, damaged));
  warn_of_damage(session, damaged);
  if (!found) {
    std::vector<std::string_view> views(names.begin(), names.end());
    const auto near = nearest(text, views);
    return fail(Code::not_found, fmt::format("the vault has no frozen model '{}'{}", printable(text), near ? fmt::format("; is it '{}'?", printable(*near)) : std::string(" ('mlxcache vault ls' lists them)")));
  }
  if (stores.size() > 1) {
    return fail(Code::invalid, fmt::format("'{}' was frozen from several stores ({}): write store/name", printable(text), fmt::join(stores, ", ")));
  }
  return std::move(*found);
}

void warn_of_damage(Session& session, const std::vector<vault::Damaged>& damaged) {
  for (const vault::Damaged& d : damaged) session.warn(fmt::format("damaged: {}: {}", session.show_path(d.path), printable(d.what)));
}

}  // namespace mlxcache::cli
