#pragma once
// UTF-8, normal forms and classes of characters, on utf8proc.
#include <cstdint>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"

namespace mlxhub::text {

enum class NormalForm : std::uint8_t { nfc, nfd, nfkc, nfkd };

/// The code point at `at`, which moves behind it. The text must be UTF-8.
std::uint32_t next_point(std::string_view text, std::size_t& at);
void append_point(std::string& out, std::uint32_t point);
/// Replaces what is not UTF-8 by U+FFFD, one for each longest beginning of a character, as Rust and Python do.
std::string lossy(std::string_view bytes);
/// How many bytes at the end may become a character with more bytes behind them: 0 to 3.
std::size_t unfinished(std::string_view bytes);

mlxbase::Result<std::string> normalised(std::string_view text, NormalForm form);
std::string lowercase(std::string_view text);

bool is_space(std::uint32_t point);        // White_Space
bool is_control(std::uint32_t point);      // Cc, Cf, Cn, Co
bool is_mark(std::uint32_t point);         // Mn
bool is_any_mark(std::uint32_t point);     // Mn, Mc, Me
bool is_punctuation(std::uint32_t point);  // of ASCII all that is no letter, digit or space; else P*
bool is_number(std::uint32_t point);       // N*
bool is_word(std::uint32_t point);         // \w of Rust's regex
bool is_chinese(std::uint32_t point);      // as BERT has it

}  // namespace mlxhub::text
