#pragma once
// What a tokeniser is made of; the two readers fill it in.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mlxhub/text/decoder.h"
#include "mlxhub/text/model.h"
#include "mlxhub/text/normalizer.h"
#include "mlxhub/text/splitter.h"
#include "mlxhub/text/tokenizer.h"

namespace mlxhub::text {

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false, lstrip = false, rstrip = false, normalized = true, special = false;
};

struct Parts {
  TextList tokens;                // as written in the vocabulary
  TextMap ids;                    // and back
  std::vector<AddedToken> added;  // found in text before anything else
  std::unique_ptr<Normalizer> normalizer;
  std::unique_ptr<Splitter> splitter;
  std::unique_ptr<Model> model;
  bool byte_decoder = false;
  bool join_by_space = false;  // no decoder: tokens with spaces between them
  std::vector<std::unique_ptr<DecodeStep>> decoder;
  std::vector<TokenId> before, after;  // what encode(special) puts at the ends

  mlxbase::Result<Tokenizer> build() &&;
};

}  // namespace mlxhub::text
