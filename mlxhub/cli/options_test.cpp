#include "mlxhub/cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mlxhub::cli {
namespace {

using ::testing::HasSubstr;
using Words = std::vector<std::string>;

TEST(HubOptions, AreRead) {
  const auto options = parse(Words{"serve", "--model", "a", "--model=b", "--port", "0", "--memory", "8GB", "--keep", "ever", "--api-key", "k"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->command, Command::serve);
  EXPECT_EQ(options->models, (Words{"a", "b"}));
  EXPECT_EQ(options->port, 0);
  EXPECT_EQ(options->memory_bytes, 8'000'000'000U);
  EXPECT_EQ(options->keep_seconds, -1);
  EXPECT_EQ(parse(Words{"stop", "llama3.2:3b"})->model, "llama3.2:3b");
  EXPECT_TRUE(parse(Words{"ls", "--json"})->json);
}

TEST(HubOptions, AreRefusedByName) {
  for (const auto& [words, word] : std::vector<std::pair<Words, std::string_view>>{{{}, "command"},
                                                                                    {{"fly"}, "fly"},
                                                                                    {{"serve", "--frob"}, "--frob"},
                                                                                    {{"serve", "--port", "65536"}, "--port"},
                                                                                    {{"serve", "--port"}, "needs a value"},
                                                                                    {{"serve", "x"}, "one word too many"},
                                                                                    {{"stop"}, "MODEL"},
                                                                                    {{"stop", "a", "b"}, "one word too many"},
                                                                                    {{"ls", "--port", "1"}, "no option of ls"},
                                                                                    {{"ls", "--json=1"}, "takes no value"},
                                                                                    {{"serve", "--memory", "much"}, "--memory"},
                                                                                    {{"serve", "--keep", "long"}, "--keep"}}) {
    const auto options = parse(words);
    ASSERT_FALSE(options) << word;
    EXPECT_THAT(options.error().message, HasSubstr(word));
  }
}

TEST(HubOptions, HelpAndManualNameEveryRow) {
  for (const CommandRow& row : command_rows()) {
    EXPECT_THAT(help_text(), HasSubstr("  mlxhub " + std::string(row.name)));
    EXPECT_THAT(man_page(), HasSubstr(".B mlxhub " + std::string(row.name)));
  }
  for (const OptionRow& row : option_rows()) EXPECT_THAT(help_text(), HasSubstr(row.name));
}

}  // namespace
}  // namespace mlxhub::cli
