// What the server decides without a connection.
#include <algorithm>
#include <array>

#include "mlxbase/http/server.h"

namespace mlxbase::http {
namespace {

bool is_loopback(std::string_view name) {
  return name == "localhost" || name == "[::1]" || name == "::1" || (name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string_view::npos);
}
std::string_view without_port(std::string_view host) {
  const auto colon = host.rfind(':');
  const bool bracketed = host.starts_with('[');
  if (colon == std::string_view::npos || (bracketed && host.find(']') > colon)) return host;
  return host.substr(0, colon);
}

}  // namespace

std::string_view Request::header(std::string_view name) const {
  for (const auto& [n, value] : headers) {
    if (n == name) return value;
  }
  return {};
}

bool host_allowed(std::string_view host, const std::vector<std::string>& allowed) {
  std::string name(without_port(host));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (is_loopback(name)) return true;
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& a) { return a == "*" || a == name; });
}

bool origin_allowed(std::string_view origin, const std::vector<std::string>& allowed) {
  if (std::any_of(allowed.begin(), allowed.end(), [&](const std::string& a) { return a == "*" || a == origin; })) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme)) return is_loopback(without_port(origin.substr(scheme.size())));
  }
  return false;
}

std::string percent_decoded(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string_view reason_of(int status) {
  struct Row {
    int status;
    std::string_view reason;
  };
  static constexpr auto kRows = std::to_array<Row>({{200, "OK"}, {204, "No Content"}, {304, "Not Modified"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
                                                    {405, "Method Not Allowed"}, {408, "Request Timeout"}, {413, "Payload Too Large"}, {415, "Unsupported Media Type"},
                                                    {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
                                                    {501, "Not Implemented"}, {503, "Service Unavailable"}});
  for (const Row& row : kRows) {
    if (row.status == status) return row.reason;
  }
  return "Unknown";
}

}  // namespace mlxbase::http
