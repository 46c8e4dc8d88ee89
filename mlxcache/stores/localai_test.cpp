#include <gmock/gmock.h>

#include "mlxcache/stores/localai_definition.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LocalAi : public ToolFixture {
 protected:
  const std::string root = home("localai/models");
  std::string at(std::string_view name, std::string_view bytes) const { return put("localai/models/" + std::string(name), bytes); }
  Listing listed() { return list(StoreKind::localai, root); }
};

TEST(LocalAiDefinition, FindsEveryFileOfOne) {
  const auto d = localai::parse_definitions(
      "name: phi\nbackend: llama-cpp\nmmproj: mm/p.gguf\nparameters:\n  model: ./phi.gguf\ndownload_files:\n- filename: phi.gguf\n  sha256: " + std::string(64, 'a') +
      "\n  uri: hf://x\n");
  ASSERT_TRUE(d);
  ASSERT_EQ(d->size(), 1U);
  EXPECT_THAT(d->at(0).files, ElementsAre("phi.gguf", "mm/p.gguf"));
  EXPECT_TRUE(d->at(0).sha256.contains("phi.gguf"));
}

TEST(LocalAiDefinition, RefusesPathsThatLeaveTheFolder) {
  const auto d = localai::parse_definitions("name: x\nmmproj: /etc/passwd\nparameters: {model: ../../secret.gguf}\nfiles: [{filename: ../y, sha256: " + std::string(64, 'a') + "}]");
  ASSERT_TRUE(d);
  EXPECT_TRUE(d->at(0).files.empty());
  EXPECT_TRUE(d->at(0).sha256.empty());
  EXPECT_EQ(d->at(0).refused.size(), 3U);
}

TEST(LocalAiDefinition, IsAMappingOrAListOfThem) {
  EXPECT_EQ(localai::parse_definitions("- name: a\n- name: b\n- 7\n")->size(), 2U);
  EXPECT_TRUE(localai::parse_definitions("")->empty());
  EXPECT_FALSE(localai::parse_definitions("just text"));
  EXPECT_FALSE(localai::parse_definitions("a: [unclosed"));
}

TEST_F(LocalAi, TakesDigestsFromTheGalleryRecord) {
  at("phi/phi.gguf", "weights");
  at("phi.yaml", "name: phi-2\nparameters:\n  model: phi/phi.gguf\n");
  at("._gallery_phi.yaml", "name: other\nfiles:\n- filename: phi/phi.gguf\n  sha256: " + std::string(64, 'b') + "\n- filename: phi/mm.gguf\n  sha256: " + std::string(64, 'c') + "\n");
  const Listing l = listed();
  ASSERT_EQ(l.models.size(), 1U);
  EXPECT_EQ(l.models[0].id, "phi-2");
  EXPECT_EQ(entry(l, "phi.gguf")->claim->hex(), std::string(64, 'b'));
  EXPECT_TRUE(l.models[0].incomplete) << "the record names a file that is not there";
}

TEST_F(LocalAi, ListsWeightsWithoutADefinitionByTheirFile) {
  at("lone.gguf", "weights");
  at("sub/forgotten.gguf", "weights");
  at("notes.txt", "x");
  const Listing l = listed();
  EXPECT_NE(model(l, "lone.gguf"), nullptr);
  EXPECT_EQ(role(l, "forgotten.gguf"), Role::orphan);
  EXPECT_EQ(role(l, "notes.txt"), Role::metadata);
}

TEST_F(LocalAi, NotesADefinitionThatLeavesTheFolderAndReadsTheOthers) {
  at("evil.yaml", "name: evil\nparameters:\n  model: ../../../etc/shadow\n");
  at("bomb.yaml", "a: &a [1,2]\nb: *unknown\n");
  at("good.yaml", "name: good\nparameters: {model: good.gguf}\n");
  at("good.gguf", "weights");
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "evil.yaml"));
  EXPECT_TRUE(has_problem(l, "bomb.yaml"));
  EXPECT_EQ(model(l, "good")->entries.size(), 1U);
}

TEST_F(LocalAi, LeavesPartialsAlone) {
  at("m.yaml", "name: m\nparameters: {model: m.gguf}\n");
  at("m.gguf.partial", "half");
  const Listing l = listed();
  EXPECT_EQ(role(l, ".partial"), Role::partial);
  EXPECT_TRUE(model(l, "m")->incomplete);
}

TEST_F(LocalAi, SharesVoicesOnlyAsClones) {
  at("voice.onnx", "x");
  EXPECT_EQ(entry(listed(), "voice.onnx")->links, catalog::kReflinkOnly);
}

TEST_F(LocalAi, TakesAFolderCalledModelsOnlyIfDefinitionsLieInIt) {
  environment.working_directory = folder / "work";
  folder.write("work/models/a.gguf", "x");
  EXPECT_THAT(discover(StoreKind::localai), IsEmpty());
  folder.write("work/models/a.yaml", "name: a\nbackend: llama-cpp\n");
  EXPECT_THAT(discover(StoreKind::localai), ElementsAre(folder / "work/models"));
}

}  // namespace
}  // namespace mlxcache::stores
