#include <gtest/gtest.h>

#include "mlxcache/fetch/glob.h"
#include "mlxcache/fetch/quant.h"
#include "mlxcache/fetch/select.h"

namespace mlxcache::fetch {
namespace {

TEST(Glob, ReadsPatternsAsTheHubsOwnClientDoes) {
  EXPECT_TRUE(glob_matches("*.gguf", "a/b/model.gguf"));
  EXPECT_TRUE(glob_matches("*", "anything/at all"));
  EXPECT_TRUE(glob_matches("onnx/", "onnx/a/model.onnx"));
  EXPECT_TRUE(glob_matches("model-0000[1-3]-of-*", "model-00002-of-00003.safetensors"));
  EXPECT_FALSE(glob_matches("model-0000[!1-3]-of-*", "model-00002-of-00003.safetensors"));
  EXPECT_TRUE(glob_matches("a[]]b", "a]b"));
  EXPECT_TRUE(glob_matches("a[b", "a[b"));
  EXPECT_TRUE(glob_matches("conf?g.json", "config.json"));
  EXPECT_FALSE(glob_matches("config.json", "sub/config.json"));
  EXPECT_FALSE(glob_matches("", "x"));
}

TEST(Glob, TakesNoTimeToSpeakOfForAHostilePattern) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(4000, 'a')));
}

TEST(Quant, IsReadFromTheNamesThatPublishersUse) {
  EXPECT_EQ(quant_of("Llama-3.2-1B-Instruct-Q4_K_M.gguf"), "Q4_K_M");
  EXPECT_EQ(quant_of("mistral-7b.q5_0.gguf"), "Q5_0");
  EXPECT_EQ(quant_of("gemma-UD-Q4_K_XL.gguf"), "UD-Q4_K_XL");
  EXPECT_EQ(quant_of("gemma-bf16.gguf"), "BF16");
  EXPECT_EQ(quant_of("Q8_0/model-00001-of-00002.gguf"), "Q8_0");
  EXPECT_EQ(quant_of("big-IQ2_XXS-00001-of-00003.gguf"), "IQ2_XXS");
  EXPECT_EQ(quant_of("ggml_model_q4_0.gguf"), "Q4_0");
  EXPECT_EQ(quant_of("gpt-oss-20b-mxfp4.gguf"), "MXFP4");
  EXPECT_EQ(quant_of("Qwen2.5-7B.gguf"), "");
  EXPECT_EQ(quant_of("model-Q4_K_M.safetensors"), "");
}

const std::vector<std::string> kRepo{"README.md",        "m-Q4_K_M.gguf",  "m-UD-Q2_K_XL.gguf", "m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf",
                                     "mmproj-BF16.gguf", "mmproj-F16.gguf", "m-F16-00001-of-00002.gguf"};

TEST(Quant, TakesEverySplitAndOneProjector) {
  const auto files = files_of_quant(kRepo, "q8_0");
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(*files, (std::vector<std::string>{"m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf", "mmproj-F16.gguf"}));
}

TEST(Quant, FindsADynamicOneByItsPlainName) {
  const auto files = files_of_quant(kRepo, "Q2_K_XL");
  ASSERT_TRUE(files);
  EXPECT_EQ(files->front(), "m-UD-Q2_K_XL.gguf");
}

TEST(Quant, ListsWhatThereIsWhenItIsUnknown) {
  const auto files = files_of_quant(kRepo, "Q3_K_S");
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().message.find("Q4_K_M, UD-Q2_K_XL, Q8_0, F16"), std::string::npos) << files.error().message;
}

TEST(Quant, IsNotTakenWithAPartMissing) { EXPECT_FALSE(files_of_quant(kRepo, "F16")); }

std::vector<std::string> selected(const Selection& selection) {
  std::vector<RemoteFile> files;
  for (const std::string& path : kRepo) {
    files.emplace_back();
    files.back().path = path;
  }
  std::vector<std::string> out;
  if (auto chosen = select(std::move(files), selection)) {
    for (const RemoteFile& file : *chosen) out.push_back(file.path);
  }
  return out;
}

TEST(Selection, IncludesThenExcludes) {
  EXPECT_EQ(selected({.include = {"*.gguf"}, .exclude = {"*Q8_0*", "mmproj*", "*F16*"}}), (std::vector<std::string>{"m-Q4_K_M.gguf", "m-UD-Q2_K_XL.gguf"}));
  EXPECT_EQ(selected({.include = {"*.md"}, .quant = "Q4_K_M"}), (std::vector<std::string>{"README.md", "m-Q4_K_M.gguf", "mmproj-F16.gguf"}));
  EXPECT_TRUE(selected({.include = {"nothing*"}}).empty());
}

}  // namespace
}  // namespace mlxcache::fetch
