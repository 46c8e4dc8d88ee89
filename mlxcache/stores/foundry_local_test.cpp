#include <gmock/gmock.h>

#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

class FoundryLocal : public ToolFixture {
 protected:
  const std::string root = home(".foundry/cache/models");
  std::string at(std::string_view name, std::string_view bytes = "weights") const { return put(".foundry/cache/models/" + std::string(name), bytes); }
  Listing listed() { return list(StoreKind::foundry_local, root); }
};

TEST_F(FoundryLocal, NamesModelsByTheirCard) {
  at("Microsoft/phi-4-cpu-1/v2/model.onnx");
  at("Microsoft/phi-4-cpu-1/v2/model.onnx.data");
  at("Microsoft/phi-4-cpu-1/v2/inference_model.json", R"({"Name":"phi-4-generic-cpu"})");
  at("own/model.onnx");
  const Listing l = listed();
  ASSERT_NE(model(l, "phi-4-generic-cpu"), nullptr);
  EXPECT_EQ(model(l, "phi-4-generic-cpu")->revision, "v2");
  EXPECT_EQ(model(l, "phi-4-generic-cpu")->entries.size(), 2U);
  EXPECT_NE(model(l, "own"), nullptr) << "no card: its folder names it";
}

TEST_F(FoundryLocal, TellsTwoVersionsOfOneNameApart) {
  at("m/v1/inference_model.json", R"({"Name":"m"})");
  at("m/v2/inference_model.json", R"({"Name":"m"})");
  const Listing l = listed();
  EXPECT_NE(model(l, "m"), nullptr);
  EXPECT_NE(model(l, "m/v2"), nullptr);
}

TEST_F(FoundryLocal, SharesEveryFileOnlyByClones) {
  at("m/inference_model.json", R"({"Name":"m"})");
  for (const char* name : {"m/model.onnx", "m/model.onnx.data", "m/weights.bin", "m/tokenizer.json"}) {
    at(name);
    const Listing l = listed();
    EXPECT_EQ(entry(l, name)->links, catalog::kReflinkOnly) << name;
    EXPECT_FALSE(entry(l, name)->links_reason.empty()) << name;
  }
}

TEST_F(FoundryLocal, KnowsADownloadInProgressAndStrayFiles) {
  at("m/model.onnx");
  at("m/model.onnx.data.tmp", "half");
  at("stray.onnx");
  const Listing l = listed();
  EXPECT_TRUE(model(l, "m")->incomplete);
  EXPECT_EQ(role(l, ".tmp"), Role::partial);
  EXPECT_EQ(role(l, "/stray.onnx"), Role::orphan);
}

TEST_F(FoundryLocal, PassesOverACardThatIsNoJson) {
  at("m/model.onnx");
  at("m/inference_model.json", "{");
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "inference_model.json"));
  EXPECT_NE(model(l, "m"), nullptr);
}

}  // namespace
}  // namespace mlxcache::stores
