#include "mlxcache/fetch/names.h"

#include <optional>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::fetch {
namespace {

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10U;
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A') + 10U;
  return std::nullopt;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool is_repo_path(std::string_view path) {
  if (!mlxbase::path::is_safe_relative(path) || !mlxbase::is_utf8(path)) return false;
  for (std::size_t begin = 0; begin < path.size();) {
    if (path.size() - begin >= 2 && is_letter(path[begin]) && path[begin + 1] == ':') return false;
    const auto slash = path.find('/', begin);
    if (slash == std::string_view::npos) break;
    begin = slash + 1;
  }
  return true;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const auto high = hex_digit(text[i + 1]);
      const auto low = hex_digit(text[i + 2]);
      if (high && low) {
        out += static_cast<char>(*high * 16U + *low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

}  // namespace mlxcache::fetch
