#include "mlxcache/fetch/download_engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::fetch {

using namespace mlxbase;

namespace {

constexpr std::size_t kBlocksPerConnection = 16;      // 4 MiB
constexpr std::uint64_t kBulkBytes = std::uint64_t{1} << 20U;
constexpr std::int64_t kLockedOutNs = 500'000'000;
constexpr std::int64_t kHeldUpNs = 300'000'000;
constexpr std::int64_t kPartsNs = 100'000'000;
constexpr std::size_t kPartsShown = 8;
constexpr std::uint64_t kWorthTaking = 2 * kPieceBytes;  // less is there before a new connection is
constexpr std::uint32_t kLookMs = 50;                 // how soon a cancel is noticed
constexpr std::int64_t kNsPerMs = 1'000'000;

}  // namespace

struct DownloadEngine::Job final : DownloadFile::Listener {
  Job(DownloadEngine& owner, const Wanted& what, std::size_t number, DownloadFile::Tools tools)
      : engine(owner), wanted(what), index(number), file(std::move(tools), what, *this) {}

  void on_opened(std::uint64_t bytes_here, std::string seen) override {
    if (phase != Phase::opening) return;
    phase = Phase::running;
    validator = std::move(seen);
    resumed = bytes_here;
    engine.resumed(bytes_here);
    engine.plan_missing(*this);
  }
  void on_locked_out() override {
    if (phase != Phase::opening) return;
    phase = Phase::locked_out;
    retry_at = engine.at_.clock.steady_ns() + kLockedOutNs;
    if (!std::exchange(told_of_lock, true)) engine.at_.progress.item(wanted.name + ": another process downloads it; waiting");
  }
  void on_damaged(std::uint64_t piece) override {
    if (phase != Phase::running) return;
    pending.push_back({piece * kPieceBytes, piece * kPieceBytes + piece_size(wanted.size, piece)});
  }
  void on_restarted() override {
    if (phase != Phase::restarting) return;
    phase = Phase::running;
    engine.plan_missing(*this);
  }
  void on_mismatch() override {
    if (phase != Phase::running) return;
    if (++mismatches >= 2) {
      std::string where = file.ranges_that_differed();
      if (!where.empty()) {
        where = fmt::format("; between two tries {} differed", where);
      } else if (file.came_twice()) {
        where = "; they came twice and were the same: the server has another file than it lists";
      }
      engine.failed(*this, {Code::corrupt, fmt::format("{}: the bytes are not those of {}{}", printable(wanted.name), wanted.digest.to_string(), where), 0}, false);
      return;
    }
    if (url + 1 < wanted.urls.size()) ++url;
    engine.restart(*this, one_stream, true);
  }
  void on_whole(Downloaded&& downloaded) override {
    if (phase == Phase::finished) return;
    downloaded.bytes_transferred = transferred;
    if (phase != Phase::closing) {
      auto told = engine.at_.on_file ? engine.at_.on_file(index, std::move(downloaded)) : Status{};
      if (!told) engine.stop_all(std::move(told.error()));
    }
    engine.close(*this, false);
  }
  void on_failed(Error&& error) override { engine.failed(*this, std::move(error)); }
  void on_closed() override { phase = Phase::finished; }

  DownloadEngine& engine;
  const Wanted& wanted;
  std::size_t index;
  DownloadFile file;
  Phase phase = Phase::waiting;
  std::deque<Range> pending;
  std::size_t active = 0;
  std::size_t url = 0;
  std::optional<net::Url> direct;  // where a redirect led to: later ranges ask there at once
  std::string validator;
  std::uint64_t resumed = 0, transferred = 0;
  std::int64_t retry_at = 0;
  std::uint32_t mismatches = 0, changes = 0, restarts = 0;
  bool one_stream = false;         // the server knows no ranges
  bool told_of_lock = false;
};

