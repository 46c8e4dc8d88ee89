#include "mlxbase/core/path.h"

#include <gtest/gtest.h>

#include <string>

namespace mlxbase::path {
namespace {

TEST(Path, JoinsWithOneSlash) {
  EXPECT_EQ(join("a", "b"), "a/b");
  EXPECT_EQ(join("a/", "b"), "a/b");
  EXPECT_EQ(join("/", "b"), "/b");
  EXPECT_EQ(join("a", "b", "c", "d"), "a/b/c/d");
}

TEST(Path, AnAbsoluteSecondPartReplacesTheFirstAsInEveryShellAndPython) {
  EXPECT_EQ(join("/home/u", "/etc"), "/etc");
  EXPECT_EQ(join("", "b"), "b");
  EXPECT_EQ(join("a", ""), "a");
}

TEST(Path, TakesNamesApart) {
  EXPECT_EQ(file_name("/a/b.gguf"), "b.gguf");
  EXPECT_EQ(file_name("b"), "b");
  EXPECT_EQ(file_name("/a/"), "");
  EXPECT_EQ(parent("/a/b"), "/a");
  EXPECT_EQ(parent("/a"), "/");
  EXPECT_EQ(parent("a"), ".");
  EXPECT_EQ(extension("/x.d/model-00001-of-00002.safetensors"), ".safetensors");
  EXPECT_EQ(extension(".hidden"), "");
  EXPECT_EQ(extension("name"), "");
  EXPECT_EQ(extension("a.tar.gz"), ".gz");
  EXPECT_EQ(stem("/x/a.tar.gz"), "a.tar");
  EXPECT_EQ(stem(".hidden"), ".hidden");
}

TEST(Path, NormalRemovesWhatMeansNothing) {
  EXPECT_EQ(normal("/a//b/./c/"), "/a/b/c");
  EXPECT_EQ(normal("/a/../b"), "/b");
  EXPECT_EQ(normal("/../.."), "/");
  EXPECT_EQ(normal("a/.."), ".");
  EXPECT_EQ(normal("../a/../../b"), "../../b");
  EXPECT_EQ(normal(""), ".");
}

TEST(Path, WithinMeansWholeComponents) {
  EXPECT_TRUE(is_within("/a/b", "/a/b"));
  EXPECT_TRUE(is_within("/a/b/", "/a/b/c"));
  EXPECT_FALSE(is_within("/a/b", "/a/bc"));
  EXPECT_FALSE(is_within("/a/b", "/a"));
  EXPECT_TRUE(is_within("/", "/a"));
}

TEST(Path, WithinIsNotFooledByDots) {
  EXPECT_FALSE(is_within("/a/b", "/a/b/../c"));
  EXPECT_FALSE(is_within("/a/b", "/a/b/c/../../../etc/passwd"));
  EXPECT_TRUE(is_within("/a/b", "/a/x/../b/c"));
}

TEST(Path, RelativeToDropsTheRoot) {
  EXPECT_EQ(relative_to("/a/b", "/a/b/c/d"), "c/d");
  EXPECT_EQ(relative_to("/a/b/", "/a/b/c"), "c");
  EXPECT_EQ(relative_to("/a/b", "/a/b"), "");
  EXPECT_EQ(relative_to("/", "/a"), "a");
}

TEST(SafeSegment, TakesOrdinaryAndForeignNames) {
  for (const char* name : {"model.gguf", ".cache", "a b", "Модель", "模型", "..."}) EXPECT_TRUE(is_safe_segment(name)) << name;
  EXPECT_TRUE(is_safe_segment(std::string(255, 'x')));
}

TEST(SafeSegment, RefusesWhatCouldLeadElsewhere) {
  for (const char* name : {"", ".", "..", "a/b", "a\\b", "a\nb", "\x1b[2J", "a\x7f"}) EXPECT_FALSE(is_safe_segment(name)) << name;
  EXPECT_FALSE(is_safe_segment(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_safe_segment(std::string(256, 'x')));
}

TEST(SafeRelative, EachPartMustBeSafe) {
  EXPECT_TRUE(is_safe_relative("onnx/model.onnx"));
  for (const char* p : {"", "/etc/passwd", "a//b", "a/", "../a", "a/../b", "a/./b"}) EXPECT_FALSE(is_safe_relative(p)) << p;
}

TEST(SafeRelative, IsBoundedInLengthAndDepth) {
  std::string deep = "a";
  for (int i = 1; i < 64; ++i) deep += "/a";
  EXPECT_TRUE(is_safe_relative(deep));
  EXPECT_FALSE(is_safe_relative(deep + "/a"));
  std::string wide = std::string(255, 'x');
  while (wide.size() < 4095) wide += "/" + std::string(255, 'x');
  EXPECT_FALSE(is_safe_relative(wide + "/x"));
}

}  // namespace
}  // namespace mlxbase::path
