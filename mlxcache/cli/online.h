#pragma once
// How the program talks to servers: as the environment says.
#include <memory>

#include "mlxbase/net/http.h"
#include "mlxcache/cli/session.h"
#include "mlxcache/fetch/fetch.h"

namespace mlxcache::cli {

struct Online {
  fetch::Endpoints endpoints;
  std::unique_ptr<mlxbase::net::Client> client;
};
/// Connects to nobody yet. Errors: as fetch::endpoints.
mlxbase::Result<Online> go_online(Session& session);

}  // namespace mlxcache::cli