DownloadEngine::DownloadEngine(Setting setting, const std::vector<Wanted>& wanted)
    : at_(setting),
      blocks_(kBlocksPerConnection * std::max(setting.options.connections, 1U), [this] { at_.client.wake(); }),
      random_(static_cast<std::uint64_t>(setting.clock.wall_ns()) | 1U) {
  const unsigned threads = at_.options.hash_threads != 0 ? at_.options.hash_threads : worker_count();
  pool_ = std::make_unique<Pool>(threads);
  const auto post = [this](std::function<void()> what) {
    {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(what));
    }
    at_.client.wake();
  };
  std::set<std::string> seen;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!seen.insert(wanted[i].folder + "/" + wanted[i].digest.hex()).second) continue;  // the same bytes: once
    jobs_.push_back(std::make_unique<Job>(*this, wanted[i], i,
                                          DownloadFile::Tools{.fs = at_.fs, .pool = *pool_, .clock = at_.clock, .post = post, .blocks = blocks_, .pieces = at_.options.pieces}));
  }
  connections_.resize(std::max(at_.options.connections, 1U));
  for (auto& connection : connections_) {
    Connection* own = &connection;
    connection.stream = std::make_unique<Stream>(
        blocks_, Stream::Hooks{.on_block = [own](BlockPtr block) { own->job->file.write(std::move(block)); },
                               .is_same_version =
                                   [own](std::string_view now) {  // another source may name it otherwise
                                     const Job& job = *own->job;
                                     return own->url != job.url || now.empty() || job.validator.empty() || now == job.validator;
                                   },
                               .on_accepted =
                                   [own](const net::ResponseHead& head) {
                                     Job& job = *own->job;
                                     if (own->url == job.url && !job.wanted.urls[own->url].same_origin(head.url)) job.direct = head.url;
                                     if (own->url != job.url || !job.validator.empty()) return;
                                     job.validator = validator_of(head.headers);
                                     job.file.remember_validator(job.validator);
                                   },
                               .on_bytes =
                                   [this, own](std::size_t n) {
                                     own->job->transferred += n;
                                     at_.progress.advance(n);
                                   },
                               .on_end = [this, own](Stream::Outcome outcome) { ended(*own, outcome); }});
  }
}

DownloadEngine::~DownloadEngine() = default;

Status DownloadEngine::run() {
  std::uint64_t total = 0;
  for (const auto& job : jobs_) total += job->wanted.size;
  at_.progress.stage("downloading", total, true);
  for (;;) {
    run_posted();
    if (at_.cancel != nullptr && at_.cancel->requested() && !stopping_) {
      stop_all({Code::cancelled, "download: cancelled; what is here is kept, and a second run goes on from there", 0});
    }
    if (all_finished()) break;
    if (!stopping_) {
      try_again();
      open_more();
      assign();
    }
    tell_parts();
    resume_resting();
    if (auto polled = at_.client.poll(patience()); !polled) stop_all(std::move(polled.error()));
  }
  if (stopping_) return fail(std::move(*stopping_));
  if (first_error_) return fail(std::move(*first_error_));
  return {};
}

bool DownloadEngine::all_finished() const {
  return std::ranges::all_of(jobs_, [&](const auto& job) { return job->phase == Phase::finished || (stopping_ && job->phase == Phase::waiting); });
}

void DownloadEngine::run_posted() {
  std::vector<std::function<void()>> now;
  {
    const std::lock_guard lock(mutex_);
    now.swap(posted_);
  }
  for (auto& what : now) what();
}

/// A few files ahead of the connections, so that opening and syncing small ones costs no waiting.
void DownloadEngine::open_more() {
  std::size_t hungry = 0, open = 0;
  for (std::size_t i = 0; i < next_to_open_; ++i) {
    const auto& job = *jobs_[i];
    open += job.phase != Phase::finished;
    hungry += job.phase == Phase::opening || (job.phase == Phase::running && (!job.pending.empty() || job.active > 0));
  }
  const std::size_t ahead = connections_.size() + 2;
  for (; next_to_open_ < jobs_.size() && hungry < ahead && open < 4 * ahead && !stopping_; ++next_to_open_, ++hungry, ++open) {
    auto& job = *jobs_[next_to_open_];
    at_.progress.item(job.wanted.name);
    if (job.wanted.size > kMaxDownload || (job.wanted.urls.empty() && job.wanted.size > 0)) {
      job.phase = Phase::finished;
      if (!first_error_) first_error_ = Error{Code::invalid, fmt::format("{}: nowhere to download it from", printable(job.wanted.name)), 0};
      continue;
    }
    begin(job);
  }
}

