#pragma once
// Small requests with patience: what is worth repeating is repeated after the wait that the server asks for.
#include <string>
#include <string_view>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/net/http.h"
#include "mlxbase/net/retry.h"

namespace mlxcache::fetch {

class Asker {
 public:
  Asker(mlxbase::net::Client& client, mlxbase::Clock& clock, const mlxbase::net::RetryPolicy& retry, const mlxbase::Cancel* cancel)
      : client_(client), clock_(clock), retry_(retry), cancel_(cancel) {}

  /// The answer, whatever its status; 408, 425, 429 and 5xx, failed connections and cut bodies only after patience has ended.
  mlxbase::Result<mlxbase::net::Response> ask(const mlxbase::net::Request& request);

 private:
  mlxbase::Status wait(std::uint32_t ms);

  mlxbase::net::Client& client_;
  mlxbase::Clock& clock_;
  const mlxbase::net::RetryPolicy& retry_;
  const mlxbase::Cancel* cancel_;
};

/// What a server says of its refusal (X-Error-Message, or the usual places of a JSON body), cut short, fit to print, and without any secret that the
/// request carried. Empty if it says nothing.
std::string said_by_server(const mlxbase::net::Response& response, const mlxbase::net::Secret* secret);

/// The error for statuses that mean the same everywhere: 429 (busy), 5xx (io), others (io, with the status). `what` is "the list of files of org/repo".
mlxbase::Error unexpected_status(const mlxbase::net::Response& response, std::string_view what, const mlxbase::net::Secret* secret);

}  // namespace mlxcache::fetch
