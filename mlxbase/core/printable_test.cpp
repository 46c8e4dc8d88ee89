#include "mlxbase/core/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace mlxbase {
namespace {

TEST(Printable, LeavesTextOfAllScriptsAlone) {
  for (const char* text : {"plain-Name_1.gguf", "Модель", "模型", "naïve café", "🦙"}) EXPECT_EQ(printable(text), text);
}

TEST(Printable, DisarmsTerminalSequences) {
  EXPECT_EQ(printable("a\x1b[2Jb"), "a\\x1b[2Jb");
  EXPECT_EQ(printable("a\r\nb\t"), "a\\x0d\\x0ab\\x09");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\x7f"), "\\x7f");
}

TEST(Printable, DisarmsControlsOfTheUpperHalfThatSomeTerminalsObey) {
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\u{9b}2J");
}

TEST(Printable, DisarmsTextThatWouldReadBackwards) {
  EXPECT_EQ(printable("gpj\xe2\x80\xae"
                      "exe.gguf"),
            "gpj\\u{202e}exe.gguf");
  EXPECT_EQ(printable("\xe2\x81\xa6"), "\\u{2066}");
}

TEST(Printable, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(printable("a\xff\xfe"), "a\\xff\\xfe");
  EXPECT_EQ(printable("\xc3"), "\\xc3");                  // cut short
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");          // overlong slash
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
}

TEST(Utf8, AcceptsOnlyTheShortestForms) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("\xf4\x8f\xbf\xbf"));   // the last code point
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));  // one past it
  EXPECT_FALSE(is_utf8("\xe0\x80\xaf"));
  EXPECT_FALSE(is_utf8("\xf0\x80\x80\xaf"));
  EXPECT_FALSE(is_utf8("\x80"));
}

TEST(Utf8, WhatComesOutIsAlwaysWellFormed) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string bytes{static_cast<char>(first), static_cast<char>(second), 'x'};
      EXPECT_TRUE(is_utf8(to_utf8(bytes)));
      EXPECT_TRUE(is_utf8(printable(bytes)));
      EXPECT_EQ(to_utf8(bytes) == bytes, is_utf8(bytes));
    }
  }
}

}  // namespace
}  // namespace mlxbase
