// Any bytes as a JSON Schema: it is refused, or every text that its rules write is JSON. The way through the rules is drawn from the bytes too.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "mlxbase/format/json.h"
#include "mlxhub/grammar/automaton.h"
#include "mlxhub/grammar/grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxhub::grammar;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto schema = mlxbase::json::parse(text, {.bytes = 1U << 16U, .depth = 64});
  if (!schema) return 0;
  const auto grammar = json_of(*schema);
  if (!grammar) return 0;
  Automaton automaton(*grammar);
  auto state = automaton.start();
  std::string said;
  for (std::size_t step = 0; step < 400 && !automaton.must_end(state); ++step) {
    // The first byte that fits, from one that the input chooses.
    const unsigned from = size == 0 ? 0 : data[(step * 7 + said.size()) % size] + static_cast<unsigned>(step);
    bool moved = false;
    for (unsigned i = 0; i < 256 && !moved; ++i) {
      const auto byte = static_cast<unsigned char>(from + i);
      const auto next = automaton.step(state, byte);
      if (!next) continue;
      state = *next;
      said += static_cast<char>(byte);
      moved = true;
    }
    if (!moved) break;  // no text fits, or it would nest too deeply
    if (automaton.may_end(state) && !mlxbase::json::parse(said, {.bytes = 1U << 20U, .depth = 1000})) std::abort();
  }
  return 0;
}
