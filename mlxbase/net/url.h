#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"

namespace mlxbase::net {

/// An absolute http or https URL, normalised: lower-case scheme and host, no user or password, no fragment, no control characters.
class Url {
 public:
  Url() = default;
  /// Errors: invalid (not absolute, another scheme, a user, a space or control character, over 16 KiB).
  static Result<Url> parse(std::string_view text);
  /// A Location or Link header against this URL. Same errors.
  Result<Url> resolve(std::string_view reference) const;

  const std::string& scheme() const { return scheme_; }
  const std::string& host() const { return host_; }   // an IPv6 address without brackets
  std::uint16_t port() const { return port_; }        // the scheme's default where none was given
  const std::string& path() const { return path_; }   // percent-encoded, begins with "/"
  const std::string& query() const { return query_; } // without "?"
  std::string text() const;
  /// scheme://host[:port]
  std::string origin() const;
  /// For messages: without the query, which may hold a signature.
  std::string shown() const { return origin() + path_; }
  bool same_origin(const Url& other) const { return scheme_ == other.scheme_ && host_ == other.host_ && port_ == other.port_; }
  /// 127.0.0.0/8, ::1, localhost.
  bool is_loopback() const;
  /// A token may travel here: https, or loopback.
  bool may_carry_secrets() const { return scheme_ == "https" || is_loopback(); }
  bool empty() const { return host_.empty(); }

 private:
  std::string scheme_, host_, path_ = "/", query_;
  std::uint16_t port_ = 0;
};

/// Percent-encodes all but unreserved characters; `keep` stay too ("/" for paths).
std::string percent_encode(std::string_view text, std::string_view keep = {});

}  // namespace mlxbase::net
