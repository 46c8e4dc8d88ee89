#pragma once
// The monitor over HTTP: the page, live events, snapshots, history, Prometheus. Read only: nothing here changes anything.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/http/server.h"
#include "mlxdash/web/feed.h"

namespace mlxdash::web {

struct SiteOptions {
  std::string history;               // the database; empty: none is kept
  std::vector<std::string> origins;  // pages that may ask besides our own
};

/// What answers requests. It must outlive the server that calls it.
class Site {
 public:
  Site(Feed& feed, SiteOptions options);
  ~Site();
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;
  void answer(mlxbase::http::Request request, const std::shared_ptr<mlxbase::http::Reply>& reply);
  /// Paths that need no key: the page itself, which holds nothing of this machine, and whether the program lives.
  static std::vector<std::string> open_paths();

 private:
  struct State;
  struct Route;
  static const Route kRoutes[5];
  std::unique_ptr<State> state_;
};

/// Whether a page at `origin` is our own ("http://" or "https://" and the Host it asked) or is allowed. An origin that is empty is no page.
bool is_own_origin(std::string_view origin, std::string_view host, const std::vector<std::string>& allowed);

/// The values of one name in "a=1&b=2", decoded.
std::vector<std::string> query_values(std::string_view query, std::string_view name);

}  // namespace mlxdash::web
