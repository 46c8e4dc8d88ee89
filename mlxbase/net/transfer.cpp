#include "mlxbase/net/transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/net/proxy.h"

namespace mlxbase::net {
namespace {

constexpr std::size_t kMaxHeadBytes = std::size_t{256} << 10U;
constexpr std::size_t kMaxHeaders = 256;
constexpr std::uint64_t kMaxRedirectBody = 64 << 10;  // read for the connection's sake; a longer one costs more than a new connection
constexpr long kBulkBuffer = 512L << 10;
constexpr long kSmallBuffer = 64L << 10;

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool same_name(std::string_view a, std::string_view b) {
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, {}, low, low);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

/// Options that differ in type go through one door, so that no result is forgotten.
class Setter {
 public:
  explicit Setter(CURL* easy) : easy_(easy) {}
  template <class T>
  void operator()(CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(easy_, option, value);
    if (worst_ == CURLE_OK) worst_ = code;
  }
  CURLcode worst() const { return worst_; }

 private:
  CURL* easy_;
  CURLcode worst_ = CURLE_OK;
};

}  // namespace

std::optional<std::string> find_header(const Headers& headers, std::string_view name) {
  const auto found = std::find_if(headers.rbegin(), headers.rend(), [&](const Header& header) { return same_name(header.name, name); });
  if (found == headers.rend()) return std::nullopt;
  return found->value;
}

Status check(const Request& request) {
  if (request.url.empty()) return fail(Code::invalid, "request without a URL");
  if (request.method != "GET" && request.method != "HEAD" && request.method != "POST") {
    return fail(Code::invalid, fmt::format("request method {}", printable(request.method)));
  }
  for (const auto& [name, value] : request.headers) {
    if (!is_token(name)) return fail(Code::invalid, fmt::format("request header '{}': not a name", printable(name)));
    if (same_name(name, "Authorization") || same_name(name, "Cookie") || same_name(name, "Proxy-Authorization")) {
      return fail(Code::invalid, fmt::format("request header {}: a secret belongs into Request::credential", name));
    }
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) return fail(Code::invalid, fmt::format("request header {}: a line break", name));
  }
  if (request.credential && request.credential->bearer.reveal().find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
    return fail(Code::invalid, "the access token holds a line break");
  }
  return {};
}

Status Transfer::prepare(Easy easy, CURLSH* shared, const ClientOptions& options) {
  if (easy == nullptr) return fail(Code::out_of_memory, "HTTP: out of memory");
  easy_ = std::move(easy);
  curl_easy_reset(easy_.get());
  // After some ends (no address found, HTTP/2) a handle still has its buffer, and libcurl refuses it another size: a new one then.
  if (curl_easy_setopt(easy_.get(), CURLOPT_BUFFERSIZE, request_.bulk ? kBulkBuffer : kSmallBuffer) != CURLE_OK) {
    easy_.reset(curl_easy_init());
    if (easy_ == nullptr) return fail(Code::out_of_memory, "HTTP: out of memory");
  }
  head_ = {};
  head_.url = url_;
  head_bytes_ = body_bytes_ = 0;
  in_head_ = head_done_ = paused_ = false;
  next_.reset();
  last_byte_ = std::chrono::steady_clock::now();

  Setter set(easy_.get());
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_SHARE, shared);
  set(CURLOPT_ERRORBUFFER, detail_.data());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout_ms));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(request_.bulk ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_BUFFERSIZE, request_.bulk ? kBulkBuffer : kSmallBuffer);
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(CURLOPT_URL, url_.text().c_str());
  set(CURLOPT_PATH_AS_IS, 1L);  // it is normalised already
  if (!options.user_agent.empty()) set(CURLOPT_USERAGENT, options.user_agent.c_str());

  const Proxy proxy = choose_proxy(url_, options.proxy, options.variable);
  through_proxy_ = !proxy.url.empty();
  set(CURLOPT_PROXY, proxy.url.c_str());  // set even if empty: libcurl then leaves the environment alone
  set(CURLOPT_NOPROXY, proxy.no_proxy.c_str());
  std::string ca_file = options.ca_file;
  if (ca_file.empty() && options.variable) ca_file = options.variable("SSL_CERT_FILE").value_or("");
  if (!ca_file.empty()) {
    set(CURLOPT_CAINFO, ca_file.c_str());
    set(CURLOPT_PROXY_CAINFO, ca_file.c_str());
  }

  if (request_.method == "HEAD") set(CURLOPT_NOBODY, 1L);
  if (request_.method == "POST") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.c_str());
  }
  lines_.reset();
  bool whole = true;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(lines_.get(), line.c_str());
    if (longer == nullptr) {
      whole = false;
      return;
    }
    (void)lines_.release();
    lines_.reset(longer);
  };
  add("Accept-Encoding: identity");
  add("Expect:");
  for (const auto& [name, value] : request_.headers) add(value.empty() ? name + ";" : name + ": " + value);
  if (request_.range) {
    add(fmt::format("Range: bytes={}-{}", request_.range->first, request_.range->last ? fmt::to_string(*request_.range->last) : ""));
  }
  const bool bare = through_proxy_ && url_.scheme() != "https";  // the proxy would read it
  if (request_.credential && !request_.credential->bearer.empty() && !credential_left_behind_ && !bare &&
      request_.credential->origin.same_origin(url_) && url_.may_carry_secrets()) {
    add("Authorization: Bearer " + request_.credential->bearer.reveal());
  }
  set(CURLOPT_HTTPHEADER, lines_.get());
  if (!whole || set.worst() == CURLE_OUT_OF_MEMORY) return fail(Code::out_of_memory, "HTTP: out of memory");
  if (set.worst() != CURLE_OK) return fail(Code::unsupported, fmt::format("{}: {}", shown(), curl_easy_strerror(set.worst())));
  return {};
}

