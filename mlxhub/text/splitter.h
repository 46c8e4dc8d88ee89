#pragma once
// How a tokeniser cuts text into pieces before its model sees them ("pre-tokenizers").
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::text {

/// Pieces of a text; those that are not part of it are kept here.
struct Pieces {
  std::vector<std::string_view> list;
  std::deque<std::string> made;
  bool at_start = true;  // the first piece is where the whole text begins
};

class Splitter {
 public:
  virtual ~Splitter() = default;
  virtual mlxbase::Status run(Pieces& pieces) const = 0;
};

/// `bytes` becomes true if the pieces are to be taken as bytes (ByteLevel), which only the last splitter may ask for.
/// Errors: unsupported (a kind that is not built), corrupt.
mlxbase::Result<std::unique_ptr<Splitter>> make_splitter(const mlxbase::json::Value& description, bool& bytes);
/// One Split by a regular expression after the other, all "Isolated", then bytes: what GGUF's pre-tokenizers are.
mlxbase::Result<std::unique_ptr<Splitter>> make_regex_splitter(const std::vector<std::string>& patterns);

}  // namespace mlxhub::text
