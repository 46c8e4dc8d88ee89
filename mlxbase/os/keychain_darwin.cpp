#include "mlxbase/os/keychain.h"

#include <unistd.h>

#include <cstdint>

#include "mlxbase/os/shared_library.h"

namespace mlxbase::os {
namespace {

// Of Security.framework, by name: its headers are not needed to build, and a system without it has no keychain. Types as in SecKeychain.h and SecBase.h.
using FindInternetPassword = std::int32_t (*)(const void* keychains, std::uint32_t server_size, const char* server, std::uint32_t domain_size, const char* domain,
                                              std::uint32_t account_size, const char* account, std::uint32_t path_size, const char* path, std::uint16_t port,
                                              std::uint32_t protocol, std::uint32_t authentication, std::uint32_t* password_size, void** password, void** item);
using FreeContent = std::int32_t (*)(void* attributes, void* password);

constexpr std::uint32_t kHttps = 0x68747073;  // 'htps': kSecProtocolTypeHTTPS
constexpr std::uint32_t kAnyWay = 0;          // kSecAuthenticationTypeAny

}  // namespace

std::optional<std::string> keychain_password(const std::string& host, const std::string& account) {
  if (::isatty(STDERR_FILENO) == 0) return std::nullopt;
  const auto library = SharedLibrary::open("/System/Library/Frameworks/Security.framework/Security");
  if (!library) return std::nullopt;
  const auto find = reinterpret_cast<FindInternetPassword>(library->symbol("SecKeychainFindInternetPassword"));
  const auto release = reinterpret_cast<FreeContent>(library->symbol("SecKeychainItemFreeContent"));
  if (find == nullptr || release == nullptr) return std::nullopt;
  std::uint32_t size = 0;
  void* password = nullptr;
  const auto status = find(nullptr, static_cast<std::uint32_t>(host.size()), host.data(), 0, nullptr, static_cast<std::uint32_t>(account.size()), account.data(), 0, nullptr, 0, kHttps,
                           kAnyWay, &size, &password, nullptr);
  if (status != 0 || password == nullptr) return std::nullopt;  // none is kept, or the person says no
  std::string out(static_cast<const char*>(password), size);
  (void)release(nullptr, password);
  return out;
}

}  // namespace mlxbase::os
