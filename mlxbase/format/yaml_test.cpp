#include "mlxbase/format/yaml.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mlxbase {
namespace {

json::Value must(std::string_view text) {
  auto v = yaml::parse(text);
  EXPECT_TRUE(v) << (v ? "" : v.error().message);
  return v ? *v : json::Value();
}

TEST(Yaml, ReadsAModelDefinition) {
  const auto v = must("name: phi\nparameters:\n  model: phi/phi-2.Q8_0.gguf\n  temperature: 0.2\nstopwords:\n- a\n- 'b'\n");
  EXPECT_EQ(v["name"].string(), "phi");
  EXPECT_EQ(v["parameters"]["model"].string(), "phi/phi-2.Q8_0.gguf");
  EXPECT_DOUBLE_EQ(v["parameters"]["temperature"].number(), 0.2);
  ASSERT_EQ(v["stopwords"].array().size(), 2U);
  EXPECT_EQ(v["stopwords"].array()[1].string(), "b");
}

TEST(Yaml, ResolvesPlainScalarsByTheCoreSchemaOnly) {
  EXPECT_TRUE(must("~").is_null());
  EXPECT_TRUE(must("").is_null());
  EXPECT_TRUE(must({}).is_null());
  EXPECT_EQ(must("True"), json::Value(true));
  EXPECT_EQ(must("no").string("?"), "no");   // YAML 1.1 would say false
  EXPECT_EQ(must("yes").string("?"), "yes");
  EXPECT_EQ(must("-12").i64(), -12);
  EXPECT_EQ(must("0x1F").u64(), 31U);
  EXPECT_EQ(must("0o17").u64(), 15U);
  EXPECT_EQ(must("017").u64(), 17U);         // no octal by a leading zero
  EXPECT_EQ(must("1:30").string("?"), "1:30");  // no sexagesimals
  EXPECT_DOUBLE_EQ(must("1e3").number(), 1000);
  EXPECT_DOUBLE_EQ(must(".5").number(), 0.5);
  EXPECT_TRUE(std::isinf(must("-.inf").number()));
  EXPECT_EQ(must("'12'").string("?"), "12");
  EXPECT_EQ(must("!!str 12").string("?"), "12");
  EXPECT_EQ(must("!!int '12'").u64(), 12U);
  EXPECT_EQ(must("+").string("?"), "+");
  EXPECT_EQ(must("-9223372036854775808").i64(), std::numeric_limits<std::int64_t>::min());
}

TEST(Yaml, KeepsEveryDigitOfADigestThatLooksLikeANumber) {
  const std::string digest(64, '7');
  EXPECT_EQ(must("sha256: " + digest)["sha256"].string(), digest);
}

TEST(Yaml, CopiesAliasesAndMergesMappings) {
  const auto v = must("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nsame: *b\n");
  EXPECT_EQ(v["use"]["x"].u64(), 1U);
  EXPECT_EQ(v["use"]["y"].u64(), 3U);
  EXPECT_EQ(v["same"]["y"].u64(), 2U);
}

TEST(Yaml, RefusesADocumentThatUnfoldsToBillions) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string p = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + p;
    for (int k = 0; k < 8; ++k) bomb += "," + p;
    bomb += "]\n";
  }
  const auto v = yaml::parse(bomb);
  ASSERT_FALSE(v);
  EXPECT_EQ(v.error().code, Code::corrupt);
}

TEST(Yaml, RefusesAnAliasOfItselfAndOfNothing) {
  EXPECT_FALSE(yaml::parse("a: &a [*a]"));
  EXPECT_FALSE(yaml::parse("a: *b"));
}

TEST(Yaml, RefusesWhatIsNestedTooDeepAlsoThroughAliases) {
  EXPECT_EQ(yaml::parse(std::string(200000, '[')).error().code, Code::corrupt);
  EXPECT_EQ(yaml::parse(std::string(65, '[') + std::string(65, ']')).error().code, Code::corrupt);
  EXPECT_TRUE(yaml::parse(std::string(64, '[') + std::string(64, ']')));
  std::string chain = "- &a0 []\n";
  for (int i = 1; i < 100; ++i) chain += "- &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  EXPECT_EQ(yaml::parse(chain).error().code, Code::corrupt);
}

TEST(Yaml, RefusesWhatIsTooLargeWithoutReadingIt) {
  EXPECT_EQ(yaml::parse(std::string(100, 'a'), {.bytes = 99, .depth = 4}).error().code, Code::invalid);
}

TEST(Yaml, RefusesKeysThatAreNoScalars) {
  EXPECT_FALSE(yaml::parse("? [a, b]\n: c\n"));
  EXPECT_FALSE(yaml::parse("x: &x {a: b}\n*x : c\n"));
}

TEST(Yaml, RefusesBytesThatAreNotUtf8AndUnclosedThings) {
  EXPECT_FALSE(yaml::parse("a: \xff"));
  EXPECT_FALSE(yaml::parse("a: [1, 2"));
  EXPECT_FALSE(yaml::parse("a: \"x"));
  EXPECT_FALSE(yaml::parse("a: b: c"));
}

TEST(Yaml, ReadsTheFirstOfSeveralDocuments) { EXPECT_EQ(must("a: 1\n---\na: 2\n")["a"].u64(), 1U); }

TEST(Yaml, ManyKeysAreReadInLinearTime) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(must(text).object().size(), 100000U);
}

TEST(Yaml, TheLastOfRepeatedKeysCounts) {
  const auto v = must("a: 1\nb: 2\na: 3\n");
  EXPECT_EQ(v.object().size(), 2U);
  EXPECT_EQ(v["a"].u64(), 3U);
}

}  // namespace
}  // namespace mlxbase
