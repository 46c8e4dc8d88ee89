#include "mlxcache/cli/online.h"

#include <fmt/format.h>

#include "mlxcache/cli/help.h"

namespace mlxcache::cli {

mlxbase::Result<Online> go_online(Session& session) {
  Online out;
  out.endpoints = TRY(fetch::endpoints(session.context()));
  mlxbase::net::ClientOptions options;
  options.user_agent = fmt::format("mlxcache/{}", kVersion);
  options.variable = [&session](std::string_view name) { return session.environment().get(name); };
  options.offline = out.endpoints.offline;
  out.client = TRY(mlxbase::net::Client::make(std::move(options)));
  return out;
}

}  // namespace mlxcache::cli
