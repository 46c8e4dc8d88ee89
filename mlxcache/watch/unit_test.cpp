#include "mlxcache/watch/unit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace mlxcache::watch {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(WatchUnit, QuotesWhatSystemdWouldTakeForItsOwn) {
  const auto unit = systemd_unit({"/opt/my tools/mlxcache", "watch", "--root", "/a/100%/$x/\"q\"\\"}, {{"HF_HOME", "/big disk/50%$"}});
  ASSERT_TRUE(unit);
  EXPECT_THAT(*unit, HasSubstr("ExecStart=\"/opt/my tools/mlxcache\" watch --root \"/a/100%%/$$x/\\\"q\\\"\\\\\"\n"));
  EXPECT_THAT(*unit, HasSubstr("Environment=\"HF_HOME=/big disk/50%%$\"\n"));
}

TEST(WatchUnit, RefusesALineBreakInAPath) {
  EXPECT_FALSE(systemd_unit({"/a\nExecStartPre=/bin/evil", "watch"}));
  EXPECT_FALSE(launchd_agent({"/a", "watch"}, "/log\x01"));
  EXPECT_FALSE(systemd_unit({"/a", "watch"}, {{"HF_HOME", "/x\ny"}}));
}

TEST(WatchUnit, EscapesXml) {
  const auto agent = launchd_agent({"/a & b/<c>", "watch"}, "/log", {{"HF_HOME", "/x&y"}});
  ASSERT_TRUE(agent);
  EXPECT_THAT(*agent, HasSubstr("<string>/a &amp; b/&lt;c&gt;</string>"));
  EXPECT_THAT(*agent, HasSubstr("<string>/x&amp;y</string>"));
}

TEST(WatchUnit, KeepsWhereStoresAreAndNoToken) {
  mlxbase::os::Environment environment;
  environment.home = "/home/u";
  environment.variables = {{"HF_HOME", "/big"}, {"HF_TOKEN", "hf_secret"}, {"OLLAMA_MODELS", ""}};
  const auto kept = kept_variables(environment);
  EXPECT_EQ(kept, (std::map<std::string, std::string>{{"HF_HOME", "/big"}}));
  const auto unit = unit_for(environment, {"/usr/bin/mlxcache", "watch"});
  ASSERT_TRUE(unit);
  EXPECT_EQ(unit->path, "/home/u/.config/systemd/user/mlxcache-watch.service");
  EXPECT_THAT(unit->text, Not(HasSubstr("hf_secret")));
  environment.platform = mlxbase::os::Platform::macos;
  EXPECT_EQ(unit_for(environment, {"/usr/bin/mlxcache", "watch"})->path, "/home/u/Library/LaunchAgents/mlxcache.watch.plist");
}

std::string packaged(const std::string& name) {
  std::ifstream file(std::string(PACKAGING) + "/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(WatchUnit, IsWhatPackagersInstall) {
  EXPECT_EQ(systemd_unit({"/usr/bin/mlxcache", "watch"}).value(), packaged("systemd/mlxcache-watch.service"));
  EXPECT_EQ(launchd_agent({"/opt/homebrew/bin/mlxcache", "watch"}, "").value(), packaged("launchd/mlxcache.watch.plist"));
}

}  // namespace
}  // namespace mlxcache::watch
