#pragma once
// Small GET requests to several servers at once, each with its own deadline and a limit on its answer. What does not come in time is an error of that
// one; a slow answer may be waited for over several calls of run(), while the others go on.
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/result.h"
#include "mlxbase/net/http.h"

namespace mlxdash::collect {

struct Reply {
  int status = 0;  // 0: none came
  std::string body;
  std::optional<mlxbase::Error> error;
  bool ok() const { return !error && status == 200; }
};

class Fetcher {
 public:
  static mlxbase::Result<std::unique_ptr<Fetcher>> make(mlxbase::Clock& clock);
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  struct Ask {
    std::uint64_t server = 0;  // the caller's number
    std::string path;
    std::uint32_t deadline_ms = 300;
  };
  struct Done {
    std::uint64_t server = 0;
    std::string path;
    Reply reply;
  };
  /// Begins it. `base` is scheme, host and port.
  void ask(const mlxbase::net::Url& base, Ask ask);
  bool is_asking(std::uint64_t server, const std::string& path) const;
  /// Works until every request that shall be waited for is done or past its deadline, at most `most_ms`; then gives all that have ended.
  std::vector<Done> run(std::uint32_t most_ms);
  /// Ends what is under way for that server.
  void drop(std::uint64_t server);

 private:
  struct Transfer;
  explicit Fetcher(std::unique_ptr<mlxbase::net::Client> client, mlxbase::Clock& clock);
  std::unique_ptr<mlxbase::net::Client> client_;
  mlxbase::Clock& clock_;
  std::list<std::unique_ptr<Transfer>> transfers_;
};

}  // namespace mlxdash::collect
