#include "mlxbase/os/keychain.h"

namespace mlxbase::os {

std::optional<std::string> keychain_password(const std::string& /*host*/, const std::string& /*account*/) { return std::nullopt; }

}  // namespace mlxbase::os
