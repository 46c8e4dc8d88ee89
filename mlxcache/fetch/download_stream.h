#pragma once
// One connection's work: a range of one file on its way into blocks.
#include <functional>
#include <optional>
#include <string>

#include "mlxbase/net/http.h"
#include "mlxcache/fetch/download_pool.h"
#include "mlxcache/fetch/download_state.h"

namespace mlxcache::fetch {

/// [begin, end)
struct Range {
  std::uint64_t begin = 0, end = 0;
  std::uint64_t size() const { return end - begin; }
};

/// `bytes a-b/total`; the total may be `*`.
struct ContentRange {
  std::uint64_t first = 0, last = 0;
  std::optional<std::uint64_t> total;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

/// The ETag as sent, else Last-Modified, else nothing.
std::string validator_of(const mlxbase::net::Headers& headers);
/// Whether it may be sent as If-Range: a strong ETag.
bool is_strong(std::string_view validator);

class Stream final : public mlxbase::net::Sink {
 public:
  enum class Outcome : std::uint8_t {
    done,       // the range is complete
    cut,        // `error` of the network; what came counts
    status,     // `head` is an answer that is no file
    no_ranges,  // the server sends the whole file, whatever is asked
    changed,    // another validator than before
    refused,    // `error`: an answer that cannot be right
  };
  struct Plan {
    std::uint64_t file_size = 0;
    Range range;
    bool whole = false;          // asked without a range: the answer is the file
  };
  struct Hooks {
    std::function<void(BlockPtr)> on_block;
    std::function<bool(std::string_view)> is_same_version;  // asked with the answer's validator
    std::function<void(const mlxbase::net::ResponseHead&)> on_accepted;
    std::function<void(std::size_t)> on_bytes;
    std::function<void(Outcome)> on_end;
  };
  Stream(Blocks& blocks, Hooks hooks) : blocks_(blocks), hooks_(std::move(hooks)) {}

  void begin(Plan plan);
  /// Ends sooner, at the border of a piece that has not been begun; what the server sends beyond is not read.
  void shorten(std::uint64_t end) { plan_.range.end = end; }
  /// Hands on what is in memory, and is idle.
  void leave();

  std::uint64_t position() const { return position_; }
  std::uint64_t end() const { return plan_.range.end; }
  bool progressed() const { return position_ > plan_.range.begin; }
  /// An answer with the wanted range has begun.
  bool accepted() const { return accepted_; }
  bool resting() const { return resting_; }
  void no_longer_resting() { resting_ = false; }
  const std::optional<mlxbase::net::ResponseHead>& head() const { return head_; }
  const mlxbase::Error& error() const { return error_; }

  mlxbase::Status on_head(const mlxbase::net::ResponseHead& head) override;
  mlxbase::Status on_data(std::span<const std::byte> data) override;
  void on_done(mlxbase::Status result) override;
  bool wants_data() override;

 private:
  mlxbase::Status end_with(Outcome outcome, std::string why = {});
  mlxbase::Status check_range(const mlxbase::net::ResponseHead& head);
  void hand_on();

  Blocks& blocks_;
  Hooks hooks_;
  Plan plan_;
  std::uint64_t position_ = 0;
  std::uint64_t asked_end_ = 0;  // plan_.range.end before it was shortened
  BlockPtr block_;
  std::size_t room_ = 0;  // of block_
  bool resting_ = false;
  bool accepted_ = false;
  std::optional<Outcome> outcome_;
  std::optional<mlxbase::net::ResponseHead> head_;
  mlxbase::Error error_;
};

}  // namespace mlxcache::fetch
