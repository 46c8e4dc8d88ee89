// What adapters share when models come and go, where no single tool would show it.
#include "mlxcache/stores/publish_common.h"

#include <gtest/gtest.h>

#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/publication_fixture.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Code;
using mlxbase::os::Platform;

class FolderOfSafetensors : public testing::Test {
 protected:
  using Files = std::vector<std::pair<std::string, std::string>>;
  static Files whole() {
    return {{"model.safetensors", sample::safetensors_bytes(3, 4000)}, {"config.json", "{}"}, {"tokenizer.json", "{}"}};
  }
  mlxbase::Result<Publication> publish(const Files& files, StoreKind kind = StoreKind::mlx) {
    home.make_dir("models");
    return home.publish(home.root(kind, "models"), home.source(files, "org/fresh"));
  }
  std::string refusal(Files files) {
    const auto publication = publish(files);
    EXPECT_FALSE(publication);
    if (publication) return {};
    EXPECT_EQ(publication.error().code, Code::unsupported);
    return publication.error().message;
  }
  PublicationHome home;
};

TEST_F(FolderOfSafetensors, MustBeComplete) {
  EXPECT_TRUE(publish(whole()));
  for (const std::string missing : {"model.safetensors", "config.json", "tokenizer.json"}) {
    Files files = whole();
    std::erase_if(files, [&](const auto& f) { return f.first == missing; });
    EXPECT_TRUE(refusal(files).contains(missing == "model.safetensors" ? "no weights" : missing.substr(0, 6))) << missing;
  }
  Files indexed = whole();
  indexed.emplace_back("model.safetensors.index.json", R"({"weight_map":{"a":"model.safetensors","b":"model-2.safetensors"}})");
  EXPECT_TRUE(refusal(indexed).contains("shard"));
}

TEST_F(FolderOfSafetensors, LeavesOutOtherFormsOfTheSameWeights) {
  Files files = whole();
  for (const std::string name : {"pytorch_model.bin", "onnx/model.onnx", "consolidated.safetensors", ".gitattributes", "original/params.json"}) files.emplace_back(name, "x");
  const auto publication = publish(files);
  ASSERT_TRUE(publication) << publication.error().message;
  std::vector<std::string> names;
  for (const NewName& name : publication->names) {
    if (name.what == NewName::What::payload) names.emplace_back(mlxbase::path::file_name(name.path));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"model.safetensors", "tokenizer.json", "config.json"})) << "what makes it a model comes last";
  EXPECT_FALSE(publication->notes.empty());
}

TEST_F(FolderOfSafetensors, IsNotMixedWithAnotherModels) {
  home.put("models/org/fresh/model-00001-of-00002.safetensors", "another's");
  const auto publication = publish(whole());
  ASSERT_FALSE(publication);
  EXPECT_EQ(publication.error().code, Code::changed);
}

TEST_F(FolderOfSafetensors, IsForLmStudioOnMacsOnly) {
  const auto on_linux = publish(whole(), StoreKind::lm_studio);
  ASSERT_FALSE(on_linux);
  EXPECT_EQ(on_linux.error().code, Code::unsupported);
  home.environment.platform = Platform::macos;
  EXPECT_TRUE(publish(whole(), StoreKind::lm_studio));
}

TEST(GgufName, SaysPublisherlessModelAndQuantisation) {
  ModelSource source;
  source.name = "llama3.2";
  source.tag = "3b";
  source.format = "gguf";
  source.files.resize(1);
  source.gguf = GgufFacts{.architecture = "llama", .file_type = "Q4_K_M"};
  const auto named = [&](std::string name) {
    source.files[0].name = std::move(name);
    return gguf_file_name(source, 0);
  };
  EXPECT_EQ(named("Llama-3.2-3B-Instruct-Q4_K_M.gguf"), "Llama-3.2-3B-Instruct-Q4_K_M.gguf");
  EXPECT_EQ(named("x/big-00001-of-00003.gguf"), "big-00001-of-00003.gguf");
  EXPECT_EQ(named("alpha.gguf"), "alpha-Q4_K_M.gguf");
  EXPECT_EQ(named("model.gguf"), "llama3.2-3b-Q4_K_M.gguf");
  EXPECT_EQ(named("sha256-" + std::string(64, 'a')), "llama3.2-3b-Q4_K_M.gguf");
}

TEST(PlainRemoval, KeepsWhatAnotherModelNeeds) {
  PublicationHome home;
  Listing listing;
  listing.root = home.root(StoreKind::loose, "models");
  for (const std::string name : {"own.gguf", "both.gguf"}) {
    Entry entry;
    entry.path = home.put("models/" + name, "x");
    entry.stat = mlxbase::os::real_file_system().stat(entry.path).value();
    listing.entries.push_back(entry);
  }
  listing.models = {{.id = "one", .entries = {0, 1}}, {.id = "two", .entries = {1}}};
  const auto removal = remove_plain(home.context(), listing, 0);
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_EQ(removal->names, std::vector<std::string>{listing.entries[0].path});
  EXPECT_TRUE(says(removal->kept, "needed by two"));
}

}  // namespace
}  // namespace mlxcache::stores