Easy Transfer::take_handle() {
  if (easy_ != nullptr) curl_easy_reset(easy_.get());  // forgets the pointers to this and the header with the token
  lines_.reset();
  return std::move(easy_);
}

std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  auto status = transfer.header_line({data, size * count});
  if (status) return size * count;
  transfer.result_ = std::move(status);
  return 0;
}

Status Transfer::header_line(std::string_view line) {
  last_byte_ = std::chrono::steady_clock::now();
  if (sink_ == nullptr) return fail(Code::cancelled, "abandoned");
  if (head_done_) return {};  // a trailer
  head_bytes_ += line.size();
  if (head_bytes_ > kMaxHeadBytes) return fail(Code::corrupt, fmt::format("{}: the answer's headers are too long", shown()));
  if (!in_head_ || line.starts_with("HTTP/")) {
    if (!line.starts_with("HTTP/")) return fail(Code::corrupt, fmt::format("{}: the answer is not HTTP", shown()));
    in_head_ = true;
    head_.headers.clear();
    head_.content_length.reset();
    const auto space = std::min(line.find(' '), line.size());
    head_.http_version = line.substr(5, space - 5);
    const auto digits = line.substr(std::min(space + 1, line.size()), 3);
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), head_.status);
    if (failure != std::errc{} || end != digits.data() + 3) return fail(Code::corrupt, fmt::format("{}: the answer has no status", shown()));
    return {};
  }
  const auto text = trimmed(line);
  if (text.empty()) return head_complete();
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return {};  // a folded line: no header that matters here has one
  if (head_.headers.size() >= kMaxHeaders) return fail(Code::corrupt, fmt::format("{}: the answer has too many headers", shown()));
  head_.headers.push_back({std::string(trimmed(text.substr(0, colon))), std::string(trimmed(text.substr(colon + 1)))});
  return {};
}

Status Transfer::head_complete() {
  in_head_ = false;
  if (head_.status < 200) return {};  // 100 Continue, 103 Early Hints: the answer is still to come
  head_done_ = true;
  if (const auto length = find_header(head_.headers, "Content-Length")) {
    std::uint64_t value = 0;
    const auto [end, failure] = std::from_chars(length->data(), length->data() + length->size(), value);
    if (failure == std::errc{} && end == length->data() + length->size()) head_.content_length = value;
  }
  auto target = redirect_target();
  if (!target) return fail(std::move(target.error()));
  next_ = std::move(*target);
  if (next_) return {};
  const bool has_body = request_.method != "HEAD" && head_.status != 204 && head_.status != 304;
  if (has_body && head_.content_length.value_or(0) > request_.max_body) {
    return fail(Code::corrupt, fmt::format("{}: the answer has {} bytes, more than the {} expected", shown(), *head_.content_length, request_.max_body));
  }
  const auto encoding = find_header(head_.headers, "Content-Encoding");
  if (has_body && head_.status < 300 && encoding && !encoding->empty() && !same_name(*encoding, "identity")) {
    return fail(Code::corrupt, fmt::format("{}: the answer is packed ({}), which was not asked for", shown(), printable(*encoding)));
  }
  called_ = true;
  return sink_->on_head(head_);
}

