#pragma once
// Which inodes are to be verified, and what is claimed of each.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::verify {

/// Containers whose header can be held against the file.
enum class Container : std::uint8_t { none, safetensors, gguf };
Container container_of(std::string_view file_name);

/// A digest that some name of an inode carries.
struct Claim {
  mlxbase::Digest digest;
  catalog::NameRef name;
};

/// One inode to look at.
struct Subject {
  std::uint32_t inode = 0;          // index into Inventory::inodes
  catalog::NameRef name;            // the one to speak of: in the chosen model, a claiming one, a payload, in that order
  std::vector<mlxbase::Algorithm> also;   // to be measured besides
  std::vector<Claim> claims;        // distinct digests that can be computed here
  bool xet_only = false;            // something is claimed, but only a xet hash
  Container container = Container::none;  // by one of its names or of a link to it
};

/// Whether a hash of the bytes can be held against a claim of this algorithm.
bool can_measure(mlxbase::Algorithm algorithm);

/// Inodes that are payloads, orphans or carry a claim; partial downloads and foreign things never.
/// `models`: only what belongs to models of these ids. Errors: invalid (an id that no store has).
mlxbase::Result<std::vector<Subject>> select(const stores::Context& context, const catalog::Inventory& inventory,
                                             const std::vector<std::string>& models, bool follow_links_for_containers);

}  // namespace mlxcache::verify
