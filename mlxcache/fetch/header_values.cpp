#include "mlxcache/fetch/header_values.h"

#include <algorithm>
#include <utility>

namespace mlxcache::fetch {
namespace {

constexpr std::size_t kLongestHeader = 64U << 10U;
constexpr std::size_t kLongestValue = 4U << 10U;

bool is_blank(char c) { return c == ' ' || c == '\t'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool equal_fold(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}
bool is_token_char(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kMarks.contains(c);
}

/// Moves over the text; every read stops at the end.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text.substr(0, kLongestHeader)) {}
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  void skip_blanks() {
    while (!done() && is_blank(text_[at_])) ++at_;
  }
  bool take(char c) {
    skip_blanks();
    if (peek() != c || done()) return false;
    ++at_;
    return true;
  }
  std::string_view token() {
    skip_blanks();
    const std::size_t begin = at_;
    while (!done() && is_token_char(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  /// A token or a quoted string with its backslashes resolved; nothing if the quote does not end.
  std::optional<std::string> value() {
    skip_blanks();
    if (peek() != '"') return std::string(token());
    std::string out;
    for (++at_; !done(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return out;
      }
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_];
    }
    return std::nullopt;
  }
  /// All up to `c`, which is passed over; nothing if it does not come.
  std::optional<std::string_view> up_to(char c) {
    const auto end = text_.find(c, at_);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view out = text_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }
  std::size_t position() const { return at_; }
  void go_to(std::size_t at) { at_ = at; }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

/// Whether a rel value (a list of words) holds `word`.
bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto end = std::min(list.find(' '), list.size());
    if (equal_fold(list.substr(0, end), word)) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

bool is_usable(std::string_view value) {
  return value.size() <= kLongestValue &&
         std::none_of(value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7F; });
}

/// The auth-params that follow a scheme, up to the next scheme or the end. False: malformed.
bool read_params(Cursor& cursor, Challenge& out) {
  while (true) {
    while (cursor.take(',')) {
    }
    cursor.skip_blanks();
    const std::size_t before = cursor.position();
    const std::string_view name = cursor.token();
    if (name.empty()) return cursor.done();
    if (!cursor.take('=')) {
      cursor.go_to(before);  // the next challenge's scheme
      return true;
    }
    auto value = cursor.value();
    if (!value) return false;
    if (is_usable(*value)) {
      if (equal_fold(name, "realm")) out.realm = *std::move(value);
      else if (equal_fold(name, "service")) out.service = *std::move(value);
      else if (equal_fold(name, "scope")) out.scope = *std::move(value);
    }
  }
}

}  // namespace

std::optional<std::string> next_link(std::string_view header) {
  Cursor cursor(header);
  while (!cursor.done()) {
    if (!cursor.take('<')) return std::nullopt;
    const auto target = cursor.up_to('>');
    if (!target) return std::nullopt;
    bool next = false;
    while (cursor.take(';')) {
      const std::string_view name = cursor.token();
      if (name.empty() || !cursor.take('=')) continue;
      const auto value = cursor.value();
      if (!value) return std::nullopt;
      next = next || (equal_fold(name, "rel") && has_word(*value, "next"));
    }
    if (next) return is_usable(*target) ? std::optional<std::string>(*target) : std::nullopt;
    cursor.skip_blanks();
    if (!cursor.done() && !cursor.take(',')) return std::nullopt;
    cursor.skip_blanks();
  }
  return std::nullopt;
}

std::optional<Challenge> bearer_challenge(std::string_view header) {
  Cursor cursor(header);
  while (!cursor.done()) {
    while (cursor.take(',')) {
    }
    const std::string_view scheme = cursor.token();
    if (scheme.empty()) return std::nullopt;
    Challenge challenge;
    if (!read_params(cursor, challenge)) return std::nullopt;
    if (equal_fold(scheme, "Bearer") && !challenge.realm.empty()) return challenge;
  }
  return std::nullopt;
}

}  // namespace mlxcache::fetch
