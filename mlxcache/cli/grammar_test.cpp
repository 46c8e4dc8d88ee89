#include "mlxcache/cli/grammar.h"

#include <gtest/gtest.h>

#include <set>

#include "mlxcache/cli/completions.h"
#include "mlxcache/cli/help.h"
#include "mlxcache/cli/man_page.h"
#include "mlxcache/cli/plan_text.h"

namespace mlxcache::cli {
namespace {

mlxbase::Status parsed(std::vector<std::string> words, Invocation& invocation) { return parse(words, invocation); }

std::string complaint(std::vector<std::string> words) {
  Invocation invocation;
  const auto status = parsed(std::move(words), invocation);
  return status ? "" : status.error().message;
}

TEST(Grammar, TakesGlobalOptionsAnywhere) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"--json", "scan", "--root", "a"}, {"scan", "--json", "--root", "a"}, {"scan", "--root=a", "--json"}}) {
    Invocation invocation;
    ASSERT_TRUE(parsed(words, invocation));
    ASSERT_NE(invocation.command, nullptr);
    EXPECT_EQ(invocation.command->name, "scan");
    EXPECT_TRUE(invocation.globals.flag("--json"));
    EXPECT_EQ(invocation.arguments.all("--root"), std::vector<std::string>{"a"});
  }
}

TEST(Grammar, AnOptionTakesOneValueEachTimeItIsNamed) {
  Invocation invocation;
  ASSERT_TRUE(parsed({"verify", "--root", "a", "m1", "--root", "b", "m2"}, invocation));
  EXPECT_EQ(invocation.arguments.all("--root"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(invocation.arguments.all("MODEL"), (std::vector<std::string>{"m1", "m2"}));
}

TEST(Grammar, AModelNamedLikeACommandIsStillAModel) {
  Invocation invocation;
  ASSERT_TRUE(parsed({"show", "scan"}, invocation));
  EXPECT_EQ(invocation.command->name, "show");
  EXPECT_EQ(invocation.arguments.one("MODEL"), "scan");
}

TEST(Grammar, ErrorsNameTheWordAndTheWayOut) {
  EXPECT_NE(complaint({"scna"}).find("did you mean 'scan'"), std::string::npos);
  EXPECT_NE(complaint({"publish", "x", "--to", "ollama,jam"}).find("did you mean 'jan'"), std::string::npos);
  EXPECT_NE(complaint({"publish", "x", "--to", "ollama,"}), "");
  EXPECT_EQ(complaint({"publish", "x", "--to", "Ollama,lmstudio"}), "") << "with commas, and as people write it";
  EXPECT_NE(complaint({"dedup", "--store", "olama"}).find("did you mean 'ollama'"), std::string::npos);
  EXPECT_NE(complaint({"scan", "--apply"}).find("'dedup' does"), std::string::npos);
  EXPECT_NE(complaint({"scan", "--min-size", "x"}).find("500M"), std::string::npos);
  EXPECT_NE(complaint({"scan", "--root"}).find("--root DIR needs a value"), std::string::npos);
  EXPECT_NE(complaint({"undo", "a", "b"}).find("'b'"), std::string::npos);
  EXPECT_EQ(complaint({"x\x1b[31m"}).find('\x1b'), std::string::npos);
}

TEST(Grammar, KeepsJsonWhenTheRestMakesNoSense) {
  Invocation invocation;
  EXPECT_FALSE(parsed({"scan", "--json", "--nonsense"}, invocation));
  EXPECT_TRUE(invocation.globals.flag("--json"));
}

TEST(Commands, EachRowIsComplete) {
  std::set<std::string_view> names;
  for (const Command& c : commands()) {
    EXPECT_TRUE(names.insert(c.name).second) << c.name;
    EXPECT_FALSE(c.summary.empty()) << c.name;
    EXPECT_FALSE(c.description.empty()) << c.name;
    EXPECT_FALSE(c.examples.empty()) << c.name;
    EXPECT_NE(c.run, nullptr) << c.name;
    for (const Example& e : c.examples) EXPECT_TRUE(e.line.starts_with("mlxcache ")) << e.line;
    const std::string help = help_of(c, 80, Style(false));
    for (const Option& o : c.options) {
      EXPECT_NE(help.find(o.name), std::string::npos) << c.name << o.name;
      EXPECT_NE(man_page_of(c).find(std::string(o.name).substr(2, 3)), std::string::npos);
      for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_NE(completion_script(shell).find(o.name.substr(2)), std::string::npos) << shell << o.name;
    }
    for (std::size_t at = 0; at < help.size();) {
      const auto end = help.find('\n', at);
      if (!help.substr(at, end - at).starts_with("  mlxcache ")) {  // an example line is not broken
        EXPECT_LE(display_width(help.substr(at, end - at)), 80U) << help.substr(at, end - at);
      }
      at = end + 1;
    }
  }
}

TEST(Nearest, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string_view> words{"scan", "show", "undo"};
  EXPECT_EQ(nearest("sacn", words), "scan");
  EXPECT_EQ(nearest("un", words), "undo");
  EXPECT_FALSE(nearest("completely-else", words));
  EXPECT_FALSE(nearest(std::string(100'000, 'x'), words));
}

TEST(WithoutMerges, LeavesAllNamesOfAnInodeOrNone) {
  dedup::Action merged{.method = dedup::Method::hard_link, .bytes = 0};
  merged.target = "/a";
  merged.target_state.id = {1, 10};
  dedup::Action second = merged;  // the last name of the same inode frees; its own merge list is empty
  second.target = "/b";
  second.bytes = 4096;
  merged.merges = {"mode"};
  dedup::Action other = second;
  other.target = "/c";
  other.target_state.id = {1, 11};
  const dedup::Plan plan{.actions = {merged, second, other}, .skipped = {}, .bytes_freed = 8192, .merges_metadata = true};
  const dedup::Plan rest = without_merges(plan);
  ASSERT_EQ(rest.actions.size(), 1U);
  EXPECT_EQ(rest.actions[0].target, "/c");
  EXPECT_EQ(rest.bytes_freed, 4096U);
  EXPECT_EQ(rest.skipped.size(), 2U);
  EXPECT_FALSE(rest.merges_metadata);
}

}  // namespace
}  // namespace mlxcache::cli
