#include "mlxbase/net/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>

#include "mlxbase/core/bytes.h"
#include "mlxbase/net/transfer.h"

namespace mlxbase::net {
namespace {

constexpr std::chrono::milliseconds kStallCheck{250};
constexpr std::size_t kSpareHandles = 8;

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeShare {
  void operator()(CURLSH* share) const { curl_share_cleanup(share); }
};

/// libcurl's own start-up, once a process; never taken back, since other threads may be using it at the end.
bool start_libcurl() {
  static std::once_flag once;
  static CURLcode code = CURLE_OK;
  std::call_once(once, [] { code = curl_global_init(CURL_GLOBAL_DEFAULT); });
  return code == CURLE_OK;
}

class MultiClient final : public Client {
 public:
  explicit MultiClient(ClientOptions options) : options_(std::move(options)), share_(curl_share_init()), multi_(curl_multi_init()) {}
  MultiClient(const MultiClient&) = delete;
  MultiClient& operator=(const MultiClient&) = delete;
  ~MultiClient() override {
    for (auto& [id, transfer] : active_) curl_multi_remove_handle(multi_.get(), transfer->handle());
  }

  bool ready() {
    if (share_ == nullptr || multi_ == nullptr) return false;
    curl_share_setopt(share_.get(), CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);  // a second connection to a host shakes hands faster
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(std::max(options_.max_connections, 1U)));
    return true;
  }

  Result<TransferId> start(Request request, Sink& sink) override {
    TRY(check(request));
    if (options_.offline) return fail(Code::unsupported, fmt::format("{} {}: offline", request.method, request.url.shown()));
    const TransferId id = ++last_id_;
    waiting_.push_back(std::make_unique<Transfer>(id, std::move(request), sink));
    return id;
  }

  void resume(TransferId id) override { to_resume_.push_back(id); }

  void abandon(TransferId id) override {
    std::erase_if(waiting_, [&](const auto& transfer) { return transfer->id() == id; });
    const auto found = active_.find(id);
    if (found == active_.end()) return;
    found->second->drop_sink();
    if (inside_) {
      abandoned_.push_back(id);  // libcurl does not take a handle back in the middle of its own work
    } else {
      release(take(id));
    }
  }

  Status poll(std::uint32_t timeout_ms) override {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    bool called = resume_paused();
    for (;;) {
      called = start_waiting() || called;
      inside_ = true;
      int running = 0;
      const CURLMcode code = curl_multi_perform(multi_.get(), &running);
      inside_ = false;
      if (code != CURLM_OK) return fail(code == CURLM_OUT_OF_MEMORY ? Code::out_of_memory : Code::io, curl_multi_strerror(code));
      drop_abandoned();
      called = collect() || called;
      called = end_stalled() || called;
      for (auto& [id, transfer] : active_) called = transfer->take_called() || called;
      const auto now = std::chrono::steady_clock::now();
      if (woken_.exchange(false) || called || now >= until) return {};
      if (!waiting_.empty() && may_start(*waiting_.front())) continue;
      const auto wait = std::min(std::chrono::duration_cast<std::chrono::milliseconds>(until - now) + std::chrono::milliseconds(1), kStallCheck);
      curl_multi_poll(multi_.get(), nullptr, 0, static_cast<int>(wait.count()), nullptr);
    }
  }

  void wake() override {
    woken_ = true;
    curl_multi_wakeup(multi_.get());
  }

 private:
  bool may_start(const Transfer& transfer) const {
    if (active_.size() >= std::max(options_.max_connections, 1U)) return false;
    const auto found = per_host_.find(transfer.url().origin());
    return found == per_host_.end() || found->second < std::max(options_.max_connections_per_host, 1U);
  }

