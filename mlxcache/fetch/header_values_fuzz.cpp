// Link and WWW-Authenticate headers of any bytes: no value is longer than the header or holds a control character.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxcache/fetch/header_values.h"

namespace {

void require(bool promise) {
  if (!promise) std::abort();
}

void is_one_line(std::string_view value, std::string_view header) {
  require(value.size() <= header.size());
  require(std::none_of(value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20U; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto next = mlxcache::fetch::next_link(text)) is_one_line(*next, text);
  if (const auto challenge = mlxcache::fetch::bearer_challenge(text)) {
    require(!challenge->realm.empty());
    is_one_line(challenge->realm, text);
    is_one_line(challenge->service, text);
    is_one_line(challenge->scope, text);
  }
  return 0;
}
