#pragma once
// A template's source as tokens, with trim_blocks and lstrip_blocks on, as transformers sets them.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxstudio::jinja {

struct Token {
  enum class Kind : std::uint8_t { data, variable_begin, variable_end, block_begin, block_end, name, text, integer, real, op, end };
  Kind kind = Kind::end;
  std::string value;  // of data, names and texts what they say; of operators how they are written
  int line = 1;
};

/// Errors: corrupt, with the line and Jinja's words.
mlxbase::Result<std::vector<Token>> tokenise(std::string_view source);

}  // namespace mlxstudio::jinja
