#pragma once
// File names and ids are other people's bytes: before they reach a terminal or JSON they pass through here.
#include <string>
#include <string_view>

namespace mlxbase {

/// Whether the bytes are well-formed UTF-8 (no surrogates, no overlong forms).
bool is_utf8(std::string_view bytes);

/// Text safe to print: control characters (also C1 and bidirectional overrides) and bytes that are not UTF-8 become
/// \xNN or \u{NNNN}; everything else, letters of all scripts included, stays.
std::string printable(std::string_view bytes);

/// Well-formed UTF-8 for JSON: each byte that is not becomes U+FFFD; control characters are left to the JSON writer.
std::string to_utf8(std::string_view bytes);

}  // namespace mlxbase
