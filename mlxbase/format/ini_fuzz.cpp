// Whatever the bytes: no crash; and every text written as a value reads back.
#include <cstdlib>

#include "mlxbase/core/printable.h"
#include "mlxbase/format/ini.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto v = mlxbase::ini::parse(text, {.bytes = 1U << 16U, .depth = 4});
  if (v && !v->is_object()) std::abort();
  // "@String(x)" as a text of its own is written "@@String(x)".
  if (size < 4096 && mlxbase::is_utf8(text)) {
    const auto again = mlxbase::ini::parse("k=" + mlxbase::ini::escaped(text));
    if (!again || (*again)["General"]["k"].string("\x01?") != text) std::abort();
  }
  return 0;
}
