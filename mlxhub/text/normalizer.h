#pragma once
// What a tokeniser does to text before it cuts it.
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  /// Errors: unsupported (a pattern that costs too much).
  virtual mlxbase::Result<std::string> run(std::string text) const = 0;
};

/// From tokenizer.json's "normalizer"; null for null. Errors: unsupported (a kind that is not built), corrupt.
mlxbase::Result<std::unique_ptr<Normalizer>> make_normalizer(const mlxbase::json::Value& description);

}  // namespace mlxhub::text
