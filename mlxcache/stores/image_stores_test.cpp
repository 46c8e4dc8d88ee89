// Traps of the image tools' stores, beside what the conformance suite claims of every store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/sql/database.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/automatic1111_cache.h"
#include "mlxcache/stores/comfyui_paths.h"
#include "mlxcache/stores/invokeai_registry.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/shell_words.h"
#include "mlxcache/stores/sidecars.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Algorithm;
using mlxbase::Digest;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kHex(64, 'a');
const std::string kOtherHex(64, 'b');
Digest sha(const std::string& hex) { return *Digest::parse(Algorithm::sha256, hex); }

class ImageStores : public testing::Test {
 protected:
  ImageStores() {
    environment_.home = folder_ / "home";
    environment_.working_directory = folder_.path();
    environment_.temp_directory = folder_ / "tmp";
    environment_.variables = {{"MODELS", folder_ / "models"}};
  }
  Context context() { return {mlxbase::os::real_file_system(), environment_, nullptr}; }
  static const Entry* find(const Listing& listing, std::string_view ending) {
    for (const Entry& entry : listing.entries) {
      if (entry.path.ends_with(ending)) return &entry;
    }
    return nullptr;
  }
  static const catalog::Model* model(const Listing& listing, std::string_view id) {
    for (const auto& m : listing.models) {
      if (m.id == id) return &m;
    }
    return nullptr;
  }
  mlxbase::testing::TemporaryFolder folder_;
  mlxbase::os::Environment environment_;
};

TEST_F(ImageStores, ComfyReadsExtraPathsAsTheToolDoes) {
  const auto folders = comfyui::parse_extra_paths(R"(
a111:
    base_path: ~/sd/
    checkpoints: models/Stable-diffusion
    loras: |
         models/Lora
         models/LyCORIS
    custom_nodes: nodes
relative:
    base_path: ../elsewhere
    is_default: true
    vae: vae
bare:
    unet: $MODELS/unet
    clip: beside
empty:
)",
                                                  "/etc/comfy", environment_);
  ASSERT_TRUE(folders) << folders.error().message;
  const std::string home = environment_.home;
  EXPECT_THAT(*folders, ElementsAre(comfyui::ExtraFolder{"checkpoints", home + "/sd/models/Stable-diffusion"},
                                    comfyui::ExtraFolder{"loras", home + "/sd/models/Lora"}, comfyui::ExtraFolder{"loras", home + "/sd/models/LyCORIS"},
                                    comfyui::ExtraFolder{"vae", "/etc/elsewhere/vae"}, comfyui::ExtraFolder{"unet", "/etc/comfy/$MODELS/unet"},
                                    comfyui::ExtraFolder{"clip", "/etc/comfy/beside"}));
  EXPECT_FALSE(comfyui::parse_extra_paths("a: [", "/", environment_));
}

TEST_F(ImageStores, ComfyFindsFoldersOfTheDesktopAppAndOfTheYaml) {
  folder_.write("disk/flux/dev.safetensors", "x");
  folder_.write("base/models/checkpoints/a.safetensors", "x");
  folder_.write("home/.config/ComfyUI/config.json", R"({"basePath":")" + (folder_ / "base") + "\"}");
  folder_.write("home/.config/ComfyUI/extra_models_config.yaml", "more:\n  base_path: " + (folder_ / "disk") + "\n  diffusion_models: flux\n  loras: gone\n");
  const auto roots = comfyui::discover(context());
  ASSERT_THAT(roots, SizeIs(2));
  EXPECT_EQ(roots[0].path, folder_ / "base/models");
  EXPECT_EQ(roots[1].path, folder_ / "disk/flux");
  EXPECT_EQ(roots[1].origin, "extra_models_config.yaml");
}

TEST_F(ImageStores, ComfyTakesALinkedCategoryAsARootOfItsOwn) {
  folder_.write("disk/loras/l.safetensors", "x");
  folder_.write("home/ComfyUI/models/checkpoints/a.safetensors", "x");
  ASSERT_EQ(::symlink((folder_ / "disk/loras").c_str(), (folder_ / "home/ComfyUI/models/loras").c_str()), 0);
  const auto roots = comfyui::discover(context());
  ASSERT_THAT(roots, SizeIs(2));
  EXPECT_EQ(roots[1].path, folder_ / "home/ComfyUI/models/loras");
  const Listing outer = comfyui::list(context(), roots[0]);
  EXPECT_EQ(find(outer, "l.safetensors"), nullptr) << "a link out of the root was followed";
  EXPECT_NE(model(comfyui::list(context(), roots[1]), "l"), nullptr);
}

