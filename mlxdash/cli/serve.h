#pragma once
// `mlxdash web`: the server, from its words to its end.
#include <signal.h>

#include <functional>
#include <string>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxdash/cli/options.h"
#include "mlxdash/collect/board.h"
#include "mlxdash/web/feed.h"

namespace mlxdash::cli {

/// The signals that end the server. Held back in the calling thread, and so in all that start later.
sigset_t hold_back_ends();

/// The key that clients need, from --key-file or MLXDASH_KEY; empty: none. Errors: invalid (no usable key, or none where others can reach it), those of reading the file.
mlxbase::Result<std::string> key_of(const Options& options, mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment);

struct ServeParts {
  std::string key, host;                                   // host: this machine's name
  std::string history;                                     // the database; empty: none
  std::function<void(const Snapshot&)> on_sample;
  std::function<void(const std::string&)> say;             // where it listens
};
/// Until one of `ends` comes. Errors: those of http::Server::start.
mlxbase::Status serve(collect::Board& board, const Options& options, const ServeParts& parts, const sigset_t& ends);

}  // namespace mlxdash::cli
