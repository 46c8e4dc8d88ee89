#include "mlxbase/net/url.h"

#include <gtest/gtest.h>

namespace mlxbase::net {
namespace {

std::string read_back(std::string_view text) {
  const auto url = Url::parse(text);
  return url ? url->text() : "refused";
}

std::string resolved(std::string_view base, std::string_view reference) {
  const auto url = Url::parse(base);
  if (!url) return "bad base";
  const auto out = url->resolve(reference);
  return out ? out->text() : "refused";
}

TEST(Url, IsNormalised) {
  EXPECT_EQ(read_back("HTTPS://Hugging.Face:443/A/b?x=1#y"), "https://hugging.face/A/b?x=1");
  EXPECT_EQ(read_back("http://h:8080"), "http://h:8080/");
  EXPECT_EQ(read_back("http://h/a/../b"), "http://h/b");
  EXPECT_EQ(read_back("http://h/a%2Fb"), "http://h/a%2Fb");
  EXPECT_EQ(read_back("http://[0:0:0:0:0:0:0:1]:80/"), "http://[::1]/");
  EXPECT_EQ(read_back("http://h/\xC3\xA4"), "http://h/%C3%A4");
  EXPECT_EQ(read_back("http://0x7f.1/"), "http://127.0.0.1/");
}

TEST(Url, RefusesWhatCouldBeReadInTwoWays) {
  for (const char* text : {"", "h/p", "//h/p", "ftp://h/", "file:///etc/passwd", "http:/h/", "http:///h/", "http://u:p@h/", "http://u@h/", "http://h /",
                           "http://h/a b", "http://h/\n", "http://h/\x7f", "http://h:0/", "http://h:99999/", "http://h:x/", "http://h\\@other/",
                           "http://[::1%25eth0]/", "http://[::1/", "http://h%2Fx/", "http://\xC3\xA4.test/", "http://?x", "javascript:alert(1)"}) {
    EXPECT_EQ(read_back(text), "refused") << text;
  }
  EXPECT_EQ(read_back("http://h/" + std::string(17000, 'a')), "refused");
  EXPECT_EQ(read_back(std::string_view("http://h/\0x", 11)), "refused");
}

TEST(Url, AUserNameIsNotShown) {
  const auto url = Url::parse("https://someone:hunter2@h/");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos);
  const auto signed_address = Url::parse("https://h /x?signature=hunter2");
  ASSERT_FALSE(signed_address);
  EXPECT_EQ(signed_address.error().message.find("hunter2"), std::string::npos);
}

TEST(Url, ReferencesAreResolvedAgainstIt) {
  EXPECT_EQ(resolved("https://h/a/b?q=1", "c"), "https://h/a/c");
  EXPECT_EQ(resolved("https://h/a/b?q=1", "/c?d"), "https://h/c?d");
  EXPECT_EQ(resolved("https://h/a/b", "?d=2"), "https://h/a/b?d=2");
  EXPECT_EQ(resolved("https://h/a/b", "../../../c"), "https://h/c");
  EXPECT_EQ(resolved("https://h/a/b", "//other/c"), "https://other/c");
  EXPECT_EQ(resolved("https://h/a/b", "http://other:81/c"), "http://other:81/c");
  EXPECT_EQ(resolved("https://h/a/b", "/x?u=http://y"), "https://h/x?u=http://y");
  EXPECT_EQ(resolved("https://h/a/b", ""), "https://h/a/b");
  for (const char* text : {"file:///etc/passwd", "data:text/plain,x", "///x", "/a b", "http://u@x/", "\\\\x\\y"}) {
    EXPECT_EQ(resolved("https://h/a/b", text), "refused") << text;
  }
}

TEST(Url, OriginsDifferBySchemeHostAndPort) {
  const auto url = [](std::string_view text) { return *Url::parse(text); };
  EXPECT_TRUE(url("https://h/a").same_origin(url("https://H:443/b?c")));
  EXPECT_FALSE(url("https://h/").same_origin(url("http://h/")));
  EXPECT_FALSE(url("https://h/").same_origin(url("https://h:444/")));
  EXPECT_FALSE(url("https://h/").same_origin(url("https://h.evil/")));
}

TEST(Url, SecretsTravelOverHttpsOrLoopbackOnly) {
  const auto may = [](std::string_view text) { return Url::parse(text)->may_carry_secrets(); };
  EXPECT_TRUE(may("https://h/"));
  EXPECT_FALSE(may("http://h/"));
  EXPECT_TRUE(may("http://localhost/"));
  EXPECT_TRUE(may("http://127.8.9.1:99/"));
  EXPECT_TRUE(may("http://[::1]/"));
  EXPECT_FALSE(may("http://127.0.0.1.evil.test/"));
  EXPECT_FALSE(may("http://localhost.evil.test/"));
  EXPECT_FALSE(may("http://128.0.0.1/"));
}

TEST(Url, WhatIsShownHasNoQuery) { EXPECT_EQ(Url::parse("https://h/a?sig=secret")->shown(), "https://h/a"); }

TEST(PercentEncode, LeavesUnreservedCharacters) {
  EXPECT_EQ(percent_encode("a-b_c.d~e"), "a-b_c.d~e");
  EXPECT_EQ(percent_encode("a/b c%\xC3"), "a%2Fb%20c%25%C3");
  EXPECT_EQ(percent_encode("a/b", "/"), "a/b");
}

}  // namespace
}  // namespace mlxbase::net
