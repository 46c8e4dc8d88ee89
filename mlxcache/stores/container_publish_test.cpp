// Docker Model Runner and RamaLama: what is published and what goes.
#include <gtest/gtest.h>

#include "mlxbase/format/json.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/publication_fixture.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Code;
using mlxbase::testing::read_all;

class ContainerPublish : public testing::Test, public PublicationHome {
 protected:
  ModelSource gguf(std::uint64_t seed = 1) { return source({{"alpha-Q4_K_M.gguf", sample::gguf_bytes(seed, 20'000)}}, "Org/Alpha_GGUF"); }
  ModelSource splits() { return source({{"a-Q8_0-00001-of-00002.gguf", "GGUF1"}, {"a-Q8_0-00002-of-00002.gguf", "GGUF22"}}); }
  ModelSource folder_model() {
    return source({{"model.safetensors", sample::safetensors_bytes(1, 4000)}, {"config.json", R"({"model_type":"llama"})"}, {"tokenizer.json", "{}"}}, "org/alpha");
  }
  Publication place(const Root& to, const ModelSource& model) {
    auto made = publish(to, model);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return {};
    carry_out(*made, model);
    return *made;
  }
};

class DockerModelRunnerPublish : public ContainerPublish {
 protected:
  Root store() const { return root(StoreKind::docker_model_runner, ".docker/models"); }
  Listing listing() { return list(StoreKind::docker_model_runner, ".docker/models"); }
  mlxbase::json::Value index() const { return *mlxbase::json::parse(read_all(at(".docker/models/models.json"))); }
};

TEST_F(DockerModelRunnerPublish, NamesAHubModelAsTheRunnerDoesAndEntersItLast) {
  const auto made = place(store(), gguf());
  EXPECT_EQ(made.visible_as, "huggingface.co/org/alpha_gguf:Q4_K_M");
  EXPECT_TRUE(made.names.back().path.ends_with("models.json"));
  EXPECT_EQ(read_all(at(".docker/models/layout.json")), R"({"version":"1.0.0"})");
  const auto seen = listing();
  EXPECT_TRUE(seen.problems.empty());
  const auto& model = model_at(seen, made.visible_as);
  EXPECT_EQ(model.format, "gguf");
  EXPECT_FALSE(model.incomplete);
}

TEST_F(DockerModelRunnerPublish, TakesSplitsAndSafetensorsToo) {
  place(store(), splits());
  const auto made = place(store(), folder_model());
  EXPECT_EQ(made.visible_as, "huggingface.co/org/alpha:latest");
  EXPECT_EQ(listing().models.size(), 2U);
  EXPECT_EQ(model_at(listing(), made.visible_as).format, "safetensors");
}

TEST_F(DockerModelRunnerPublish, KeepsWhatItDoesNotKnowInTheIndex) {
  put(".docker/models/models.json", R"({"later":7,"models":[{"id":"sha256:)" + std::string(64, 'a') + R"(","tags":["index.docker.io/ai/x:latest"],"files":[],"new":true}]})");
  const auto made = place(store(), gguf());
  EXPECT_TRUE(made.names.back().replaces);
  EXPECT_TRUE(made.names.back().expected);
  EXPECT_EQ(index()["later"].u64(), 7U);
  EXPECT_TRUE(index()["models"].array()[0]["new"].boolean());
  EXPECT_EQ(index()["models"].array().size(), 2U);
}

TEST_F(DockerModelRunnerPublish, PublishingTwiceChangesNothing) {
  place(store(), gguf());
  const std::string before = read_all(at(".docker/models/models.json"));
  const auto again = publish(store(), gguf());
  ASSERT_TRUE(again);
  for (const NewName& name : again->names) EXPECT_FALSE(name.replaces) << name.path;
  EXPECT_EQ(read_all(at(".docker/models/models.json")), before);
}

TEST_F(DockerModelRunnerPublish, RefusesATagThatAnotherModelHasAndAnIndexItCannotRead) {
  place(store(), gguf(1));
  EXPECT_EQ(publish(store(), gguf(2)).error().code, Code::changed);
  put(".docker/models/models.json", "{");
  EXPECT_EQ(publish(store(), gguf(3)).error().code, Code::corrupt);
}

TEST_F(DockerModelRunnerPublish, RemovingOneOfTwoTagsLosesTheTagAlone) {
  const auto first = place(store(), gguf());
  auto other = gguf();
  other.id.clear();
  const auto second = place(store(), other);
  ASSERT_NE(first.visible_as, second.visible_as);
  const auto removal = remove(listing(), first.visible_as);
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_TRUE(removal->names.empty());
  carry_out(*removal);
  EXPECT_FALSE(model_at(listing(), second.visible_as).incomplete);
  EXPECT_EQ(listing().models.size(), 1U);

  put(".docker/models/bundles/sha256/" + model_at(listing(), second.visible_as).revision + "/config.json", "{}");
  const auto last = remove(listing(), second.visible_as);
  ASSERT_TRUE(last) << last.error().message;
  carry_out(*last);
  EXPECT_EQ(names_below(".docker/models"), (std::vector<std::string>{"layout.json", "models.json"}));
}

TEST_F(DockerModelRunnerPublish, ABlobThatAnotherModelNeedsStays) {
  auto with_projector = source({{"alpha-Q4_K_M.gguf", sample::gguf_bytes(1, 20'000)}, {"mmproj-F16.gguf", sample::gguf_bytes(5, 3000)}}, "org/vision");
  const auto plain = place(store(), gguf());
  const auto vision = place(store(), with_projector);
  const auto removal = remove(listing(), vision.visible_as);
  ASSERT_TRUE(removal);
  EXPECT_TRUE(says(removal->kept, "needed by " + plain.visible_as));
  carry_out(*removal);
  EXPECT_FALSE(model_at(listing(), plain.visible_as).incomplete);
}

class RamalamaPublish : public ContainerPublish {
 protected:
  Root store() const { return root(StoreKind::ramalama, "ramalama"); }
  Listing listing() { return list(StoreKind::ramalama, "ramalama"); }
};

TEST_F(RamalamaPublish, PutsAHubModelWhereItsOwnPullWould) {
  const auto made = place(store(), gguf());
  EXPECT_EQ(made.visible_as, "huggingface://Org/Alpha_GGUF:Q4_K_M");
  EXPECT_TRUE(made.names.back().path.ends_with("/refs/Q4_K_M.json"));
  const auto seen = listing();
  EXPECT_TRUE(seen.problems.empty());
  EXPECT_FALSE(model_at(seen, made.visible_as).incomplete);
  EXPECT_EQ(model_at(seen, made.visible_as).entries.size(), 2U);  // the blob and its name in the snapshot
}

TEST_F(RamalamaPublish, TakesSafetensorsWithAllTheirFiles) {
  const auto made = place(store(), folder_model());
  EXPECT_EQ(made.visible_as, "huggingface://org/alpha:latest");
  EXPECT_FALSE(model_at(listing(), made.visible_as).incomplete);
}

TEST_F(RamalamaPublish, AnotherModelOfTheTagIsNotReplaced) {
  place(store(), gguf(1));
  EXPECT_EQ(publish(store(), gguf(2)).error().code, Code::changed);
}

TEST_F(RamalamaPublish, ARemovedModelLeavesNothing) {
  const auto made = place(store(), gguf());
  const auto removal = remove(listing(), made.visible_as);
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_TRUE(removal->names.front().ends_with(".json"));
  carry_out(*removal);
  EXPECT_TRUE(names_below("ramalama").empty());
}

TEST_F(RamalamaPublish, ATemplateThatAnotherTagNeedsStays) {
  place(store(), gguf());
  const std::string place_of = "ramalama/store/huggingface/Org/Alpha_GGUF/";
  put(place_of + "blobs/sha256-template", "jinja");
  const std::string extra = R"(,{"hash":"sha256-template","name":"chat_template_extracted","type":"chat_template"}])";
  std::string ref = read_all(at(place_of + "refs/Q4_K_M.json"));
  ref.replace(ref.find("\n  ],"), 4, extra);
  put(place_of + "refs/Q4_K_M.json", ref);
  put(place_of + "refs/other.json", R"({"hash":"sha256-other","version":"v1.0.1","files":[{"hash":"sha256-template","name":"chat_template_extracted","type":"chat_template"}]})");
  const auto removal = remove(listing(), "huggingface://Org/Alpha_GGUF:Q4_K_M");
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_TRUE(says(removal->kept, "needed by other"));
  EXPECT_FALSE(says(removal->names, "sha256-template"));
}

TEST_F(RamalamaPublish, NoTemporaryNameComesIntoTheFolderOfRefs) {
  const std::string target = at("ramalama/store/huggingface/o/m/refs/latest.json");
  EXPECT_EQ(adapter_of(StoreKind::ramalama).staging(store(), target, "0123456789abcdef"), at("ramalama/store/huggingface/o/m/.mlxcache-0123456789abcdef.tmp"));
}

}  // namespace
}  // namespace mlxcache::stores
