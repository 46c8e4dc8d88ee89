#include "mlxdash/web/site.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mlxdash/web/assets.h"

namespace mlxdash::web {
namespace {

TEST(WebOrigin, OnlyOurOwnPageAndThoseAllowedMayAsk) {
  EXPECT_TRUE(is_own_origin("", "127.0.0.1:4280", {})) << "a script, Prometheus";
  EXPECT_TRUE(is_own_origin("http://127.0.0.1:4280", "127.0.0.1:4280", {}));
  EXPECT_TRUE(is_own_origin("https://dash.example", "dash.example", {})) << "behind a proxy that does TLS";
  EXPECT_FALSE(is_own_origin("http://127.0.0.1:3000", "127.0.0.1:4280", {})) << "another program's page on this machine";
  EXPECT_FALSE(is_own_origin("http://localhost:4280", "127.0.0.1:4280", {}));
  EXPECT_FALSE(is_own_origin("null", "null", {}));
  EXPECT_FALSE(is_own_origin("https://evil.example", "dash.example", {}));
  EXPECT_TRUE(is_own_origin("https://board.example", "dash.example", {"https://board.example"}));
}

TEST(WebQuery, ValuesAreDecodedAndRepeat) {
  EXPECT_EQ(query_values("series=a%7Bb%3D%22c%22%7D&since=1h&series=d+e", "series"), (std::vector<std::string>{"a{b=\"c\"}", "d e"}));
  EXPECT_EQ(query_values("series", "series"), std::vector<std::string>{});
  EXPECT_EQ(query_values("a=%4&a=%zz&a=%", "a"), (std::vector<std::string>{"%4", "%zz", "%"})) << "what is no code stays as it is";
}

TEST(WebAssets, ThePageIsThereWithinItsBudget) {
  std::size_t compressed = 0;
  bool index = false;
  for (const Asset& asset : assets()) {
    compressed += asset.gzip.size();
    index = index || asset.path == "/index.html";
    EXPECT_EQ(asset.gzip.substr(0, 2), "\x1f\x8b") << asset.path;
    EXPECT_FALSE(asset.bytes.empty());
  }
  EXPECT_TRUE(index);
  EXPECT_LT(compressed, 120'000U);
}

}  // namespace
}  // namespace mlxdash::web
