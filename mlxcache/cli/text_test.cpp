#include <gtest/gtest.h>

#include <algorithm>

#include "mlxcache/cli/progress_face.h"
#include "mlxcache/cli/table.h"

namespace mlxcache::cli {
namespace {

class FakeClock final : public mlxbase::Clock {
 public:
  std::int64_t wall_ns() override { return now; }
  std::int64_t steady_ns() override { return now; }
  std::int64_t now = 0;
};
constexpr std::int64_t kSecond = 1'000'000'000;

TEST(DisplayWidth, CountsCellsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("模型"), 4U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U);  // e with a combining accent
  EXPECT_EQ(display_width(Style(true).bold("abc")), 3U);
}

TEST(ElideMiddle, KeepsBothEndsAndNeverExceedsTheWidth) {
  const std::string path = "~/.cache/huggingface/hub/models--org--name/blobs/0123456789abcdef";
  for (std::size_t width = 1; width < 80; ++width) EXPECT_LE(display_width(elide_middle(path, width)), width) << width;
  EXPECT_EQ(elide_middle(path, 200), path);
  EXPECT_TRUE(elide_middle(path, 30).starts_with("~/.cache"));
  EXPECT_TRUE(elide_middle(path, 30).ends_with("89abcdef"));
  for (std::size_t width = 1; width < 20; ++width) EXPECT_LE(display_width(elide_middle("模型模型模型模型模型", width)), width);
}

TEST(WrapText, BreaksAtSpacesAndKeepsLineBreaks) {
  EXPECT_EQ(wrap_text("one two three", 8, ""), "one two\nthree\n");
  EXPECT_EQ(wrap_text("a\n  b  c", 0, "> "), "> a\n>   b  c\n");
  EXPECT_EQ(wrap_text("averyverylongword next", 5, ""), "averyverylongword\nnext\n");
}

TEST(Table, AlignsAndShrinksOnlyWhatMay) {
  Table table({{"name", Align::left, true}, {"size", Align::right}});
  table.row({"a-very-long-name-of-a-model-that-does-not-fit", "1.00 GB"});
  table.row({"short", "12 B"});
  const std::string wide = table.render(0, Style(false));
  EXPECT_NE(wide.find("a-very-long-name-of-a-model-that-does-not-fit  1.00 GB\n"), std::string::npos);
  const std::string narrow = table.render(30, Style(false));
  for (std::size_t at = 0; at < narrow.size();) {
    const auto end = narrow.find('\n', at);
    EXPECT_LE(display_width(narrow.substr(at, end - at)), 30U);
    at = end + 1;
  }
  EXPECT_NE(narrow.find("1.00 GB"), std::string::npos);
}

TEST(ProgressLine, NeverExceedsTheTerminal) {
  const ProgressState state{.name = "reading files that look alike", .item = "/a/b/c\x1b[31m.gguf", .done = 123'456'789, .total = 9'999'999'999,
                            .bytes = true, .elapsed_ns = 5 * kSecond};
  for (int columns = 2; columns < 200; ++columns) {
    const std::string line = progress_line(state, columns, Style(false));
    EXPECT_LT(display_width(line), static_cast<std::size_t>(columns));
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
  }
  EXPECT_NE(progress_line(state, 120, Style(false)).find("/s"), std::string::npos);
  EXPECT_NE(progress_line(state, 120, Style(false)).find("left"), std::string::npos);
}

TEST(PartLines, NeverExceedTheTerminalAndAreThereForSeveralOnly) {
  const std::vector<ProgressPart> parts{{.name = "model-00001-of-00002.safetensors", .done = 1'000'000, .total = 4'000'000'000},
                                         {.name = "a\x1b[31m.gguf", .done = 7, .total = 7},
                                         {.name = "nothing", .done = 0, .total = 0}};
  for (int columns = 2; columns < 120; ++columns) {
    for (const std::string& line : part_lines(parts, columns, Style(false))) {
      EXPECT_LT(display_width(line), static_cast<std::size_t>(columns));
      EXPECT_EQ(line.find('\x1b'), std::string::npos);
    }
  }
  const auto lines = part_lines(parts, 80, Style(false));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], "  model-00001-of-00002.safetensors    0 %  1.00 MB of 4.00 GB");
  EXPECT_TRUE(part_lines(std::span(parts).first(1), 80, Style(false)).empty());
}

TEST(ProgressLine, WhatAnEarlierRunDidIsNoPartOfTheRate) {
  const ProgressState state{.name = "downloading", .item = {}, .done = 9'000'000, .before = 8'000'000, .total = 10'000'000, .bytes = true, .elapsed_ns = 10 * kSecond};
  const std::string line = progress_line(state, 120, Style(false));
  EXPECT_NE(line.find("90 %"), std::string::npos);
  EXPECT_NE(line.find("100 kB/s"), std::string::npos) << line;
  EXPECT_NE(line.find("11.0 s left"), std::string::npos) << line;
}

TEST(ProgressFace, TakesEveryLineOffAgain) {
  StringStream err;
  FakeClock clock;
  ProgressFace bar(err, clock, ProgressFace::Manner::bar, Style(false));
  bar.stage("downloading", 10, true);
  clock.now += kSecond;
  const std::vector<ProgressPart> parts{{.name = "one", .done = 1, .total = 5}, {.name = "two", .done = 2, .total = 5}};
  bar.parts(parts);
  EXPECT_TRUE(err.text().ends_with("\x1b[2A\r")) << err.text();
  bar.finish();
  EXPECT_TRUE(err.text().ends_with("\r\x1b[J"));
}

TEST(ProgressFace, PrintsPlainLinesAtMostEveryTenSeconds) {
  StringStream err;
  FakeClock clock;
  ProgressFace face(err, clock, ProgressFace::Manner::lines, Style(false));
  face.stage("hashing", 1000, true);
  for (int i = 0; i < 95; ++i) {
    clock.now += kSecond / 2;
    face.advance(10);
  }
  EXPECT_EQ(std::count(err.text().begin(), err.text().end(), '\n'), 4);
  EXPECT_EQ(err.text().find('\r'), std::string::npos);
}

TEST(ProgressFace, SaysNothingWhenSilentAndTakesItsBarOff) {
  StringStream err;
  FakeClock clock;
  ProgressFace silent(err, clock, ProgressFace::Manner::silent, Style(false));
  silent.stage("x", 10, false);
  clock.now += 100 * kSecond;
  silent.advance(5);
  silent.finish();
  EXPECT_EQ(err.text(), "");
  ProgressFace bar(err, clock, ProgressFace::Manner::bar, Style(false));
  bar.stage("x", 10, false);
  bar.advance(1);  // quick work shows none
  EXPECT_EQ(err.text(), "");
  clock.now += kSecond;
  bar.advance(1);
  EXPECT_NE(err.text().find("20 %"), std::string::npos);
  bar.finish();
  EXPECT_TRUE(err.text().ends_with("\r\x1b[K"));
}

}  // namespace
}  // namespace mlxcache::cli