TEST_F(ImageStores, ComfyKeepsCompanionsWithTheirModel) {
  for (const char* name : {"a.safetensors", "a.vae.pt", "a.preview.png", "a.metadata.json", "a.ckpt", "b.vae.pt", "notes.txt"}) {
    folder_.write(std::string("m/checkpoints/") + name, "x");
  }
  folder_.write("m/diffusers/pipe/model_index.json", "{}");
  folder_.write("m/diffusers/pipe/unet/config.json", "{}");
  folder_.write("m/diffusers/pipe/unet/diffusion_pytorch_model.safetensors", "x");
  folder_.write("m/LLM/split-00001-of-00002.gguf", "x");
  const Listing listing = comfyui::list(context(), {StoreKind::comfyui, folder_ / "m", "test"});
  std::vector<std::string> ids;
  for (const auto& m : listing.models) ids.push_back(m.id);
  // Entries are walked in sorted order: .ckpt comes before .safetensors and takes the short name.
  EXPECT_THAT(ids, testing::UnorderedElementsAre("checkpoints/a", "checkpoints/a.safetensors", "checkpoints/b.vae", "diffusers/pipe", "LLM/split"));
  EXPECT_THAT(model(listing, "checkpoints/a")->entries, SizeIs(4));
  EXPECT_THAT(model(listing, "diffusers/pipe")->entries, SizeIs(3));
  EXPECT_TRUE(model(listing, "LLM/split")->incomplete);
  EXPECT_EQ(find(listing, "a.preview.png")->role, Role::metadata);
  EXPECT_EQ(find(listing, "unet/config.json")->role, Role::payload);
}

TEST_F(ImageStores, SidecarsClaimOnlyForAFileOfTheirSize) {
  EXPECT_EQ(claim_of_lora_manager(R"({"size":10,"sha256":")" + kHex + "\"}", 10), sha(kHex));
  EXPECT_EQ(claim_of_lora_manager(R"({"size":10,"sha256":")" + kHex + "\"}", 11), std::nullopt);
  EXPECT_EQ(claim_of_lora_manager(R"({"sha256":")" + kHex + "\"}", 10), std::nullopt);
  EXPECT_EQ(claim_of_lora_manager(R"({"size":10,"sha256":""})", 10), std::nullopt);
  const std::string two = R"({"files":[{"sizeKB":2,"hashes":{"SHA256":")" + kHex + R"("}},{"sizeKB":1.5,"hashes":{"SHA256":")" + kOtherHex + "\"}}]}";
  EXPECT_EQ(claim_of_civitai(two, 2048), sha(kHex));
  EXPECT_EQ(claim_of_civitai(two, 1536), sha(kOtherHex));
  EXPECT_EQ(claim_of_civitai(two, 2049), std::nullopt);
  const std::string disagree = R"({"files":[{"sizeKB":2,"hashes":{"SHA256":")" + kHex + R"("}},{"sizeKB":2,"hashes":{"SHA256":")" + kOtherHex + "\"}}]}";
  EXPECT_EQ(claim_of_civitai(disagree, 2048), std::nullopt);
  EXPECT_EQ(claim_of_civitai(R"({"files":[{"sizeKB":"2"}]})", 2048), std::nullopt);
  EXPECT_EQ(claim_of_sha256_file(kHex + "  model.safetensors\n"), sha(kHex));
  EXPECT_EQ(claim_of_sha256_file(kHex), sha(kHex));
  EXPECT_EQ(claim_of_sha256_file(kHex + "  a\n" + kOtherHex + "  b\n"), std::nullopt);
  EXPECT_EQ(claim_of_sha256_file(kHex + "a"), std::nullopt);
  EXPECT_EQ(claim_of_sha256_file(""), std::nullopt);
}

