#pragma once
// The table of routes, and what each does.
#include <memory>

#include "mlxbase/http/server.h"
#include "mlxhub/serve/library.h"

namespace mlxhub::serve {

/// Answers every request; `library` must outlive it. Any thread.
mlxbase::http::Server::Handler make_service(Library& library);

}  // namespace mlxhub::serve
