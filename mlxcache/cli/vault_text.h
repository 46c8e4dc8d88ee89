#pragma once
// What freeze, thaw and vault share: where the vault is, which frozen model is meant, sizes and reasons for people and for JSON.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxcache/cli/command.h"
#include "mlxcache/cli/session.h"
#include "mlxcache/vault/freeze.h"
#include "mlxcache/vault/vault.h"

namespace mlxcache::cli {

/// --vault, else MLXCACHE_VAULT, else `vault` in our own home.
std::string vault_folder(Session& session, const Arguments& arguments);
vault::Means vault_means(Session& session);
/// A folder that the person named: absolute.
std::string named_folder(Session& session, std::string_view text);

/// "3.1 MB of differences, 2.0 MB coded": what was stored, largest first.
std::string reasons_text(const vault::Tally& tally);
mlxbase::json::Value reasons_json(const vault::Tally& tally);

/// The newest frozen model of that name: as `vault ls` prints it, "store/name", a folder's path, or an id. Errors: not_found, invalid (the
/// text fits models of several stores).
mlxbase::Result<vault::ModelFile> find_frozen(Session& session, vault::Vault& vault, const std::string& text);

/// Damage to standard error.
void warn_of_damage(Session& session, const std::vector<vault::Damaged>& damaged);

inline constexpr Option kVaultOption{"--vault", "DIR", Kind::folder, false, "the vault's folder (else the variable MLXCACHE_VAULT, else 'vault' in our own home)"};

}  // namespace mlxcache::cli
