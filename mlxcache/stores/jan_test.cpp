#include <gmock/gmock.h>

#include "mlxcache/stores/jan_model.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using mlxbase::os::Platform;
using testing::ElementsAre;
using testing::IsEmpty;

class Jan : public ToolFixture {
 protected:
  const std::string root = home(".local/share/Jan/data");
  std::string at(std::string_view name, std::string_view bytes = "weights") const { return put(".local/share/Jan/data/" + std::string(name), bytes); }
  Listing listed() { return list(StoreKind::jan, root); }
};

TEST(JanModel, ReadsRelativeAndAbsolutePathsAndRefusesOthers) {
  const std::string a(64, 'a');
  const auto m = jan::parse_model_yaml("name: m\nmodel_path: llamacpp/models/m/model.gguf\nmodel_sha256: " + a + "\nmodel_size_bytes: 7\nmmproj_path: /srv/./x/../mm.gguf\n");
  ASSERT_TRUE(m);
  ASSERT_EQ(m->files.size(), 2U);
  EXPECT_EQ(m->files[0].sha256->hex(), a);
  EXPECT_EQ(m->files[0].size, 7U);
  EXPECT_EQ(m->files[1].path, "/srv/mm.gguf");
  const auto bad = jan::parse_model_yaml("model_path: ../../secret.gguf\nmmproj_path: 'C:\\x'\n");
  ASSERT_TRUE(bad);
  EXPECT_TRUE(bad->files.empty());
  EXPECT_EQ(bad->refused.size(), 2U);
  EXPECT_FALSE(jan::parse_model_yaml("- list"));
}

TEST(JanModel, IdsAreOfTheirAlphabet) {
  EXPECT_TRUE(jan::is_model_id("org/Model-1.5_x"));
  for (const char* bad : {"", "a//b", "../a", "a/.", "a b", "a:b", "/a"}) EXPECT_FALSE(jan::is_model_id(bad)) << bad;
}

TEST_F(Jan, ClaimsADigestOnlyOfAFileOfTheRecordedSize) {
  for (const char* size : {"7", "8"}) {
    at("llamacpp/models/org/m/model.gguf");
    at("llamacpp/models/org/m/model.yml", "model_path: llamacpp/models/org/m/model.gguf\nmodel_sha256: " + std::string(64, 'a') + "\nmodel_size_bytes: " + size + "\n");
    const Listing l = listed();
    ASSERT_NE(model(l, "org/m"), nullptr);
    EXPECT_EQ(entry(l, "model.gguf")->claim.has_value(), std::string_view(size) == "7");
  }
}

TEST_F(Jan, ListsAModelKeptElsewhereWithoutBytesOfItsOwn) {
  const std::string outside = folder.write("elsewhere/big.gguf", "weights");
  at("llamacpp/models/linked/model.yml", "model_path: " + outside + "\n");
  at("llamacpp/models/gone/model.yml", "model_path: " + outside + ".gone\n");
  const Listing l = listed();
  ASSERT_NE(model(l, "linked"), nullptr);
  EXPECT_TRUE(model(l, "linked")->entries.empty());
  EXPECT_FALSE(model(l, "linked")->incomplete);
  EXPECT_EQ(model(l, "linked")->format, "gguf");
  EXPECT_TRUE(model(l, "gone")->incomplete);
  for (const Entry& e : l.entries) EXPECT_TRUE(mlxbase::path::is_within(root, e.path)) << e.path;
}

TEST_F(Jan, JoinsTheProjectorAndCountsTheRestAsItsOwn) {
  at("llamacpp/models/m/model.gguf");
  at("llamacpp/models/m/mmproj.gguf");
  at("llamacpp/models/m/model.yml", "model_path: llamacpp/models/m/model.gguf\nmmproj_path: llamacpp/models/m/mmproj.gguf\n");
  at("llamacpp/models/lost/model.gguf");
  at("llamacpp/backends/b1/libggml.so", "code");
  at("threads/t1/messages.jsonl", "{}");
  const Listing l = listed();
  EXPECT_EQ(model(l, "m")->entries.size(), 2U);
  EXPECT_EQ(role(l, "lost/model.gguf"), Role::orphan);
  EXPECT_EQ(role(l, "libggml.so"), Role::metadata);
  EXPECT_EQ(role(l, "messages.jsonl"), Role::metadata);
}

TEST_F(Jan, CallsNothingAnOrphanBesideAModelFileItCannotRead) {
  at("llamacpp/models/m/model.gguf");
  at("llamacpp/models/m/model.yml", "model_path: [");
  const Listing l = listed();
  EXPECT_EQ(role(l, "model.gguf"), Role::payload);
  EXPECT_TRUE(has_problem(l, "model.yml"));
}

TEST_F(Jan, NotesAPathThatLeavesTheDataFolder) {
  at("llamacpp/models/evil/model.yml", "model_path: ../../../../etc/shadow\n");
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "evil/model.yml"));
  EXPECT_TRUE(model(l, "evil")->incomplete);
}

TEST_F(Jan, TakesWholeFoldersOfMlxModelsAndOlderLayouts) {
  at("mlx/models/org/m/model.yml", "model_path: mlx/models/org/m/model.safetensors\n");
  at("mlx/models/org/m/model.safetensors");
  at("mlx/models/org/m/tokenizer.json");
  at("models/old/old.gguf");
  at("models/old/model.json", "{}");
  const Listing l = listed();
  EXPECT_EQ(model(l, "org/m")->entries.size(), 2U);
  EXPECT_EQ(model(l, "old")->entries.size(), 1U);
}

TEST_F(Jan, ReadsTheDataFolderFromItsSettings) {
  at("llamacpp/models/m/model.gguf");
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(root));
  make_folder(folder / "moved/llamacpp/models");
  put(".local/share/Jan/settings.json", "{\"data_folder\":\"" + (folder / "moved") + "\"}");
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(folder / "moved", root));
  put(".local/share/Jan/settings.json", "{ broken");
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(root));
}

TEST_F(Jan, FindsOtherChannelsVariablesAndTheFlatpak) {
  make_folder(home(".local/share/Jan-nightly/data/llamacpp/models"));
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(home(".local/share/Jan-nightly/data")));
  make_folder(folder / "apps/Jan/data/llamacpp/models");
  environment.variables["JAN_DATA_ROOT"] = folder / "apps";
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(folder / "apps/Jan/data"));
  environment.variables["JAN_DATA_ROOT"] = "relative";
  make_folder(home(".var/app/ai.jan.Jan/data/Jan/data/llamacpp/models"));
  EXPECT_THAT(discover(StoreKind::jan), ElementsAre(home(".local/share/Jan-nightly/data"), home(".var/app/ai.jan.Jan/data/Jan/data")));
  environment.platform = Platform::macos;
  EXPECT_THAT(discover(StoreKind::jan), IsEmpty());
}

}  // namespace
}  // namespace mlxcache::stores
