#include "mlxbase/format/toml.h"

#include <gtest/gtest.h>

namespace mlxbase {
namespace {

TEST(Toml, ReadsAConfiguration) {
  const auto v = toml::parse("[ramalama]\nstore = \"/srv/models\"\nimages = [\"a\", 'b']\n[ramalama.http]\nretries = 5\nrate = 1.5\nok = true\n");
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_EQ((*v)["ramalama"]["store"].string(), "/srv/models");
  EXPECT_EQ((*v)["ramalama"]["images"].array().size(), 2U);
  EXPECT_EQ((*v)["ramalama"]["http"]["retries"].u64(), 5U);
  EXPECT_DOUBLE_EQ((*v)["ramalama"]["http"]["rate"].number(), 1.5);
  EXPECT_TRUE((*v)["ramalama"]["http"]["ok"].boolean());
}

TEST(Toml, DatesBecomeTheirText) {
  const auto v = toml::parse("d = 2026-11-23\nt = 04:05:06\n");
  ASSERT_TRUE(v);
  EXPECT_EQ((*v)["d"].string(), "2026-11-23");
  EXPECT_EQ((*v)["t"].string(), "04:05:06");
}

TEST(Toml, RefusesWhatIsNot) {
  for (const char* text : {"a", "a = ", "a = 1\na = 2", "[a", "a = \"x", "a = [1, 2", "= 1", "a = \xff"}) {
    const auto v = toml::parse(text);
    ASSERT_FALSE(v) << text;
    EXPECT_EQ(v.error().code, Code::corrupt);
  }
}

TEST(Toml, RefusesWhatIsNestedTooDeepInEveryWay) {
  std::string dotted = "a";
  for (int i = 0; i < 200000; ++i) dotted += ".a";
  EXPECT_EQ(toml::parse(dotted + " = 1").error().code, Code::corrupt);
  EXPECT_EQ(toml::parse("[" + dotted + "]").error().code, Code::corrupt);
  std::string quoted = "'a'";
  for (int i = 0; i < 200000; ++i) quoted += ".\"=\"";
  EXPECT_EQ(toml::parse(quoted + " = 1").error().code, Code::corrupt);
  EXPECT_EQ(toml::parse("a = " + std::string(200000, '[')).error().code, Code::corrupt);
  std::string tables = "a = ";
  for (int i = 0; i < 100000; ++i) tables += "{a=";
  EXPECT_EQ(toml::parse(tables).error().code, Code::corrupt);
  std::string both = "a = ";
  for (int i = 0; i < 40; ++i) both += "{a.a.a.a=";
  both += "1" + std::string(40, '}');
  EXPECT_EQ(toml::parse(both).error().code, Code::corrupt);
}

TEST(Toml, DotsInTextAndManyFloatsAreNoDeepKey) {
  std::string floats = "a = [1.5";
  for (int i = 0; i < 500; ++i) floats += ", 1.5";
  EXPECT_TRUE(toml::parse(floats + "]"));
  EXPECT_TRUE(toml::parse("a = '" + std::string(500, '.') + "'"));
  EXPECT_TRUE(toml::parse("a = \"\"\"" + std::string(500, '.') + "\"\"\" # " + std::string(500, '.')));
}

TEST(Toml, RefusesWhatIsTooLarge) { EXPECT_EQ(toml::parse("a = 1", {.bytes = 4, .depth = 4}).error().code, Code::invalid); }

}  // namespace
}  // namespace mlxbase
