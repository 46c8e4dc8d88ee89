#pragma once
// The disk's side of one download: lock, part file, record, piece digests, and the hash of the whole, which follows the bytes in order
// while ranges arrive in any. Works on the pool's threads; what it has to say is posted to the thread that drives the network.
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/fetch/download.h"
#include "mlxcache/fetch/download_pool.h"
#include "mlxcache/fetch/download_state.h"

namespace mlxcache::fetch {

class DownloadFile {
 public:
  /// Called on the network's thread.
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual void on_opened(std::uint64_t bytes_here, std::string validator) = 0;
    virtual void on_locked_out() = 0;                        // another process works on it; open() may be tried again
    virtual void on_damaged(std::uint64_t piece) = 0;        // not on disk what the record said: fetch it again
    virtual void on_restarted() = 0;
    virtual void on_mismatch() = 0;                          // all bytes are here, and they are not what was wanted
    virtual void on_whole(Downloaded&& downloaded) = 0;      // confirmed, synced, under its final name
    virtual void on_failed(mlxbase::Error&& error) = 0;      // of the disk
    virtual void on_closed() = 0;
  };
  struct Tools {
    mlxbase::os::FileSystem& fs;
    Pool& pool;
    mlxbase::Clock& clock;
    std::function<void(std::function<void()>)> post;         // runs it on the network's thread
    Blocks& blocks;
    bool pieces;                                             // wanted: digests of pieces
  };
  DownloadFile(Tools tools, const Wanted& wanted, Listener& listener);
  DownloadFile(const DownloadFile&) = delete;
  DownloadFile& operator=(const DownloadFile&) = delete;

  // From the network's thread:
  void open();
  /// A block lies within one piece and begins where that piece's bytes end so far.
  void write(BlockPtr block);
  /// Whether blocks wait for being written, or for what comes of it.
  bool is_busy() const { return writes_ > 0 || settled_; }
  /// Everything again, from nothing. Blocks written before are forgotten.
  void restart();
  /// After a mismatch. Pieces that the disk no longer gives back as they came are wanted again, and no others. If there are none, all are, but what is here stays: each
  /// piece that comes otherwise than before is tried in the place of the first one, and what has not come again by then counts as it was.
  void look_again();
  void remember_validator(std::string validator);
  /// Ends it, recording (after a sync) what is here if `keep_record`.
  void close(bool keep_record);
  /// Bytes of each piece that are written or resumed.
  std::vector<std::uint32_t> have();
  /// After a mismatch and another try: the ranges that differed between the two, for people; empty if none or one try only.
  std::string ranges_that_differed();
  /// All of it came twice, in pieces that can be compared.
  bool came_twice();

  const std::string& path() const { return final_; }

 private:
  mlxbase::Status do_open();
  mlxbase::Status take_finished(const mlxbase::os::FileStat& stat);
  mlxbase::Status take_part();
  bool read_record();
  mlxbase::Status start_over();
  mlxbase::Status do_write(const BlockPtr& block);
  mlxbase::Status hash_piece(const BlockPtr& block, std::uint64_t piece);
  mlxbase::Status advance();
  mlxbase::Status check_resumed(std::uint64_t piece);
  mlxbase::Status hash_from_disk(std::uint64_t upto);
  void complete();
  mlxbase::Status do_restart();
  mlxbase::Status do_look_again();
  void rest_chain(bool follow);
  mlxbase::Status weigh(std::uint64_t piece);
  mlxbase::Status hash_range(std::uint64_t at, std::uint64_t length, const std::function<void(std::span<const std::byte>)>& each);
  mlxbase::Result<bool> measure_whole();
  mlxbase::Status do_finish();
  mlxbase::Result<bool> measure_pieces(bool last);
  mlxbase::Status save(bool last);
  void maybe_save();
  DownloadState snapshot();
  void schedule_advance();
  void guarded(Strand& strand, std::function<mlxbase::Status()> task);
  void tell(std::function<void(Listener&)> what);

  Tools tools_;
  const Wanted& wanted_;
  Listener& listener_;
  std::string part_, record_, final_;
  Strand writing_, chaining_, saving_;

  // Touched by `writing_` only (and by the others when it is at rest).
  std::unique_ptr<mlxbase::os::Lock> lock_;
  std::unique_ptr<mlxbase::os::File> file_;
  struct PieceHash {
    mlxbase::Hasher hasher;
    std::uint32_t have = 0;
  };
  std::map<std::uint64_t, PieceHash> piece_hashes_;  // in the second look
  struct PieceSum {
    std::uint64_t sum = 0;
    std::uint64_t bytes = 0;  // that came in this run
  };
  std::vector<PieceSum> sums_;
  std::uint64_t unsaved_ = 0;
  std::int64_t last_save_ns_ = 0;
  bool second_look_ = false;   // bytes come again to be held against those that are here
  bool untried_ = false;       // a piece came otherwise and the whole was not measured since
  unsigned trials_left_ = 0;

  // Touched by `chaining_` only.
  std::optional<mlxbase::Sha256Chain> sha256_;
  std::optional<mlxbase::Hasher> git_sha1_;
  std::unique_ptr<std::byte[]> buffer_;

  // Touched by `saving_` only.
  std::unique_ptr<mlxbase::os::File> sync_file_;

  std::mutex mutex_;  // the rest
  std::vector<DownloadState::Piece> pieces_;
  std::vector<bool> to_check_;  // resumed, with a digest to be held against
  std::vector<mlxbase::Digest> earlier_;
  std::string validator_;
  std::map<std::uint64_t, BlockPtr> in_memory_;
  std::uint64_t frontier_ = 0;
  std::uint64_t round_ = 0;       // counts the times that all of it began anew
  bool advancing_ = false;
  bool save_scheduled_ = false;
  bool record_exists_ = false;
  bool finished_before_ = false;  // the file lay there whole
  bool stopped_ = false;          // failed, complete or closed
  mlxbase::Digest measured_;
  std::vector<mlxbase::ChainLink> links_;  // with it
  std::atomic<bool> closing_{false};
  std::atomic<bool> settled_{false};  // the second look has found the right bytes
  std::atomic<std::size_t> writes_{0};
};

}  // namespace mlxcache::fetch
