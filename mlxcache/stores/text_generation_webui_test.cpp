#include <gmock/gmock.h>

#include "mlxcache/stores/tool_fixture.h"
#include "mlxcache/stores/webui_metadata.h"

namespace mlxcache::stores {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using text_generation_webui::parse_flags;
using text_generation_webui::parse_webui_metadata;

class TextGenerationWebui : public ToolFixture {
 protected:
  const std::string root = home("text-generation-webui/user_data/models");
  std::string at(std::string_view name, std::string_view bytes = "weights") const { return put("text-generation-webui/user_data/models/" + std::string(name), bytes); }
  Listing listed() { return list(StoreKind::text_generation_webui, root); }
};

TEST(WebuiMetadata, ReadsWhatTheDownloaderWrites) {
  const auto m = parse_webui_metadata("url: https://huggingface.co/org/m\nbranch: 4bit\ndownload date: 2026-01-01 00:00:00\nsha256sum:\n    " + std::string(64, 'a') +
                                      "  model.safetensors\n    " + std::string(64, 'b') + " sub/x y.bin\n");
  EXPECT_EQ(m.url, "https://huggingface.co/org/m");
  EXPECT_EQ(m.branch, "4bit");
  ASSERT_EQ(m.sha256.size(), 2U);
  EXPECT_EQ(m.sha256.at("sub/x y.bin").hex(), std::string(64, 'b'));
}

TEST(WebuiMetadata, LeavesOutWhatIsNoDigestOrLeavesTheFolder) {
  const std::string a(64, 'a');
  const auto m = parse_webui_metadata(a + " before.bin\nsha256sum:\n" + a + "  ../up.bin\n" + a + "  /etc/passwd\n" + a.substr(1) + "  short.bin\n" + a + "\nnonsense\n");
  EXPECT_TRUE(m.sha256.empty());
}

TEST(WebuiFlags, ReadsFoldersFromTheCommandLineFile) {
  EXPECT_THAT(parse_flags("# comment --model-dir /no\n--listen --model-dir '/a b' --lora-dir=/c\n--cpu\n"),
              ElementsAre(Pair("--model-dir", "/a b"), Pair("--lora-dir", "/c")));
}

TEST_F(TextGenerationWebui, ClaimsWhatTheRecordSaysButNotAsChecked) {
  at("org_m/model.safetensors");
  at("org_m/huggingface-metadata.txt", "url: u\nbranch: dev\nsha256sum:\n  " + std::string(64, 'a') + "  model.safetensors\n");
  const Listing l = listed();
  const Entry* e = entry(l, "model.safetensors");
  EXPECT_EQ(e->claim->hex(), std::string(64, 'a'));
  EXPECT_FALSE(e->claim_checked_by_tool);
  EXPECT_EQ(model(l, "org_m")->revision, "dev");
}

TEST_F(TextGenerationWebui, SharesOnlyByClonesAndSaysWhy) {
  at("lone.gguf");
  const Listing l = listed();
  EXPECT_EQ(entry(l, "lone.gguf")->links, catalog::kReflinkOnly);
  EXPECT_TRUE(entry(l, "lone.gguf")->links_reason.view().contains("append"));
  EXPECT_TRUE(adapter_of(StoreKind::text_generation_webui).writes_in_place);
}

TEST_F(TextGenerationWebui, TakesFilesAndFoldersOnTopAsModels) {
  at("lone.gguf");
  at("big-00001-of-00002.gguf");
  at("big-00002-of-00002.gguf");
  at("half-00001-of-00002.gguf");
  at("org_m/sub/model.safetensors");
  at("config-user.yaml", "x");
  at("place-your-models-here.txt", "");
  const Listing l = listed();
  EXPECT_EQ(l.models.size(), 4U);
  EXPECT_EQ(model(l, "big-00001-of-00002.gguf")->entries.size(), 2U);
  EXPECT_TRUE(model(l, "half-00001-of-00002.gguf")->incomplete);
  EXPECT_EQ(role(l, "config-user.yaml"), Role::metadata);
}

TEST_F(TextGenerationWebui, FindsInstallFoldersAndWhatTheirFlagsName) {
  make_folder(root);
  make_folder(home("text-generation-webui/user_data/loras"));
  const std::string big = make_folder(folder / "big");
  put("text-generation-webui/user_data/CMD_FLAGS.txt", "--model-dir " + big);
  EXPECT_THAT(discover(StoreKind::text_generation_webui), ElementsAre(big, root, home("text-generation-webui/user_data/loras")));
}

TEST_F(TextGenerationWebui, FindsDataBesideAPortableBuildOnlyIfItIsItsOwn) {
  make_folder(home("text-generation-webui-4.1"));
  make_folder(home("user_data/models"));
  EXPECT_THAT(discover(StoreKind::text_generation_webui), IsEmpty());
  put("user_data/CMD_FLAGS.txt", "");
  EXPECT_THAT(discover(StoreKind::text_generation_webui), ElementsAre(home("user_data/models")));
}

}  // namespace
}  // namespace mlxcache::stores