void DownloadEngine::begin(Job& job) {
  if (at_.before_file) {
    const auto answer = at_.before_file(job.index);
    if (!answer) {
      job.phase = Phase::finished;
      stop_all(answer.error());
      return;
    }
    if (*answer == Begin::later) {
      job.phase = Phase::held_up;
      job.retry_at = at_.clock.steady_ns() + kHeldUpNs;
      return;
    }
    if (*answer == Begin::never) {
      job.phase = Phase::finished;
      resumed(job.wanted.size);
      return;
    }
  }
  job.phase = Phase::opening;
  job.file.open();
}

void DownloadEngine::try_again() {
  const auto now = at_.clock.steady_ns();
  for (std::size_t i = 0; i < next_to_open_ && !stopping_; ++i) {
    auto& job = *jobs_[i];
    if ((job.phase == Phase::locked_out || job.phase == Phase::held_up) && now >= job.retry_at) begin(job);
  }
}

void DownloadEngine::resumed(std::uint64_t bytes) {
  at_.progress.advance(bytes);
  if (at_.options.on_resumed) at_.options.on_resumed(bytes);
}

void DownloadEngine::tell_parts() {
  const auto now = at_.clock.steady_ns();
  if (!at_.options.on_parts || now - parts_told_ns_ < kPartsNs) return;
  parts_told_ns_ = now;
  std::vector<Part> parts;
  for (std::size_t i = 0; i < next_to_open_ && parts.size() < kPartsShown; ++i) {
    auto& job = *jobs_[i];
    if (job.phase != Phase::running) continue;
    Part part{.name = job.wanted.name, .done = 0, .total = job.wanted.size};
    for (const auto piece : job.file.have()) part.done += piece;
    parts.push_back(part);
  }
  at_.options.on_parts(parts);
}

/// What is not here yet, in order, in stretches that give every connection something to do.
void DownloadEngine::plan_missing(Job& job) {
  job.pending.clear();
  const std::uint64_t size = job.wanted.size;
  if (job.one_stream) {
    if (size > 0) job.pending.push_back({0, size});
    return;
  }
  const auto have = job.file.have();
  const std::uint64_t share = size / connections_.size() / kPieceBytes * kPieceBytes;
  const std::uint64_t most = job.mismatches > 0 ? kPieceBytes : std::max(at_.options.range_bytes / kPieceBytes * kPieceBytes, kPieceBytes);
  const std::uint64_t longest = std::clamp(share, kPieceBytes, most);
  for (std::uint64_t i = 0; i < have.size(); ++i) {
    const Range missing{i * kPieceBytes + have[i], i * kPieceBytes + piece_size(size, i)};
    if (missing.begin == missing.end) continue;
    auto& pending = job.pending;
    if (!pending.empty() && pending.back().end == missing.begin && missing.end - pending.back().begin <= longest) {
      pending.back().end = missing.end;
    } else {
      pending.push_back(missing);
    }
  }
}

bool DownloadEngine::take_range(Job& job, Connection& connection) {
  if (job.phase != Phase::running || job.pending.empty()) return false;
  // Bytes that are here already and are not right come one piece after the other: each may be the last that is needed.
  if (job.mismatches > 0 && (job.active > 0 || job.file.is_busy())) return false;
  connection.job = &job;
  connection.range = job.pending.front();
  connection.attempt = 0;
  connection.retry_at = 0;
  job.pending.pop_front();
  ++job.active;
  return true;
}

void DownloadEngine::assign() {
  const auto now = at_.clock.steady_ns();
  std::size_t from = 0;
  for (auto& connection : connections_) {
    if (connection.job == nullptr) {
      while (from < next_to_open_ && !take_range(*jobs_[from], connection)) ++from;
      if (connection.job == nullptr && !take_half(connection)) continue;
    }
    if (connection.transfer == 0 && now >= connection.retry_at) ask(connection);
  }
}

/// Towards the end some connections have nothing left to do while one has long to go: then half of what that one has not begun is taken over.
bool DownloadEngine::take_half(Connection& idle) {
  if (next_to_open_ < jobs_.size()) return false;
  Connection* slowest = nullptr;
  std::uint64_t most = 0;
  for (auto& connection : connections_) {
    if (connection.job == nullptr || connection.transfer == 0 || connection.whole || connection.job->phase != Phase::running || connection.job->mismatches > 0) continue;
    if (!connection.stream->accepted()) continue;  // it may turn out that this server knows no ranges
    const std::uint64_t left = connection.stream->end() - connection.stream->position();
    if (left > most) {
      most = left;
      slowest = &connection;
    }
  }
  if (slowest == nullptr || most < kWorthTaking) return false;
  Job& job = *slowest->job;
  const std::uint64_t end = slowest->stream->end();
  const std::uint64_t middle = (slowest->stream->position() + most / 2 + kPieceBytes - 1) / kPieceBytes * kPieceBytes;
  if (middle >= end) return false;
  slowest->stream->shorten(middle);
  slowest->range.end = middle;
  job.pending.push_front({middle, end});
  return take_range(job, idle);
}

