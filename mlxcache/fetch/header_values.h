#pragma once
// Values of HTTP headers that say where to go on. Any bytes may come; nothing here is trusted as an address yet.
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace mlxcache::fetch {

/// The target of the first link with rel="next" in a Link header (RFC 8288); nothing if there is none or the header is malformed.
std::optional<std::string> next_link(std::string_view header);

/// A challenge of a registry: `Bearer realm="…",service="…",scope="…"`.
struct Challenge {
  std::string realm, service, scope;
};
/// The first Bearer challenge that has a realm (RFC 6750, 9110); nothing otherwise. Values are at most 4 KiB, without control characters.
std::optional<Challenge> bearer_challenge(std::string_view header);

}  // namespace mlxcache::fetch
