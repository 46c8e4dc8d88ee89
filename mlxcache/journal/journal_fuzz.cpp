// Any bytes as a journal: no harm, and what is read is what would be written again.
#include <algorithm>
#include <cstdlib>
#include <span>

#include "mlxcache/journal/transaction.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mlxcache::journal;
  const auto bytes = std::as_bytes(std::span{data, size});
  if (const auto record = decode(bytes)) {
    const auto again = encode(*record);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
  }
  const auto contents = parse(bytes);
  if (!contents) return 0;
  if (contents->good_bytes > size) std::abort();
  const Transaction t = fold(*contents);
  const Closed closed = t.closing(0, t.cut());
  if (closed.actions > t.steps.size()) std::abort();
  // Cutting the torn tail off changes nothing of what was read.
  const auto again = parse(bytes.first(static_cast<std::size_t>(contents->good_bytes)));
  if (!again || again->records.size() != contents->records.size() || again->good_bytes != contents->good_bytes) std::abort();
  return 0;
}
