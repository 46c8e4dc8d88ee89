#include "mlxbase/net/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <optional>

#include "mlxbase/core/printable.h"

namespace mlxbase::net {
namespace {

constexpr std::size_t kMaxUrl = std::size_t{16} << 10U;

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};
using Parts = std::unique_ptr<CURLU, FreeUrl>;

std::optional<std::string> part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK) return std::nullopt;
  const std::unique_ptr<char, FreeText> owned(text);
  return std::string(text);
}

bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

/// A text that cannot be misread by anybody between here and the server; bytes beyond ASCII are percent-encoded.
Result<std::string> plain(std::string_view text) {
  // Without the text from '?' on: it may hold a signature.
  const auto refused = [&](std::string_view why) {
    return fail(Code::invalid, fmt::format("URL '{}': {}", printable(text.substr(0, std::min<std::size_t>(text.find('?'), 200))), why));
  };
  if (text.size() > kMaxUrl) return refused("too long");
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7F) return refused("a space or control character");
    if (c == '\\') return refused("a backslash");
    if (byte < 0x80) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

/// A name of letters, digits, '-', '.', '_', or an address in its shortest form; empty if it is neither.
std::string host_of(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) {
    in6_addr address{};
    std::array<char, INET6_ADDRSTRLEN> shortest{};
    if (inet_pton(AF_INET6, std::string(text.substr(1, text.size() - 2)).c_str(), &address) != 1) return {};
    if (inet_ntop(AF_INET6, &address, shortest.data(), shortest.size()) == nullptr) return {};
    return shortest.data();
  }
  const bool ok = !text.empty() && text.size() <= 253 && std::ranges::all_of(text, [](char c) { return is_unreserved(c) && c != '~'; });
  return ok ? lower(text) : std::string{};
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  const std::string clean = TRY(plain(text));
  const auto refused = [&](std::string_view why) {
    return fail(Code::invalid, fmt::format("URL '{}': {}", printable(text.substr(0, std::min<std::size_t>(text.find('?'), 200))), why));
  };
  const auto colon = clean.find("://");
  if (colon == std::string::npos) return refused("not an absolute http or https address");
  Url url;
  url.scheme_ = lower(std::string_view(clean).substr(0, colon));
  if (url.scheme_ != "http" && url.scheme_ != "https") return refused("neither http nor https");
  const std::string_view authority = std::string_view(clean).substr(colon + 3, clean.find_first_of("/?#", colon + 3) - (colon + 3));
  if (authority.empty()) return refused("no host");
  if (authority.contains('@')) return fail(Code::invalid, "URL with a user name or password: not accepted");  // not shown: it may be a secret
  const Parts parts(curl_url());
  if (parts == nullptr) return fail(Code::unsupported, "URL: libcurl cannot be used: is it installed?");
  if (curl_url_set(parts.get(), CURLUPART_URL, clean.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) return refused("malformed");
  if (part(parts.get(), CURLUPART_ZONEID)) return refused("a zone in an IPv6 address");
  url.host_ = host_of(part(parts.get(), CURLUPART_HOST).value_or(""));
  if (url.host_.empty()) return refused("not a host name");
  const std::string port = part(parts.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT).value_or("");
  if (std::from_chars(port.data(), port.data() + port.size(), url.port_).ec != std::errc{} || url.port_ == 0) return refused("not a port");
  url.path_ = part(parts.get(), CURLUPART_PATH).value_or("/");
  if (!url.path_.starts_with('/')) return refused("malformed path");
  url.query_ = part(parts.get(), CURLUPART_QUERY).value_or("");
  return url;
}

Result<Url> Url::resolve(std::string_view reference) const {
  const std::string clean = TRY(plain(reference));
  const auto colon = clean.find("://");
  if (colon != std::string::npos && clean.find_first_of("/?#") > colon) return parse(clean);
  const auto refused = [] { return fail(Code::invalid, "malformed reference in a URL"); };
  if (const auto first = clean.find_first_of(":/?#"); first != std::string::npos && clean[first] == ':') return refused();  // "data:…"
  if (clean.starts_with("///")) return refused();
  if (clean.starts_with("//")) return parse(scheme_ + ":" + clean);
  const Parts parts(curl_url());
  if (parts == nullptr) return fail(Code::unsupported, "URL: libcurl cannot be used: is it installed?");
  if (curl_url_set(parts.get(), CURLUPART_URL, text().c_str(), 0) != CURLUE_OK) return refused();
  if (!clean.empty() && curl_url_set(parts.get(), CURLUPART_URL, clean.c_str(), 0) != CURLUE_OK) return refused();
  const auto whole = part(parts.get(), CURLUPART_URL);
  if (!whole) return refused();
  Url out = TRY(parse(*whole));
  if (!same_origin(out)) return refused();  // a relative reference stays where it is
  return out;
}

std::string Url::origin() const {
  const bool v6 = host_.contains(':');
  std::string out = fmt::format("{}://{}{}{}", scheme_, v6 ? "[" : "", host_, v6 ? "]" : "");
  if (port_ != (scheme_ == "https" ? 443 : 80)) out += fmt::format(":{}", port_);
  return out;
}

std::string Url::text() const { return origin() + path_ + (query_.empty() ? "" : "?" + query_); }

bool Url::is_loopback() const {
  if (host_ == "localhost" || host_ == "::1") return true;
  in_addr address{};
  return inet_pton(AF_INET, host_.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24U) == 127;
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_unreserved(c) || keep.contains(c)) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace mlxbase::net
