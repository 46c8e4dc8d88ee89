#pragma once
// A tokeniser of single letters, for tests of what stands above it.
#include <cstdint>
#include <string>
#include <utility>

#include "mlxbase/format/json.h"

namespace mlxhub::text {

/// A tokenizer.json of 96 tokens: three special ones, the space, and one for each sign from '!' on.
inline std::string letter_tokenizer() {
  using mlxbase::json::Value;
  Value vocabulary{mlxbase::json::Object{}}, added{mlxbase::json::Array{}};
  std::int64_t id = 0;
  for (const char* special : {"<pad>", "<bos>", "<|im_end|>"}) {
    Value token{mlxbase::json::Object{}};
    token.set("id", id).set("content", special).set("special", true).set("single_word", false).set("lstrip", false).set("rstrip", false).set("normalized", false);
    added.push(std::move(token));
    vocabulary.set(special, id++);
  }
  vocabulary.set("\xC4\xA0", id++);  // GPT-2's letter for the space
  for (char c = '!'; id < 96; ++c) vocabulary.set(std::string(1, c), id++);
  Value model{mlxbase::json::Object{}};
  model.set("type", "BPE").set("vocab", std::move(vocabulary)).set("merges", mlxbase::json::Array{});
  Value level{mlxbase::json::Object{}};
  level.set("type", "ByteLevel").set("add_prefix_space", false).set("trim_offsets", true).set("use_regex", true);
  Value out{mlxbase::json::Object{}};
  out.set("added_tokens", std::move(added)).set("pre_tokenizer", level).set("decoder", level).set("model", std::move(model));
  return mlxbase::json::dump(out);
}

}  // namespace mlxhub::text
