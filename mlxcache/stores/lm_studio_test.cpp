#include <gmock/gmock.h>

#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using testing::ElementsAre;

class LmStudio : public ToolFixture {
 protected:
  const std::string root = home(".lmstudio/models");
  std::string at(std::string_view name, std::string_view bytes = "weights") const { return put(".lmstudio/models/" + std::string(name), bytes); }
  Listing listed() { return list(StoreKind::lm_studio, root); }
};

TEST_F(LmStudio, FollowsThePointerToItsHome) {
  make_folder(root);
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(root));
  make_folder(home(".cache/lm-studio/models"));
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(home(".cache/lm-studio/models"))) << "builds before 0.3.6";
  make_folder(folder / "moved/models");
  put(".lmstudio-home-pointer", folder / "moved\n");
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(folder / "moved/models"));
}

TEST_F(LmStudio, ReadsTheDownloadsFolder) {
  make_folder(root);
  const std::string dir = make_folder(folder / "drive/llms");
  put(".lmstudio/settings.json", "{\"downloadsFolder\":\"" + dir + "\"}");
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(dir));
  put(".lmstudio/settings.json", "{\"downloadsFolder\":\"relative\"}");
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(root));
  put(".lmstudio/settings.json", "{ broken");
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(root));
}

TEST_F(LmStudio, NeverReplacesWhatIsBundledWithTheApp) {
  const std::string bundled = home(".lmstudio/.internal/bundled-models");
  put(".lmstudio/.internal/bundled-models/nomic-ai/nomic-embed/nomic.gguf", "weights");
  EXPECT_THAT(discover(StoreKind::lm_studio), ElementsAre(bundled));
  const Listing l = list(StoreKind::lm_studio, bundled);
  const Entry* e = entry(l, "nomic.gguf");
  EXPECT_EQ(e->role, Role::payload);
  EXPECT_EQ(e->links, catalog::kNoLinks);
  EXPECT_FALSE(e->links_reason.empty());
}

TEST_F(LmStudio, NamesModelsByTheirTwoFolders) {
  at("pub/model-GGUF/model-Q4_K_M.gguf");
  at("pub/model-GGUF/mmproj-model-f16.gguf");
  at("pub/mlx/deep/er/model.safetensors");
  const Listing l = listed();
  ASSERT_EQ(l.models.size(), 2U);
  EXPECT_EQ(model(l, "pub/model-GGUF")->entries.size(), 2U);
  EXPECT_EQ(model(l, "pub/mlx")->format, "safetensors");
}

TEST_F(LmStudio, CallsWeightsAtTheWrongDepthOrphans) {
  at("stray.gguf");
  at("pub/stray2.gguf");
  at("pub/.DS_Store", "x");
  const Listing l = listed();
  EXPECT_TRUE(l.models.empty());
  EXPECT_EQ(role(l, "/stray.gguf"), Role::orphan);
  EXPECT_EQ(role(l, "stray2.gguf"), Role::orphan);
  EXPECT_EQ(role(l, ".DS_Store"), Role::foreign);
}

TEST_F(LmStudio, LeavesBothFormsOfDownloadAlone) {
  at("pub/a/a.gguf");
  at("pub/a/b.gguf.part");
  at("pub/b/downloading_c.gguf.part");
  const Listing l = listed();
  EXPECT_EQ(role(l, "b.gguf.part"), Role::partial);
  EXPECT_EQ(role(l, "downloading_c.gguf.part"), Role::partial);
  EXPECT_TRUE(model(l, "pub/a")->incomplete);
  EXPECT_TRUE(model(l, "pub/b")->incomplete);
}

TEST_F(LmStudio, JudgesCompletenessFromTheSetItself) {
  at("pub/split/m-00001-of-00002.gguf");
  at("pub/index/model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  at("pub/index/one.safetensors");
  at("pub/whole/m-00001-of-00002.gguf");
  at("pub/whole/m-00002-of-00002.gguf");
  const Listing l = listed();
  EXPECT_TRUE(model(l, "pub/split")->incomplete);
  EXPECT_TRUE(model(l, "pub/index")->incomplete);
  EXPECT_FALSE(model(l, "pub/whole")->incomplete);
}

TEST_F(LmStudio, NotesADanglingLinkOfAModel) {
  make_folder(root + "/pub/m");
  ASSERT_EQ(::symlink("/nowhere.gguf", (root + "/pub/m/m.gguf").c_str()), 0);
  const Listing l = listed();
  EXPECT_EQ(role(l, "m.gguf"), Role::broken);
  EXPECT_TRUE(model(l, "pub/m")->incomplete);
}

TEST_F(LmStudio, StagesUnderANameWithoutAModelsEnding) {
  const Root r{StoreKind::lm_studio, root, "test"};
  const std::string name = adapter_of(r.kind).staging(r, root + "/p/m/x.gguf", "0123456789abcdef");
  EXPECT_EQ(mlxbase::path::parent(name), root + "/p/m");
  EXPECT_TRUE(mlxbase::path::file_name(name).starts_with('.'));
  EXPECT_FALSE(name.ends_with(".gguf") || name.ends_with(".safetensors"));
}

}  // namespace
}  // namespace mlxcache::stores
