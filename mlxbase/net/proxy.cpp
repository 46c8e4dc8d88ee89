#include "mlxbase/net/proxy.h"

#include <initializer_list>

namespace mlxbase::net {

Proxy choose_proxy(const Url& url, const std::string& fixed, const std::function<std::optional<std::string>(std::string_view)>& variable) {
  if (!fixed.empty()) return {.url = fixed, .no_proxy = {}};
  if (!variable || url.is_loopback()) return {};
  const auto first_of = [&](std::initializer_list<std::string_view> names) {
    for (const auto name : names) {
      if (auto value = variable(name); value && !value->empty()) return *value;
    }
    return std::string{};
  };
  Proxy out;
  out.url = url.scheme() == "https" ? first_of({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                                    : first_of({"http_proxy", "all_proxy", "ALL_PROXY"});
  if (!out.url.empty()) out.no_proxy = first_of({"no_proxy", "NO_PROXY"});
  return out;
}

}  // namespace mlxbase::net
