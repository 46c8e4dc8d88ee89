#include "mlxbase/format/ini.h"

#include <gtest/gtest.h>

namespace mlxbase {
namespace {

json::Value must(std::string_view text) {
  auto v = ini::parse(text);
  EXPECT_TRUE(v) << (v ? "" : v.error().message);
  return v ? *v : json::Value();
}

TEST(Ini, ReadsWhatGpt4AllWrites) {
  const auto v = must("[General]\nchatTheme=Dark\nmodelPath=/home/ann/my models/\nserverChat=true\n\n[download]\nlastVersionStarted=3.10.0\n");
  EXPECT_EQ(v["General"]["modelPath"].string(), "/home/ann/my models/");
  EXPECT_EQ(v["download"]["lastVersionStarted"].string(), "3.10.0");
}

TEST(Ini, KeysBeforeASectionAreGeneral) { EXPECT_EQ(must("a=1\r\n[x]\r\nb=2\r\n")["General"]["a"].string(), "1"); }

TEST(Ini, ReadsTheEscapesOfQt) {
  EXPECT_EQ(must("a=\"x;y\" ; z")["General"]["a"].string(), "x;y");
  EXPECT_EQ(must(R"(a="\"q\" \\ \n")")["General"]["a"].string(), "\"q\" \\ \n");
  EXPECT_EQ(must(R"(a=caf\xe9)")["General"]["a"].string(), "caf\xc3\xa9");
  EXPECT_EQ(must(R"(a=\xd83d\xde00)")["General"]["a"].string(), "\xf0\x9f\x98\x80");
  EXPECT_EQ(must(R"(a=\xd83d!)")["General"]["a"].string(), "\xef\xbf\xbd!");
  EXPECT_EQ(must("a=@@home")["General"]["a"].string(), "@home");
  EXPECT_EQ(must("a=@String(x)")["General"]["a"].string(), "x");
  EXPECT_EQ(must("a = \" padded \" ")["General"]["a"].string(), " padded ");
  EXPECT_EQ(must("a=one \\\n two")["General"]["a"].string(), "one  two");
}

TEST(Ini, ReadsListsAndNamesWithSlashesAndPercents) {
  const auto v = must("[a%20b]\nx\\y%2Fz=1, \"2,3\" ,4\n");
  const auto& list = v["a b"]["x/y/z"].array();
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[0].string(), "1");
  EXPECT_EQ(list[1].string(), "2,3");
  EXPECT_EQ(list[2].string(), "4");
}

TEST(Ini, LeavesOutCommentsAndLinesThatMakeNoSense) {
  const auto v = must("; a=1\n=2\nnothing\n[x\nb=3\n  ;c=4\n");
  EXPECT_TRUE(v["General"].is_null());
  EXPECT_EQ(v["x"]["b"].string(), "3");
  EXPECT_EQ(v["x"].object().size(), 1U);
}

TEST(Ini, TheLastOfRepeatedKeysCounts) { EXPECT_EQ(must("a=1\n[x]\n[General]\na=2")["General"]["a"].string(), "2"); }

TEST(Ini, RefusesWhatIsNotUtf8OrTooLarge) {
  EXPECT_EQ(ini::parse("a=\xff").error().code, Code::corrupt);
  EXPECT_EQ(ini::parse("a=1", {.bytes = 2, .depth = 1}).error().code, Code::invalid);
}

TEST(Ini, WhatIsEscapedReadsBack) {
  for (const std::string text : {"", " ", "a", "/x y/z", "a;b,c=d", "\"", "\\", "@x", "\n\t\r", "\x01" "abc", "\x1f" "0x", "caf\xc3\xa9", "tail\\", " both "}) {
    EXPECT_EQ(must("k=" + ini::escaped(text))["General"]["k"].string("?"), text) << ini::escaped(text);
  }
}

}  // namespace
}  // namespace mlxbase