TEST_F(ImageStores, ASha256FileOlderThanTheWeightsClaimsNothing) {
  auto& fs = mlxbase::os::real_file_system();
  const std::string weights = folder_.write("m/a.safetensors", "x");
  const std::string side = folder_.write("m/a.safetensors.sha256", kHex);
  const Root root{StoreKind::comfyui, folder_ / "m", "test"};
  const std::int64_t second = 1'000'000'000;
  ASSERT_TRUE(fs.set_times(weights, 50 * second, 50 * second));
  ASSERT_TRUE(fs.set_times(side, 60 * second, 60 * second));
  EXPECT_EQ(find(comfyui::list(context(), root), "a.safetensors")->claim, sha(kHex));
  ASSERT_TRUE(fs.set_times(weights, 70 * second, 70 * second));
  EXPECT_FALSE(find(comfyui::list(context(), root), "a.safetensors")->claim);
}

TEST_F(ImageStores, AutomaticBelievesAHashWhileTheFileIsNotNewer) {
  using automatic1111::Hashed;
  const Hashed hashed{.mtime = 1700000000.25, .sha256 = sha(kHex)};
  EXPECT_EQ(automatic1111::valid_hash(hashed, 1'700'000'000'250'000'000), sha(kHex));
  EXPECT_EQ(automatic1111::valid_hash(hashed, 1'600'000'000'000'000'000), sha(kHex));
  EXPECT_EQ(automatic1111::valid_hash(hashed, 1'700'000'000'250'001'000), std::nullopt);
  // A time that no double holds exactly must still equal itself after the way through JSON.
  const std::int64_t odd = 1'700'000'000'123'456'789;
  EXPECT_TRUE(automatic1111::valid_hash({.mtime = 1700000000.1234567, .sha256 = sha(kHex)}, odd));
}

TEST_F(ImageStores, AutomaticDoesNotMixHashesOfOtherBytes) {
  const auto hashes = automatic1111::parse_hash_cache(R"({"hashes":{"checkpoint/sub/a.safetensors":{"mtime":5,"sha256":")" + kHex +
                                                      R"("},"checkpoint/b":{"mtime":5,"sha256":null},"lora/c":{"mtime":5,"sha256":")" + kHex +
                                                      R"("},"vae":{"mtime":5,"sha256":")" + kHex + R"("}},"hashes-addnet":{"checkpoint/d":{"mtime":5,"sha256":")" +
                                                      kHex + "\"}}}");
  ASSERT_TRUE(hashes);
  EXPECT_THAT(*hashes, SizeIs(1));
  EXPECT_TRUE(hashes->contains("sub/a.safetensors"));
}

TEST_F(ImageStores, AutomaticFindsFoldersOfItsCommandLine) {
  folder_.write("home/stable-diffusion-webui/models/Stable-diffusion/a.ckpt", "x");
  folder_.write("home/stable-diffusion-webui/webui-user.sh",
                "#!/bin/bash\n#export COMMANDLINE_ARGS=\"--ckpt-dir /no\"\nexport COMMANDLINE_ARGS=\"--medvram --ckpt-dir '" + (folder_ / "my disk/ckpt") +
                    "' --lora-dir=more/lora\"\n");
  folder_.write("my disk/ckpt/b.safetensors", "x");
  folder_.write("home/stable-diffusion-webui/more/lora/c.safetensors", "x");
  const auto roots = automatic1111::discover(context());
  ASSERT_THAT(roots, SizeIs(2));  // more/lora lies below the install
  EXPECT_EQ(roots[0].path, folder_ / "home/stable-diffusion-webui");
  EXPECT_EQ(roots[1].path, folder_ / "my disk/ckpt");
  EXPECT_EQ(roots[1].origin, "webui-user.sh");
}

TEST_F(ImageStores, ShellWordsEndWhereAShellEndsThem) {
  EXPECT_THAT(shell_words(R"(a "b c" 'd"e' f\ g "h\"i")"), ElementsAre("a", "b c", "d\"e", "f g", "h\"i"));
  EXPECT_THAT(shell_words(""), IsEmpty());
  EXPECT_THAT(shell_words("''"), ElementsAre(""));
  EXPECT_EQ(assigned_in_script("A=1\n  export A='2 3' # comment\nAB=4\n", "A"), "2 3");
}

TEST_F(ImageStores, InvokeTakesOnlyHashesOfBytesAndPathsBelowItsModels) {
  using invokeai::parse_record;
  const auto file = parse_record(R"({"name":"n","path":"k/a.safetensors","hash":"blake3:)" + kHex + "\"}");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->hash, Digest::parse(Algorithm::blake3, kHex));
  EXPECT_EQ(parse_record(R"({"path":"a","hash":"random:)" + kHex + "\"}")->hash, std::nullopt);
  EXPECT_EQ(parse_record(R"({"path":"a","hash":")" + kHex + "\"}")->hash, std::nullopt);
  EXPECT_FALSE(parse_record(R"({"path":"../../etc/passwd"})"));
  EXPECT_FALSE(parse_record(R"({"name":"n"})"));
  EXPECT_TRUE(parse_record(R"({"path":"/in/place.safetensors"})"));
}