void DownloadEngine::ask(Connection& connection) {
  Job& job = *connection.job;
  connection.url = job.url;
  connection.direct = job.direct.has_value();
  connection.whole = connection.range.begin == 0 && connection.range.end == job.wanted.size;
  net::Request request;
  request.url = connection.direct ? *job.direct : job.wanted.urls[job.url];
  request.credential = job.wanted.credential;
  request.redirects = net::Redirects::any;
  request.max_body = job.wanted.size;
  request.bulk = connection.range.size() > kBulkBytes;
  if (!connection.whole) {
    request.range = net::ByteRange{connection.range.begin, connection.range.end - 1};
    if (is_strong(job.validator)) request.headers.push_back({"If-Range", job.validator});
  }
  connection.stream->begin({.file_size = job.wanted.size, .range = connection.range, .whole = connection.whole});
  auto started = at_.client.start(std::move(request), *connection.stream);
  if (!started) {
    failed(job, {started.error().code, fmt::format("{}: {}", printable(job.wanted.name), started.error().message), 0});
    return;
  }
  connection.transfer = *started;
}

void DownloadEngine::release(Connection& connection) {
  --connection.job->active;
  connection.job = nullptr;
  connection.transfer = 0;
}

void DownloadEngine::drop_connections(const Job& job) {
  for (auto& connection : connections_) {
    if (connection.job != &job) continue;
    if (connection.transfer != 0) at_.client.abandon(connection.transfer);
    connection.stream->leave();
    release(connection);
  }
}

void DownloadEngine::ended(Connection& connection, Stream::Outcome outcome) {
  Job& job = *connection.job;
  Stream& stream = *connection.stream;
  connection.transfer = 0;
  if (stream.progressed()) connection.attempt = 0;
  connection.range.begin = stream.position();
  switch (outcome) {
    case Stream::Outcome::done: release(connection); return;
    case Stream::Outcome::cut: repeat(connection, &stream.error(), nullptr); return;
    case Stream::Outcome::status: bad_status(connection); return;
    case Stream::Outcome::no_ranges: restart(job, true); return;
    case Stream::Outcome::changed:
      if (++job.changes >= 2) {
        failed(job, {Code::changed, fmt::format("{}: the server's file changes while it is downloaded", printable(job.wanted.name)), 0}, false);
      } else {
        restart(job, job.one_stream);
      }
      return;
    case Stream::Outcome::refused:
      next_source(connection, {stream.error().code, fmt::format("{}: {}", printable(job.wanted.name), stream.error().message), 0});
      return;
  }
}

/// Everything of this file again. Without ranges that is also how a broken connection is mended, so it must come to an end.
void DownloadEngine::restart(Job& job, bool one_stream, bool bytes_are_here) {
  drop_connections(job);
  if (++job.restarts > at_.options.retry.attempts) {
    failed(job, {Code::io, fmt::format("{}: begun {} times without reaching the end", printable(job.wanted.name), job.restarts), 0});
    return;
  }
  job.one_stream = one_stream;
  job.pending.clear();
  job.validator.clear();
  job.direct.reset();
  job.phase = Phase::restarting;
  bytes_are_here ? job.file.look_again() : job.file.restart();
}

void DownloadEngine::repeat(Connection& connection, const Error* error, const net::ResponseHead* head) {
  Job& job = *connection.job;
  const bool progressed = connection.stream->progressed();
  if (job.one_stream && progressed) {
    restart(job, true);
    return;
  }
  if (connection.url != job.url) {  // meanwhile another source was chosen
    connection.retry_at = 0;
    return;
  }
  if (progressed && head == nullptr) {  // the line broke in the middle: no reason to wait
    connection.retry_at = 0;
    return;
  }
  const auto wait = net::wait_before(at_.options.retry, ++connection.attempt, error, head, chance());
  if (!wait) {
    next_source(connection, error != nullptr ? Error{error->code, fmt::format("{}: {}", printable(job.wanted.name), error->message), error->os_errno}
                                             : error_for(job, *head));
    return;
  }
  connection.retry_at = at_.clock.steady_ns() + std::int64_t{*wait} * kNsPerMs;
}

