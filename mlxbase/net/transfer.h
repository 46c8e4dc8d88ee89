#pragma once
// One request on its way: an easy handle of libcurl, what has arrived so far, and the redirects, which are followed here so that every
// step passes the same checks. Private to this room.
#include <curl/curl.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "mlxbase/net/http.h"

namespace mlxbase::net {

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Easy = std::unique_ptr<CURL, FreeEasy>;
using SteadyTime = std::chrono::steady_clock::time_point;

/// Errors: invalid, as Client::start says.
Status check(const Request& request);

class Transfer {
 public:
  Transfer(TransferId id, Request request, Sink& sink) : id_(id), request_(std::move(request)), sink_(&sink), url_(request_.url) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  TransferId id() const { return id_; }
  const Url& url() const { return url_; }
  CURL* handle() const { return easy_.get(); }

  /// Makes `easy` ready to ask for url().
  Status prepare(Easy easy, CURLSH* shared, const ClientOptions& options);
  /// The handle, once it is out of the multi handle.
  Easy take_handle();

  /// libcurl is done with this step. True: a redirect is to be followed, prepare() again; otherwise result() holds.
  bool finish_step(CURLcode code);
  Status result() { return result_ ? std::move(*result_) : Status{}; }
  Sink* sink() const { return sink_; }
  /// The sink is not called again; libcurl is told to stop at its next call.
  void drop_sink() { sink_ = nullptr; }

  bool paused() const { return paused_; }
  /// Whether its sink was called since the last look.
  bool take_called() { return std::exchange(called_, false); }
  void resume();
  /// Ends it from outside, as a stall does.
  void fail_with(Error error) { result_ = fail(std::move(error)); }
  bool stalled(SteadyTime now) const { return !paused_ && now - last_byte_ > std::chrono::milliseconds(request_.stall_timeout_ms); }
  Error stall_error() const;

 private:
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  Status header_line(std::string_view line);
  Status head_complete();
  Status body(std::span<const std::byte> data);
  Result<std::optional<Url>> redirect_target() const;
  Error error_of(CURLcode code) const;
  std::string shown() const { return request_.method + " " + url_.shown(); }

  TransferId id_;
  Request request_;
  Sink* sink_;
  Url url_;
  Easy easy_;
  std::unique_ptr<curl_slist, FreeList> lines_;
  std::array<char, CURL_ERROR_SIZE> detail_{};

  ResponseHead head_;
  std::size_t head_bytes_ = 0;
  bool in_head_ = false;
  bool head_done_ = false;
  std::optional<Url> next_;        // the answer is a redirect that is followed
  std::uint32_t redirects_ = 0;
  bool credential_left_behind_ = false;
  bool through_proxy_ = false;
  std::uint64_t body_bytes_ = 0;
  bool paused_ = false;
  bool called_ = false;
  SteadyTime last_byte_;
  std::optional<Status> result_;
};

}  // namespace mlxbase::net
