#pragma once
// Which connection fetches which range of which file, and what to do when one fails. Runs on the thread that called download().
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mlxcache/fetch/download.h"
#include "mlxcache/fetch/download_file.h"
#include "mlxcache/fetch/download_stream.h"

namespace mlxcache::fetch {

class DownloadEngine {
 public:
  struct Setting {
    mlxbase::os::FileSystem& fs;
    mlxbase::net::Client& client;
    mlxbase::Clock& clock;
    const DownloadOptions& options;
    mlxbase::Progress& progress;
    const mlxbase::Cancel* cancel;
    const OnFile& on_file;
    const BeforeFile& before_file;
  };
  DownloadEngine(Setting setting, const std::vector<Wanted>& wanted);
  ~DownloadEngine();
  mlxbase::Status run();

 private:
  enum class Phase : std::uint8_t { waiting, held_up, opening, locked_out, running, restarting, closing, finished };
  struct Job;
  struct Connection {
    std::unique_ptr<Stream> stream;
    Job* job = nullptr;               // null: idle
    mlxbase::net::TransferId transfer = 0;  // 0: waits for retry_at
    Range range;
    bool whole = false;
    bool direct = false;              // asked at the address that a redirect led to
    std::size_t url = 0;
    std::uint32_t attempt = 0;        // in a row without progress
    std::int64_t retry_at = 0;
  };

  void open_more();
  void begin(Job& job);
  void try_again();
  void tell_parts();
  void resumed(std::uint64_t bytes);
  void assign();
  void plan_missing(Job& job);
  bool take_range(Job& job, Connection& connection);
  bool take_half(Connection& idle);
  void ask(Connection& connection);
  void ended(Connection& connection, Stream::Outcome outcome);
  void repeat(Connection& connection, const mlxbase::Error* error, const mlxbase::net::ResponseHead* head);
  void bad_status(Connection& connection);
  void restart(Job& job, bool one_stream, bool bytes_are_here = false);
  void next_source(Connection& connection, mlxbase::Error error);
  void release(Connection& connection);
  void drop_connections(const Job& job);
  void failed(Job& job, mlxbase::Error error, bool keep_record = true);
  void close(Job& job, bool keep_record);
  void stop_all(mlxbase::Error why);
  void resume_resting();
  void run_posted();
  std::uint32_t patience();
  double chance();
  mlxbase::Error error_for(const Job& job, const mlxbase::net::ResponseHead& head) const;
  bool all_finished() const;

  Setting at_;
  Blocks blocks_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<Connection> connections_;
  std::size_t next_to_open_ = 0;
  std::optional<mlxbase::Error> first_error_, stopping_;
  std::uint64_t random_;
  std::int64_t parts_told_ns_ = 0;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::unique_ptr<Pool> pool_;  // last: its threads end before anything that they use
};

}  // namespace mlxcache::fetch