void DownloadEngine::bad_status(Connection& connection) {
  Job& job = *connection.job;
  const net::ResponseHead& head = *connection.stream->head();
  const int status = head.status;
  const bool elsewhere = !head.url.same_origin(job.wanted.urls[connection.url]);
  const bool expired = elsewhere && (status == 400 || status == 401 || status == 403 || status == 404 || status == 410);
  if (expired) {
    // A signed address lives for a while only; the source gives a new one.
    job.direct.reset();
    if (connection.direct) {
      connection.retry_at = 0;
      if (++connection.attempt < at_.options.retry.attempts) return;
    } else {
      net::ResponseHead as_if;
      as_if.status = 503;
      if (const auto wait = net::wait_before(at_.options.retry, ++connection.attempt, nullptr, &as_if, chance())) {
        connection.retry_at = at_.clock.steady_ns() + std::int64_t{*wait} * kNsPerMs;
        return;
      }
    }
    next_source(connection, error_for(job, head));
    return;
  }
  repeat(connection, nullptr, &head);
}

/// This source is of no use: the next one, or the end. What has come so far stays: the digest decides over all of it.
void DownloadEngine::next_source(Connection& connection, Error error) {
  Job& job = *connection.job;
  if (connection.url != job.url) {
    connection.retry_at = 0;
    return;
  }
  if (job.url + 1 >= job.wanted.urls.size()) {
    failed(job, std::move(error));
    return;
  }
  ++job.url;
  job.direct.reset();
  job.validator.clear();
  connection.attempt = 0;
  connection.retry_at = 0;
}

Error DownloadEngine::error_for(const Job& job, const net::ResponseHead& head) const {
  Code code = Code::io;
  switch (head.status) {
    case 401: case 403: code = Code::permission; break;
    case 404: case 410: code = Code::not_found; break;
    case 416: code = Code::changed; break;
    case 429: code = Code::busy; break;
    default: break;
  }
  return {code, fmt::format("{}: {} answers {}", printable(job.wanted.name), head.url.shown(), head.status), 0};
}

void DownloadEngine::failed(Job& job, Error error, bool keep_record) {
  if (job.phase == Phase::closing || job.phase == Phase::finished) return;
  if (!first_error_) first_error_ = std::move(error);
  close(job, keep_record);
}

void DownloadEngine::close(Job& job, bool keep_record) {
  if (job.phase == Phase::closing || job.phase == Phase::finished) return;
  drop_connections(job);
  job.pending.clear();
  job.phase = Phase::closing;
  job.file.close(keep_record);
}

void DownloadEngine::stop_all(Error why) {
  if (stopping_) return;
  stopping_ = std::move(why);
  for (auto& job : jobs_) {
    if (job->phase == Phase::locked_out || job->phase == Phase::held_up) job->phase = Phase::opening;  // its file holds nothing
    if (job->phase != Phase::waiting) close(*job, true);
  }
}

void DownloadEngine::resume_resting() {
  for (auto& connection : connections_) {
    if (connection.transfer == 0 || !connection.stream->resting()) continue;
    if (!blocks_.available()) return;
    connection.stream->no_longer_resting();
    at_.client.resume(connection.transfer);
  }
}

std::uint32_t DownloadEngine::patience() {
  const auto now = at_.clock.steady_ns();
  std::int64_t wait = std::int64_t{kLookMs} * kNsPerMs;
  for (const auto& connection : connections_) {
    if (connection.job != nullptr && connection.transfer == 0) wait = std::min(wait, connection.retry_at - now);
  }
  {
    const std::lock_guard lock(mutex_);
    if (!posted_.empty()) wait = 0;
  }
  return static_cast<std::uint32_t>(std::max<std::int64_t>(wait, 0) / kNsPerMs);
}

double DownloadEngine::chance() {
  random_ ^= random_ << 13U;
  random_ ^= random_ >> 7U;
  random_ ^= random_ << 17U;
  return static_cast<double>(random_ >> 11U) / static_cast<double>(std::uint64_t{1} << 53U);
}

}  // namespace mlxcache::fetch
