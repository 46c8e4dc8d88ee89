#pragma once
// {"String": …} or {"Regex": …}, as Split and Replace have it.
#include <optional>
#include <string>
#include <utility>

#include "mlxbase/format/json.h"
#include "mlxhub/text/regex.h"

namespace mlxhub::text {

class Pattern {
 public:
  static mlxbase::Result<Pattern> from(const mlxbase::json::Value& description) {
    Pattern pattern;
    if (const std::string* text = description["String"].if_string()) {
      pattern.text_ = *text;
    } else if (const std::string* plain = description.if_string()) {
      pattern.text_ = *plain;
    } else if (const std::string* source = description["Regex"].if_string()) {
      pattern.regex_ = TRY(Regex::compile(*source));
    } else {
      return mlxbase::fail(mlxbase::Code::corrupt, "tokenizer.json: a pattern that is neither String nor Regex");
    }
    return pattern;
  }
  static mlxbase::Result<Pattern> of_regex(std::string_view source) {
    Pattern pattern;
    pattern.regex_ = TRY(Regex::compile(source));
    return pattern;
  }

  /// Calls `found(begin, end)` for every match that is not empty, in order.
  template <class Found>
  mlxbase::Status each(std::string_view text, Found found) const {
    if (!regex_) {
      for (std::size_t at = text_.empty() ? std::string_view::npos : text.find(text_); at != std::string_view::npos;
           at = text.find(text_, at + text_.size())) {
        found(at, at + text_.size());
      }
      return {};
    }
    Regex::Matcher matcher(*regex_);
    for (std::size_t at = 0; at < text.size();) {
      const auto match = TRY(matcher.next(text, at));
      if (!match) break;
      if (match->second > match->first) {
        found(match->first, match->second);
        at = match->second;
      } else {  // empty: go on behind the next character
        at = match->second + 1;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80) ++at;
      }
    }
    return {};
  }

 private:
  std::string text_;
  std::optional<Regex> regex_;
};

}  // namespace mlxhub::text
