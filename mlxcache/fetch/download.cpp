#include "mlxcache/fetch/download.h"

#include <fmt/format.h>

#include <chrono>
#include <random>
#include <thread>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/fetch/download_engine.h"

namespace mlxcache::fetch {

using namespace mlxbase;

std::string lock_of(const Wanted& wanted) { return wanted.folder + "/" + wanted.digest.hex() + ".lock"; }

Status download(os::FileSystem& fs, net::Client& client, Clock& clock, const std::vector<Wanted>& wanted, const DownloadOptions& options,
                Progress& progress, const Cancel* cancel, const OnFile& on_file, const BeforeFile& before_file) {
  for (const auto& file : wanted) {
    const auto algorithm = file.digest.algorithm();
    if (algorithm != Algorithm::sha256 && algorithm != Algorithm::git_sha1) {
      return fail(Code::invalid, fmt::format("{}: no digest by which its bytes could be confirmed", printable(file.name)));
    }
  }
  DownloadEngine engine({.fs = fs, .client = client, .clock = clock, .options = options, .progress = progress, .cancel = cancel, .on_file = on_file,
                         .before_file = before_file},
                        wanted);
  return engine.run();
}

namespace {

/// Sleeps in steps short enough to notice a cancel. False: cancelled.
bool wait_ms(std::uint32_t ms, const Cancel* cancel) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (std::chrono::steady_clock::now() < until) {
    if (cancel != nullptr && cancel->requested()) return false;
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(std::chrono::milliseconds(50), until - std::chrono::steady_clock::now()));
  }
  return cancel == nullptr || !cancel->requested();
}

Result<std::vector<std::byte>> bytes_of(const net::Response& answer, const Wanted& wanted, std::uint64_t offset, std::uint64_t length) {
  const auto refused = [&](std::string_view why) { return fail(Code::corrupt, fmt::format("{}: {}", printable(wanted.name), why)); };
  std::string_view body = answer.body;
  if (answer.head.status == 206) {
    const auto range = parse_content_range(net::find_header(answer.head.headers, "Content-Range").value_or(""));
    if (!range || range->first != offset || range->last != offset + length - 1) return refused("the server sends another range than was asked for");
    if (range->total && *range->total != wanted.size) return fail(Code::changed, fmt::format("{}: the server's file has another size", printable(wanted.name)));
  } else {
    if (body.size() != wanted.size) return refused("the server's file has another size");
    body = body.substr(offset, length);
  }
  if (body.size() != length) return refused("the server's answer is too short");
  const auto bytes = as_bytes(body);
  return std::vector<std::byte>(bytes.begin(), bytes.end());
}

Error status_error(const Wanted& wanted, int status) {
  const Code code = status == 401 || status == 403 ? Code::permission
                    : status == 404 || status == 410 ? Code::not_found
                    : status == 416                  ? Code::changed
                    : status == 429                  ? Code::busy
                                                     : Code::io;
  return {code, fmt::format("{}: the server answers {}", printable(wanted.name), status), 0};
}

}  // namespace

Result<std::vector<std::byte>> fetch_range(net::Client& client, const Wanted& wanted, std::uint64_t offset, std::uint64_t length,
                                           const net::RetryPolicy& retry, const Cancel* cancel) {
  // A server without ranges sends everything: of a file of one piece that is taken, of a larger one it would come once for every piece.
  constexpr std::uint64_t kMostWhole = kPieceBytes;
  if (offset > wanted.size || length > wanted.size - offset) return fail(Code::invalid, fmt::format("{}: a range beyond its end", printable(wanted.name)));
  if (length == 0) return std::vector<std::byte>{};
  std::minstd_rand random{std::random_device{}()};
  std::optional<Error> last;
  for (const auto& url : wanted.urls) {
    for (std::uint32_t attempt = 1;; ++attempt) {
      net::Request request;
      request.url = url;
      request.credential = wanted.credential;
      request.redirects = net::Redirects::any;
      request.bulk = length > (1U << 20U);
      request.range = net::ByteRange{offset, offset + length - 1};
      request.max_body = std::max(length, std::min(wanted.size, kMostWhole));
      auto answer = client.send(std::move(request), cancel);
      if (answer && (answer->head.status == 206 || answer->head.status == 200)) {
        auto bytes = bytes_of(*answer, wanted, offset, length);
        if (bytes) return bytes;
        last = std::move(bytes.error());
        break;
      }
      if (!answer && answer.error().code == Code::cancelled) return fail(std::move(answer.error()));
      const double chance = static_cast<double>(random()) / static_cast<double>(std::minstd_rand::max());
      const auto wait = net::wait_before(retry, attempt, answer ? nullptr : &answer.error(), answer ? &answer->head : nullptr, chance);
      last = answer ? status_error(wanted, answer->head.status) : std::move(answer.error());
      if (!wait) break;
      if (!wait_ms(*wait, cancel)) return fail(Code::cancelled, fmt::format("{}: cancelled", printable(wanted.name)));
    }
  }
  if (!last) return fail(Code::invalid, fmt::format("{}: nowhere to download it from", printable(wanted.name)));
  return fail(std::move(*last));
}

}  // namespace mlxcache::fetch
