#pragma once
// What stands in the way of sharing on this machine, and what could be dangerous: volume by volume, store by store, client by client.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/doctor/clients.h"
#include "mlxcache/doctor/servers.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::doctor {

/// One way of sharing on one volume.
struct Way {
  std::string_view name;         // "reflink", "hardlink", "symlink"
  std::optional<bool> possible;  // empty: could not be tried
  std::string why;               // why not, or why it is not known; empty if possible
};

struct Volume {
  mlxbase::os::VolumeFacts facts;
  std::vector<std::string> roots;  // of the stores on it
  std::vector<Way> ways;
};

struct Store {
  catalog::Root root;
  std::uint64_t files = 0;
  std::uint64_t foreign_owned = 0;      // payloads of another user: cannot be replaced, at most be shared from
  std::string_view caution;             // of the adapter's row; may be empty
  std::vector<catalog::Problem> problems;  // what could not be read
};

enum class Weight : std::uint8_t { note, hazard };
/// Something a person should know. A hazard makes `doctor` end with a status of its own.
struct Finding {
  Weight weight{};
  std::string what;    // one sentence; foreign parts are not yet printable()
  std::string advice;  // one sentence; may be empty
};

struct Report {
  std::string platform;  // "Linux 6.1.0 x86_64"
  std::vector<Volume> volumes;
  std::vector<Store> stores;
  std::vector<Client> clients;
  Servers servers;
  std::vector<Finding> findings;
};

/// Tries links and clones with small hidden files inside one root of each volume, and removes them again. Reads no payload.
Report examine(const stores::Context& context, const catalog::Inventory& inventory);

/// The ways of a volume from its facts; pure.
std::vector<Way> ways_of(const mlxbase::os::VolumeFacts& facts);

}  // namespace mlxcache::doctor
