#pragma once
// Python's str: code points over UTF-8, and its classes and cases of letters.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlxstudio::jinja {

/// The code point at `at`, which moves behind it. A byte that is no UTF-8 comes back as 0xFFFD and counts as one.
std::uint32_t next_point(std::string_view text, std::size_t& at);
void append_point(std::string& out, std::uint32_t point);
std::size_t length(std::string_view text);  // in code points
/// Byte offset of the n-th code point, or the end.
std::size_t offset_of(std::string_view text, std::size_t n);
std::vector<std::string_view> characters(std::string_view text);

bool is_printable(std::uint32_t point);
bool is_space(std::uint32_t point);
bool is_alpha(std::uint32_t point);
bool is_digit(std::uint32_t point);
bool is_word(std::uint32_t point);  // \w
bool is_upper(std::uint32_t point);
bool is_lower(std::uint32_t point);
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string title(std::string_view text);  // str.title()
std::string capitalize(std::string_view text);

/// str.strip and its halves; without `characters`, white space.
std::string_view strip(std::string_view text, const std::string* characters, bool left, bool right);
std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count);
std::vector<std::string_view> split_space(std::string_view text, std::int64_t limit);
std::vector<std::string_view> split(std::string_view text, std::string_view separator, std::int64_t limit);
std::vector<std::string_view> split_right(std::string_view text, std::string_view separator, std::int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

}  // namespace mlxstudio::jinja
