#pragma once
// Which proxy a request takes, as the environment says. Pure.
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mlxbase/net/url.h"

namespace mlxbase::net {

struct Proxy {
  std::string url;     // as libcurl reads it: http://, https://, socks5://, socks5h://, …; empty: none
  std::string no_proxy;  // hosts, suffixes and networks that are reached directly, as libcurl reads them
};

/// `fixed` is for all requests. Otherwise the variables http_proxy, https_proxy, all_proxy and no_proxy count, lower case before upper; a
/// loopback host is then always reached directly. HTTP_PROXY is not read: a web server hands a client's "Proxy:" header to its programs so.
Proxy choose_proxy(const Url& url, const std::string& fixed, const std::function<std::optional<std::string>(std::string_view)>& variable);

}  // namespace mlxbase::net