  /// Gives what is waiting to libcurl, oldest first, as far as the limits allow. True: a sink heard of a failure.
  bool start_waiting() {
    bool called = false;
    for (std::size_t i = 0; i < waiting_.size() && active_.size() < std::max(options_.max_connections, 1U);) {
      if (!may_start(*waiting_[i])) {
        ++i;
        continue;
      }
      auto transfer = std::move(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      called = give(std::move(transfer)) || called;
    }
    return called;
  }

  bool give(std::unique_ptr<Transfer> transfer) {
    Easy easy;
    if (!spare_.empty()) {
      easy = std::move(spare_.back());
      spare_.pop_back();
    } else {
      easy.reset(curl_easy_init());
    }
    auto ready = transfer->prepare(std::move(easy), share_.get(), options_);
    if (ready && curl_multi_add_handle(multi_.get(), transfer->handle()) != CURLM_OK) ready = fail(Code::out_of_memory, "HTTP: out of memory");
    if (!ready) {
      Sink* sink = transfer->sink();
      release(std::move(transfer));
      sink->on_done(std::move(ready));
      return true;
    }
    ++per_host_[transfer->url().origin()];
    active_.emplace(transfer->id(), std::move(transfer));
    return false;
  }

  /// Out of libcurl's hands and out of the books.
  std::unique_ptr<Transfer> take(TransferId id) {
    auto node = active_.extract(id);
    curl_multi_remove_handle(multi_.get(), node.mapped()->handle());
    const auto host = per_host_.find(node.mapped()->url().origin());
    if (--host->second == 0) per_host_.erase(host);
    return std::move(node.mapped());
  }

  void release(std::unique_ptr<Transfer> transfer) {
    auto easy = transfer->take_handle();
    if (easy != nullptr && spare_.size() < kSpareHandles) spare_.push_back(std::move(easy));
  }

  bool resume_paused() {
    inside_ = true;  // libcurl hands out at once what it had kept
    for (const auto id : std::exchange(to_resume_, {})) {
      if (const auto found = active_.find(id); found != active_.end()) found->second->resume();
    }
    inside_ = false;
    return false;
  }

  void drop_abandoned() {
    for (const auto id : std::exchange(abandoned_, {})) {
      if (active_.contains(id)) release(take(id));
    }
  }

  bool collect() {
    bool called = false;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      Transfer* which = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &which);
      const CURLcode code = message->data.result;  // the message is gone with the handle
      auto node = active_.find(which->id());
      if (node == active_.end()) continue;
      const auto host = per_host_.find(which->url().origin());
      if (--host->second == 0) per_host_.erase(host);
      auto transfer = std::move(node->second);
      active_.erase(node);
      const bool again = transfer->finish_step(code);
      curl_multi_remove_handle(multi_.get(), transfer->handle());
      if (transfer->sink() == nullptr) {
        release(std::move(transfer));
        continue;
      }
      if (again) {
        spare_.push_back(transfer->take_handle());
        called = give(std::move(transfer)) || called;
        continue;
      }
      end(std::move(transfer));
      called = true;
    }
    return called;
  }

  void end(std::unique_ptr<Transfer> transfer) {
    Sink* sink = transfer->sink();
    auto result = transfer->result();
    release(std::move(transfer));
    sink->on_done(std::move(result));
  }

  bool end_stalled() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_stall_check_) return false;
    next_stall_check_ = now + kStallCheck;
    std::vector<TransferId> stalled;
    for (const auto& [id, transfer] : active_) {
      if (transfer->stalled(now)) stalled.push_back(id);
    }
    for (const auto id : stalled) {
      if (!active_.contains(id)) continue;  // an on_done may have abandoned it
      auto transfer = take(id);
      transfer->fail_with(transfer->stall_error());
      end(std::move(transfer));
    }
    return !stalled.empty();
  }

  ClientOptions options_;
  std::unique_ptr<CURLSH, FreeShare> share_;  // outlives the handles that use it
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::vector<Easy> spare_;
  std::deque<std::unique_ptr<Transfer>> waiting_;
  std::map<TransferId, std::unique_ptr<Transfer>> active_;
  std::map<std::string, std::uint32_t> per_host_;
  std::vector<TransferId> to_resume_, abandoned_;
  TransferId last_id_ = 0;
  bool inside_ = false;
  std::atomic<bool> woken_{false};
  SteadyTime next_stall_check_{};
};

/// Keeps the whole answer.
class Collector final : public Sink {
 public:
  Status on_head(const ResponseHead& head) override {
    response.head = head;
    return {};
  }
  Status on_data(std::span<const std::byte> data) override {
    response.body += as_text(data);
    return {};
  }
  void on_done(Status result) override { done = std::move(result); }

  Response response;
  std::optional<Status> done;
};

}  // namespace

Result<std::unique_ptr<Client>> Client::make(ClientOptions options) {
  if (!start_libcurl()) return fail(Code::unsupported, "libcurl cannot start: is it installed?");
  auto client = std::make_unique<MultiClient>(std::move(options));
  if (!client->ready()) return fail(Code::out_of_memory, "HTTP: out of memory");
  return client;
}

Result<Response> Client::send(Request request, const Cancel* cancel) {
  constexpr std::uint32_t kLookAtCancelMs = 50;
  Collector collector;
  const auto shown = request.method + " " + request.url.shown();
  const TransferId id = TRY(start(std::move(request), collector));
  while (!collector.done) {
    if (cancel != nullptr && cancel->requested()) {
      abandon(id);
      return fail(Code::cancelled, shown + ": cancelled");
    }
    if (auto polled = poll(kLookAtCancelMs); !polled) {
      abandon(id);
      return fail(std::move(polled.error()));
    }
  }
  if (!*collector.done) return fail(std::move(collector.done->error()));
  return std::move(collector.response);
}

}  // namespace mlxbase::net
