#include "mlxcache/stores/torch_hub_names.h"

#include <algorithm>

namespace mlxcache::stores::torch_hub {
namespace {

constexpr std::size_t kShortest = 8;
constexpr std::size_t kLongest = 64;

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_date(std::string_view digits) {
  if (digits.size() != kShortest || !std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; })) return false;
  const auto number = [&](std::size_t at) { return (digits[at] - '0') * 10 + (digits[at + 1] - '0'); };
  const int century = number(0);
  const int month = number(4);
  const int day = number(6);
  return (century == 19 || century == 20) && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

}  // namespace

std::optional<mlxbase::Digest> prefix_in_name(std::string_view file_name) {
  // re.search(r"-([a-f0-9]*)\."): the first dash that only hex digits part from a dot.
  for (std::size_t dash = file_name.find('-'); dash != std::string_view::npos; dash = file_name.find('-', dash + 1)) {
    const std::string_view rest = file_name.substr(dash + 1);
    const auto end = static_cast<std::size_t>(std::find_if_not(rest.begin(), rest.end(), is_hex) - rest.begin());
    if (end == rest.size() || rest[end] != '.') continue;
    const std::string_view digits = rest.substr(0, std::min(end, kLongest) / 2 * 2);
    if (end > kLongest || digits.size() < kShortest || is_date(rest.substr(0, end))) return std::nullopt;
    return mlxbase::Digest::parse(mlxbase::Algorithm::sha256_prefix, digits);
  }
  return std::nullopt;
}

}  // namespace mlxcache::stores::torch_hub