TEST_F(ImageStores, InvokeClaimsNoDigestOfAFoldersFiles) {
  const std::string home = folder_ / "home";
  const std::string bytes = sample::safetensors_bytes(1, 5000);
  ASSERT_TRUE(sample::build(StoreKind::invokeai, home, {{"one", {{"a.safetensors", bytes}}}, {"many", {{"unet/a.safetensors", bytes}, {"vae/b.safetensors", bytes}}}}));
  const auto roots = invokeai::discover(context());
  ASSERT_THAT(roots, SizeIs(1));
  const Listing listing = invokeai::list(context(), roots[0]);
  EXPECT_THAT(listing.problems, IsEmpty());
  EXPECT_TRUE(listing.entries[model(listing, "one")->entries[0]].claim);
  ASSERT_THAT(model(listing, "many")->entries, SizeIs(2));
  for (const auto e : model(listing, "many")->entries) EXPECT_FALSE(listing.entries[e].claim);
}

TEST_F(ImageStores, InvokeCallsNothingAnOrphanWhileItsRegistryCannotBeRead) {
  const std::string bytes = sample::safetensors_bytes(1, 5000);
  ASSERT_TRUE(sample::build(StoreKind::invokeai, folder_ / "home", {{"one", {{"a.safetensors", bytes}}}}));
  folder_.write("home/invokeai/databases/invokeai.db", "this is no database, but it is long enough to be looked at as one");
  const Listing listing = invokeai::list(context(), {StoreKind::invokeai, folder_ / "home/invokeai", "test"});
  EXPECT_THAT(listing.models, IsEmpty());
  EXPECT_THAT(listing.problems, SizeIs(1));
  EXPECT_EQ(find(listing, ".safetensors")->role, Role::payload);
}

TEST_F(ImageStores, InvokeFindsAModelsFolderApartFromItsRoot) {
  const std::string bytes = sample::safetensors_bytes(1, 5000);
  ASSERT_TRUE(sample::build(StoreKind::invokeai, folder_ / "home", {{"one", {{"a.safetensors", bytes}}}}));
  ASSERT_EQ(::rename((folder_ / "home/invokeai/models").c_str(), (folder_ / "models").c_str()), 0);
  folder_.write("home/invokeai/invokeai.yaml", "models_dir: " + (folder_ / "models") + "\n");
  const auto roots = invokeai::discover(context());
  ASSERT_THAT(roots, SizeIs(2));
  const Listing listing = invokeai::list(context(), roots[1]);
  ASSERT_NE(model(listing, "one"), nullptr);
  EXPECT_TRUE(listing.entries[model(listing, "one")->entries[0]].claim);
}

TEST_F(ImageStores, DrawThingsLeavesAnOpenDatabaseAlone) {
  folder_.write("m/a_f16.ckpt", "SQLite format 3");
  folder_.write("m/a_f16.ckpt-tensordata", "t");
  folder_.write("m/a_f16.ckpt-wal", "w");
  folder_.write("m/b_f16.ckpt", "SQLite format 3");
  const Listing listing = draw_things::list(context(), {StoreKind::draw_things, folder_ / "m", "test"});
  EXPECT_EQ(find(listing, "a_f16.ckpt")->links, catalog::kNoLinks);
  EXPECT_EQ(find(listing, "a_f16.ckpt-tensordata")->links, catalog::kNoLinks);
  EXPECT_EQ(find(listing, "b_f16.ckpt")->links, catalog::kReflinkOnly);
  EXPECT_EQ(find(listing, "a_f16.ckpt-wal")->role, Role::metadata);
  EXPECT_THAT(model(listing, "a_f16")->entries, SizeIs(2));
}

}  // namespace
}  // namespace mlxcache::stores
