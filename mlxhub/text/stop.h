#pragma once
// Stop strings in a stream: found across the borders of tokens; held back is only what may still become one.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mlxhub::text {

class StopMatcher {
 public:
  /// Empty strings never match.
  explicit StopMatcher(std::vector<std::string> stops);
  struct Step {
    std::string text;                 // may go out now
    std::optional<std::size_t> stop;  // which one was met; the text before it is all that goes out, and nothing follows
    std::string rest;                 // what was behind it
  };
  Step push(std::string_view text);
  /// What was held back, once no more comes.
  std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace mlxhub::text
