#pragma once
// Tokens back to text.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::text {

/// One step over the tokens' texts.
class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void run(std::vector<std::string>& tokens) const = 0;
  enum class Kind { one_by_one, bytes, fuse, strip };  // how far a token's text depends on its neighbours
  virtual Kind kind() const { return Kind::one_by_one; }
  /// Of a strip: whether all it does is to take one character from the very start.
  virtual bool only_first_character() const { return false; }
};

/// Whether the text of a beginning of the tokens stays as it is when more come (bytes aside).
bool can_stream(const std::vector<std::unique_ptr<DecodeStep>>& steps);

/// From tokenizer.json's "decoder": its steps. `bytes` becomes true if tokens are bytes (ByteLevel), which must then be the only step.
/// Errors: unsupported, corrupt.
mlxbase::Result<std::vector<std::unique_ptr<DecodeStep>>> make_decoder(const mlxbase::json::Value& description, bool& bytes);

/// The byte of a token "<0x0A>", or -1.
int byte_of_token(std::string_view token);

}  // namespace mlxhub::text
