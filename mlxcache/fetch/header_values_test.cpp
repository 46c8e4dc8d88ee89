#include <gtest/gtest.h>

#include "mlxcache/fetch/header_values.h"

namespace mlxcache::fetch {
namespace {

TEST(LinkHeader, GivesTheNextPage) {
  EXPECT_EQ(next_link(R"(<https://h/api?cursor=x%3D>; rel="next")"), "https://h/api?cursor=x%3D");
  EXPECT_EQ(next_link(R"(<https://h/a>; rel="prev", </b?x=1,2>; title="a, b"; rel="last next")"), "/b?x=1,2");
  EXPECT_EQ(next_link(R"(<https://h/a>; rel=next)"), "https://h/a");
}

TEST(LinkHeader, GivesNothingWhenThereIsNoneOrItIsBroken) {
  for (const std::string_view text : {"", "<https://h/a>; rel=\"prev\"", "https://h/a; rel=next", "<https://h/a", "<https://h/a>; rel=\"next", ",,,"}) {
    EXPECT_FALSE(next_link(text)) << text;
  }
}

TEST(Challenge, IsReadWithItsParts) {
  const auto challenge = bearer_challenge(R"(Bearer realm="https://ollama.com/token",service="ollama.com",scope="repository:library/x:pull")");
  ASSERT_TRUE(challenge);
  EXPECT_EQ(challenge->realm, "https://ollama.com/token");
  EXPECT_EQ(challenge->service, "ollama.com");
  EXPECT_EQ(challenge->scope, "repository:library/x:pull");
  EXPECT_EQ(bearer_challenge(R"(Basic realm="a, b", bearer REALM="https://x\"y")")->realm, "https://x\"y");
  EXPECT_EQ(bearer_challenge(R"(Negotiate, Bearer realm=abc)")->realm, "abc");
}

TEST(Challenge, IsNothingWithoutABearerAndItsRealm) {
  for (const std::string_view text : {"", "Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"x", "\"", ", ,"}) EXPECT_FALSE(bearer_challenge(text)) << text;
}

}  // namespace
}  // namespace mlxcache::fetch
