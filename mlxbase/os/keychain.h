#pragma once
// Passwords that the system keeps for a person.
#include <optional>
#include <string>

namespace mlxbase::os {

/// The internet password of `account` at `host` (https): on macOS from the keychain, where `hf auth login --add-to-git-credential` puts a token by way of
/// git; nothing elsewhere. The system may ask the person for leave, so it is only looked up where one is at a terminal. Never by another program: its
/// command line would be seen by all.
std::optional<std::string> keychain_password(const std::string& host, const std::string& account);

}  // namespace mlxbase::os
