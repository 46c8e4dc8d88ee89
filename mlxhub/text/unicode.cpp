#include "mlxhub/text/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

namespace mlxhub::text {
namespace {

utf8proc_category_t category(std::uint32_t point) { return utf8proc_category(static_cast<utf8proc_int32_t>(point)); }

/// Length of the longest beginning of a character at `at`, and whether it is a whole one.
struct Piece {
  std::size_t length = 1;
  bool whole = false;
  bool cut = false;  // the text ends inside it
};
Piece piece_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {1, true, false};
  const std::size_t n =
      first >= 0xC2 && first <= 0xDF ? 2 : (first >= 0xE0 && first <= 0xEF ? 3 : (first >= 0xF0 && first <= 0xF4 ? 4 : 0));
  if (n == 0) return {1, false, false};
  unsigned char low = 0x80, high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  for (std::size_t i = 1; i < n; ++i) {
    if (at + i >= text.size()) return {i, false, true};
    if (byte(at + i) < low || byte(at + i) > high) return {i, false, false};
    low = 0x80;
    high = 0xBF;
  }
  return {n, true, false};
}

/// Characters that are their own NFC and never join with what is before them.
bool stable(std::uint32_t point) {
  return point < 0x300 || (point >= 0x2010 && point <= 0x205F) || (point >= 0x3041 && point <= 0x3096) ||
         (point >= 0x30A0 && point <= 0x30FF) || (point >= 0x4E00 && point <= 0x9FFF) || (point >= 0xAC00 && point <= 0xD7A3) ||
         (point >= 0x1F300 && point <= 0x1FAFF) || (point >= 0x400 && point <= 0x482) || (point >= 0xFF01 && point <= 0xFF9D);
}

}  // namespace

std::uint32_t next_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t first = byte(at);
  if (first < 0x80) {
    ++at;
    return first;
  }
  const std::size_t n = first < 0xE0 ? 2 : (first < 0xF0 ? 3 : 4);
  if (at + n > text.size()) {
    at = text.size();
    return 0xFFFD;
  }
  std::uint32_t point = first & (0x7FU >> n);
  for (std::size_t i = 1; i < n; ++i) point = (point << 6U) | (byte(at + i) & 0x3FU);
  at += n;
  return point;
}

void append_point(std::string& out, std::uint32_t point) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), n > 0 ? static_cast<std::size_t>(n) : 0);
}

std::string lossy(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Piece piece = piece_at(bytes, at);
    if (piece.whole) {
      out += bytes.substr(at, piece.length);
    } else {
      out += "\xEF\xBF\xBD";
    }
    at += piece.length;
  }
  return out;
}

std::size_t unfinished(std::string_view bytes) {
  for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xC0U) == 0x80) continue;
    const Piece piece = piece_at(bytes, bytes.size() - back);
    return piece.cut && piece.length == back ? back : 0;
  }
  return 0;
}

mlxbase::Result<std::string> normalised(std::string_view text, NormalForm form) {
  if (form == NormalForm::nfc || form == NormalForm::nfkc) {
    bool all_stable = true;
    for (std::size_t at = 0; all_stable && at < text.size();) {
      const std::uint32_t point = next_point(text, at);
      all_stable = point < 0x80 || (form == NormalForm::nfc && stable(point));
    }
    if (all_stable) return std::string(text);
  }
  int options = UTF8PROC_STABLE;
  if (form == NormalForm::nfc || form == NormalForm::nfkc) options |= UTF8PROC_COMPOSE;
  if (form == NormalForm::nfd || form == NormalForm::nfkd) options |= UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                          static_cast<utf8proc_ssize_t>(text.size()), &out, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(out, &std::free);
  if (n < 0) return mlxbase::fail(mlxbase::Code::invalid, utf8proc_errmsg(n));
  return std::string(reinterpret_cast<const char*>(out), static_cast<std::size_t>(n));
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t point = next_point(text, at);
    if (point == 0x130) {
      out += "i\xCC\x87";
    } else if (point < 0x80) {
      out += static_cast<char>(point >= 'A' && point <= 'Z' ? point + 32 : point);
    } else {
      append_point(out, static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
    }
  }
  return out;
}

bool is_space(std::uint32_t point) {
  if (point < 0x80) return (point >= 9 && point <= 13) || point == 0x20;
  return point == 0x85 || point == 0x2028 || point == 0x2029 || category(point) == UTF8PROC_CATEGORY_ZS;
}
bool is_control(std::uint32_t point) {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CN || c == UTF8PROC_CATEGORY_CO;
}
bool is_mark(std::uint32_t point) { return category(point) == UTF8PROC_CATEGORY_MN; }
bool is_any_mark(std::uint32_t point) {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}
bool is_punctuation(std::uint32_t point) {
  if (point < 0x80)
    return (point >= 33 && point <= 47) || (point >= 58 && point <= 64) || (point >= 91 && point <= 96) || (point >= 123 && point <= 126);
  const auto c = category(point);
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}
bool is_number(std::uint32_t point) {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}
bool is_word(std::uint32_t point) {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_PC || c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || is_any_mark(point) ||
         (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO) || point == 0x200C || point == 0x200D;
}
bool is_chinese(std::uint32_t p) {
  return (p >= 0x4E00 && p <= 0x9FFF) || (p >= 0x3400 && p <= 0x4DBF) || (p >= 0x20000 && p <= 0x2A6DF) || (p >= 0x2A700 && p <= 0x2B73F) ||
         (p >= 0x2B740 && p <= 0x2B81F) || (p >= 0x2B920 && p <= 0x2CEAF) || (p >= 0xF900 && p <= 0xFAFF) || (p >= 0x2F800 && p <= 0x2FA1F);
}

}  // namespace mlxhub::text
