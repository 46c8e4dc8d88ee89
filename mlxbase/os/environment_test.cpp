#include "mlxbase/os/environment.h"

#include <gtest/gtest.h>

namespace mlxbase::os {
namespace {

Environment some() {
  Environment e;
  e.variables = {{"HF_HOME", "/data/hf"}, {"EMPTY", ""}, {"A_1", "x"}};
  e.home = "/home/u";
  e.working_directory = "/home/u/work";
  e.root = "/";
  return e;
}

TEST(Environment, AnEmptyVariableIsSetButNotNonempty) {
  EXPECT_EQ(some().get("EMPTY"), "");
  EXPECT_EQ(some().get_nonempty("EMPTY"), std::nullopt);
  EXPECT_EQ(some().get("MISSING"), std::nullopt);
}

TEST(Environment, ExpandsAsPythonDoes) {
  const Environment e = some();
  EXPECT_EQ(e.expand("~/models"), "/home/u/models");
  EXPECT_EQ(e.expand("~"), "/home/u");
  EXPECT_EQ(e.expand("~other/models"), "~other/models");
  EXPECT_EQ(e.expand("a/~"), "a/~");
  EXPECT_EQ(e.expand("$HF_HOME/hub"), "/data/hf/hub");
  EXPECT_EQ(e.expand("${HF_HOME}x"), "/data/hfx");
  EXPECT_EQ(e.expand("$A_1-$EMPTY-"), "x--");
}

TEST(Environment, LeavesWhatIsNoVariableAsItStands) {
  const Environment e = some();
  for (const char* text : {"$MISSING/x", "${MISSING}", "a$", "$", "${", "${HF_HOME", "$$", "100$/x", "${}"}) EXPECT_EQ(e.expand(text), text);
}

TEST(Environment, DoesNotExpandWhatAValueHolds) {
  Environment e = some();
  e.variables["X"] = "$HF_HOME";
  EXPECT_EQ(e.expand("$X"), "$HF_HOME");
}

TEST(Environment, RelativePathsStartWhereTheProgramWasStarted) {
  EXPECT_EQ(some().absolute("models/../x"), "/home/u/work/x");
  EXPECT_EQ(some().absolute("/a/./b"), "/a/b");
}

TEST(Environment, FixedSystemPathsCanBeMovedAside) {
  Environment e = some();
  EXPECT_EQ(e.system("/usr/share/ollama"), "/usr/share/ollama");
  e.root = "/tmp/x";
  EXPECT_EQ(e.system("/usr/share/ollama"), "/tmp/x/usr/share/ollama");
}

TEST(Environment, TheRealOneIsAbsolute) {
  const Environment e = real_environment();
  EXPECT_EQ(e.home.front(), '/');
  EXPECT_EQ(e.working_directory.front(), '/');
  EXPECT_EQ(e.temp_directory.front(), '/');
  EXPECT_EQ(e.platform, this_platform());
}

}  // namespace
}  // namespace mlxbase::os