Result<std::optional<Url>> Transfer::redirect_target() const {
  if (!is_redirect(head_.status) || request_.redirects == Redirects::none) return std::nullopt;
  const auto location = find_header(head_.headers, "Location");
  if (!location) return std::nullopt;
  auto target = url_.resolve(*location);
  if (!target) return fail(Code::corrupt, fmt::format("{}: redirects to something that is not an address", shown()));
  if (request_.redirects == Redirects::same_origin && !target->same_origin(url_)) return std::nullopt;
  if (url_.scheme() == "https" && target->scheme() != "https" && !(url_.is_loopback() && target->is_loopback())) {
    return fail(Code::corrupt, fmt::format("{}: redirects from https to http, which is not followed", shown()));
  }
  if (redirects_ >= request_.max_redirects) return fail(Code::corrupt, fmt::format("{}: redirects again and again", shown()));
  return std::optional<Url>(std::move(*target));
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size * count);
  if (transfer.sink_ != nullptr && !transfer.next_ && !transfer.sink_->wants_data()) {
    transfer.paused_ = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  auto status = transfer.body(bytes);
  if (status) return bytes.size();
  transfer.result_ = std::move(status);
  return 0;
}

Status Transfer::body(std::span<const std::byte> data) {
  last_byte_ = std::chrono::steady_clock::now();
  if (sink_ == nullptr) return fail(Code::cancelled, "abandoned");
  body_bytes_ += data.size();
  if (next_) {
    if (body_bytes_ > kMaxRedirectBody) return fail(Code::io, "redirect");  // finish_step() follows it all the same
    return {};
  }
  if (body_bytes_ > request_.max_body) {
    return fail(Code::corrupt, fmt::format("{}: the answer goes on beyond the {} bytes expected", shown(), request_.max_body));
  }
  called_ = true;
  return sink_->on_data(data);
}

void Transfer::resume() {
  if (!std::exchange(paused_, false)) return;
  last_byte_ = std::chrono::steady_clock::now();
  curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
}

bool Transfer::finish_step(CURLcode code) {
  if (next_) {
    if (!next_->same_origin(url_)) credential_left_behind_ = true;
    if (head_.status == 303 || (head_.status < 303 && request_.method == "POST")) {
      if (request_.method == "POST") request_.method = "GET";
      request_.body.clear();
    }
    url_ = std::move(*next_);
    next_.reset();
    result_.reset();
    ++redirects_;
    return true;
  }
  if (result_) return false;
  if (code != CURLE_OK) {
    result_ = fail(error_of(code));
  } else if (!head_done_) {
    result_ = fail(Code::io, fmt::format("{}: no answer", shown()));
  }
  return false;
}

Error Transfer::stall_error() const {
  return {Code::io, fmt::format("{}: stalled, no byte for {} s", shown(), request_.stall_timeout_ms / 1000.0), 0};
}

Error Transfer::error_of(CURLcode code) const {
  long os_errno = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os_errno);
  const auto made = [&](Code kind, std::string_view what) {
    return Error{kind, fmt::format("{}: {}", shown(), what), static_cast<int>(os_errno)};
  };
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST: return made(Code::io, "no address found for this host");
    case CURLE_COULDNT_RESOLVE_PROXY: return made(Code::io, "no address found for the proxy");
    case CURLE_PARTIAL_FILE: return made(Code::io, "cut short: the connection ended in the middle of the answer");
    case CURLE_GOT_NOTHING: return made(Code::io, "the connection ended without an answer");
    case CURLE_OPERATION_TIMEDOUT: return made(Code::io, fmt::format("no connection within {} s", request_.connect_timeout_ms / 1000.0));
    case CURLE_PEER_FAILED_VERIFICATION: return made(Code::permission, fmt::format("the server's certificate is not trusted ({})", printable(detail_.data())));
    case CURLE_SSL_CACERT_BADFILE: return made(Code::invalid, "the file of trusted certificates cannot be read");
    case CURLE_OUT_OF_MEMORY: return made(Code::out_of_memory, "out of memory");
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING: return made(Code::corrupt, "the answer is not proper HTTP");
    default: break;
  }
  long connect_status = 0;
  curl_easy_getinfo(easy_.get(), CURLINFO_HTTP_CONNECTCODE, &connect_status);
  if (connect_status >= 300) {
    return made(connect_status == 407 || connect_status == 403 ? Code::permission : Code::io, fmt::format("the proxy answers {}", connect_status));
  }
  return made(Code::io, detail_.front() != '\0' ? printable(detail_.data()) : std::string(curl_easy_strerror(code)));
}

}  // namespace mlxbase::net
