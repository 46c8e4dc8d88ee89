#pragma once
// Programs on this machine that work on the same stores, and whose version makes a way of sharing unsafe. Looked for where
// installers put them; never by walking the disk.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxcache/stores/adapter.h"

namespace mlxcache::doctor {

struct Client {
  std::string program;  // "huggingface_hub"
  std::string version;  // foreign text
  std::string path;     // where it was found
  std::string hazard;   // what its version makes unsafe, one sentence; empty if nothing
};

/// Each installation once, in the order of `places`.
std::vector<Client> find_clients(const stores::Context& context);

/// Folders that hold Python packages: environments in the usual places of this user and of the system.
std::vector<std::string> site_packages(const stores::Context& context);

/// Numbers of a version, up to the first part that is none: "1.10.0rc1" is {1, 10, 0}.
std::vector<unsigned> version_numbers(std::string_view version);
/// Whether `version` is before `limit`; false if it cannot be read.
bool is_before(std::string_view version, std::string_view limit);

}  // namespace mlxcache::doctor
