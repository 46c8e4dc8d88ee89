#pragma once
// Regular expressions as tokenisers write them (Oniguruma's syntax), on PCRE2.
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "mlxbase/core/result.h"

namespace mlxhub::text {

class Regex {
 public:
  /// Errors: unsupported (the pattern does not compile; with PCRE2's words).
  static mlxbase::Result<Regex> compile(std::string_view pattern);

  /// State of one search after the other; one a thread.
  class Matcher {
   public:
    explicit Matcher(const Regex& regex);
    /// The first match that begins at or after `from`, as begin and end. The text must be UTF-8. Errors: unsupported (it costs too much).
    mlxbase::Result<std::optional<std::pair<std::size_t, std::size_t>>> next(std::string_view text, std::size_t from);

   private:
    struct Free {
      void operator()(void* data) const;
    };
    const void* code_;
    std::unique_ptr<void, Free> data_;
  };

 private:
  struct Free {
    void operator()(void* code) const;
  };
  explicit Regex(void* code) : code_(code, Free{}) {}
  std::shared_ptr<void> code_;
};

}  // namespace mlxhub::text
