// Whatever the bytes: no crash, bounded work, and what was read is no deeper or larger than was asked for.
#include <cstdlib>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/yaml.h"

namespace {
int depth(const mlxbase::json::Value& v) {
  int deepest = 0;
  for (const auto& inner : v.array()) deepest = std::max(deepest, depth(inner));
  for (const auto& member : v.object()) deepest = std::max(deepest, depth(member.second));
  return deepest + (v.is_array() || v.is_object() ? 1 : 0);
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr mlxbase::json::Limits kLimits{.bytes = 1U << 16U, .depth = 16};
  const auto v = mlxbase::yaml::parse({reinterpret_cast<const char*>(data), size}, kLimits);
  if (v && depth(*v) > kLimits.depth) std::abort();
  return 0;
}
