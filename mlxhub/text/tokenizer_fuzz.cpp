// A tokenizer.json that is read encodes any text, and what a stream of its tokens says is what decode says. The input: the file, a zero
// byte, a text.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mlxhub/text/stop.h"
#include "mlxhub/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace text = mlxhub::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const auto tokenizer = text::Tokenizer::from_json(input.substr(0, zero));
  if (!tokenizer || zero == std::string_view::npos) return 0;
  const auto ids = tokenizer->encode(input.substr(zero + 1));
  if (!ids) return 0;
  text::Detokenizer stream(*tokenizer);
  std::string streamed;
  for (const text::TokenId id : *ids) streamed += stream.push(id);
  streamed += stream.finish();
  if (streamed != tokenizer->decode(*ids)) std::abort();
  return 0;
}
