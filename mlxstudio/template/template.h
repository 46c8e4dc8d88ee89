#pragma once
// Chat templates: the Jinja that models ship, rendered as transformers renders it (an immutable sandbox, trim_blocks, lstrip_blocks, loop
// controls, `generation` blocks, its own tojson, raise_exception, strftime_now), byte for byte, errors included. Templates are other
// people's programs: what one may cost is bounded.
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxstudio::jinja {

struct Limits {
  std::size_t source_bytes = std::size_t{4} << 20U;
  int nesting = 150;                                 // of the template's text: blocks, brackets
  int depth = 600;                                   // of a run: macros that call each other, loops in loops; about 1 KB of stack each
  std::uint64_t work = 100'000'000;                  // steps of a run; 16 bytes of text made are one step
  std::size_t text_bytes = std::size_t{256} << 20U;  // of the output, and of any one text on the way
};

struct Context {
  const mlxbase::json::Value& variables;  // an object: messages, tools, add_generation_prompt, bos_token, …
  std::tm now{};                          // local time, for strftime_now
};

/// A compiled template. It does not change: many threads may render it at once.
class Template {
 public:
  /// Errors: corrupt (no Jinja; with the line), unsupported (over the limits).
  static mlxbase::Result<Template> compile(std::string_view source, const Limits& limits = {});

  /// Errors: invalid (the template refuses, by raise_exception, or does what Jinja does not allow; the message is Python's), unsupported
  /// (over the limits, or something of Jinja that is not built).
  mlxbase::Result<std::string> render(const Context& context) const;

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

 private:
  struct Compiled;
  explicit Template(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace mlxstudio::jinja
