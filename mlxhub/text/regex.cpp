#define PCRE2_CODE_UNIT_WIDTH 8
#include "mlxhub/text/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <string>

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

// What Oniguruma means by \s and \w in UTF-8; PCRE2 means a little more by the one and less by the other.
constexpr std::string_view kSpace = R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

std::string translated(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char d = pattern[++i];
      const std::string_view meaning = d == 's' || d == 'S' ? kSpace : (d == 'w' || d == 'W' ? kWord : std::string_view());
      const bool negative = d == 'S' || d == 'W';
      if (meaning.empty() || (in_class && negative)) {
        out += c;
        out += d;
      } else if (in_class) {
        out += meaning;
      } else {
        out += fmt::format("[{}{}]", negative ? "^" : "", meaning);
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {
        out += "\\]";
        ++i;
      }
      continue;
    }
    if (c == '[') {
      out += "\\[";  // else PCRE2 looks for [:names:]
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

std::string message_of(int error) {
  PCRE2_UCHAR text[256];
  return pcre2_get_error_message(error, text, sizeof text) < 0 ? fmt::format("error {}", error) : reinterpret_cast<const char*>(text);
}

}  // namespace

void Regex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }
void Regex::Matcher::Free::operator()(void* data) const { pcre2_match_data_free(static_cast<pcre2_match_data*>(data)); }

Result<Regex> Regex::compile(std::string_view pattern) {
  const std::string ours = translated(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(ours.data()), ours.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                                   &error, &offset, nullptr);
  if (code == nullptr) return fail(Code::unsupported, fmt::format("regular expression at {}: {}", offset, message_of(error)));
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, matching goes on without
  return Regex(code);
}

Regex::Matcher::Matcher(const Regex& regex) : code_(regex.code_.get()), data_(pcre2_match_data_create(1, nullptr)) {}

Result<std::optional<std::pair<std::size_t, std::size_t>>> Regex::Matcher::next(std::string_view text, std::size_t from) {
  auto* data = static_cast<pcre2_match_data*>(data_.get());
  const int rc = pcre2_match(static_cast<const pcre2_code*>(code_), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                             PCRE2_NO_UTF_CHECK, data, nullptr);
  if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (rc < 0) return fail(Code::unsupported, fmt::format("splitting the text: {}", message_of(rc)));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
  return std::pair<std::size_t, std::size_t>(bounds[0], bounds[1]);
}

}  // namespace mlxhub::text
