#include "mlxcache/stores/tf_hub_descriptor.h"

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"

namespace mlxcache::stores::tf_hub {

std::optional<std::string> module_of_descriptor(std::string_view text, std::string_view folder) {
  constexpr std::string_view kModule = "Module: ";
  constexpr std::size_t kLongest = 4096;
  const std::size_t at = text.find(kModule);
  if (at == std::string_view::npos || (at > 0 && text[at - 1] != '\n')) return std::nullopt;
  std::string_view line = text.substr(at + kModule.size());
  line = line.substr(0, line.find_first_of("\r\n"));
  if (line.empty() || line.size() > kLongest) return std::nullopt;
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha1);
  hasher.update(mlxbase::as_bytes(line));
  if (hasher.finish().hex() != folder) return std::nullopt;
  return std::string(line);
}

}  // namespace mlxcache::stores::tf_hub
