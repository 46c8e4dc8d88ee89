#include "mlxbase/net/proxy.h"

#include <gtest/gtest.h>

#include <map>

namespace mlxbase::net {
namespace {

std::string proxy_for(std::string_view url, std::map<std::string, std::string, std::less<>> variables, const std::string& fixed = {}) {
  return choose_proxy(*Url::parse(url), fixed, [&](std::string_view name) -> std::optional<std::string> {
           const auto found = variables.find(name);
           return found == variables.end() ? std::nullopt : std::optional(found->second);
         }).url;
}

TEST(Proxy, IsChosenByScheme) {
  EXPECT_EQ(proxy_for("http://h/", {{"http_proxy", "p1"}, {"https_proxy", "p2"}}), "p1");
  EXPECT_EQ(proxy_for("https://h/", {{"http_proxy", "p1"}, {"https_proxy", "p2"}}), "p2");
  EXPECT_EQ(proxy_for("https://h/", {{"HTTPS_PROXY", "p3"}, {"all_proxy", "p4"}}), "p3");
  EXPECT_EQ(proxy_for("https://h/", {{"http_proxy", "p1"}, {"ALL_PROXY", "p5"}}), "p5");
  EXPECT_EQ(proxy_for("https://h/", {{"https_proxy", ""}, {"ALL_PROXY", "p5"}}), "p5");
  EXPECT_EQ(proxy_for("https://h/", {}), "");
}
TEST(Proxy, UpperCaseHttpProxyIsATrapAndNotRead) { EXPECT_EQ(proxy_for("http://h/", {{"HTTP_PROXY", "p"}}), ""); }
TEST(Proxy, LoopbackIsReachedDirectly) {
  EXPECT_EQ(proxy_for("http://127.0.0.1:9/", {{"http_proxy", "p"}}), "");
  EXPECT_EQ(proxy_for("http://localhost/", {{"all_proxy", "p"}}), "");
}
TEST(Proxy, AFixedOneIsForAll) { EXPECT_EQ(proxy_for("http://127.0.0.1/", {{"http_proxy", "p"}}, "fixed"), "fixed"); }
TEST(Proxy, ExceptionsGoAlong) {
  const auto proxy = choose_proxy(*Url::parse("http://h/"), {}, [](std::string_view name) -> std::optional<std::string> {
    if (name == "http_proxy") return "p";
    if (name == "NO_PROXY") return ".corp,10.0.0.0/8";
    return std::nullopt;
  });
  EXPECT_EQ(proxy.no_proxy, ".corp,10.0.0.0/8");
}

}  // namespace
}  // namespace mlxbase::net
