// Traps of speech tools' and frameworks' stores, beside what the conformance suite claims of every store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/path.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/kagglehub_paths.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/tf_hub_descriptor.h"
#include "mlxcache/stores/torch_hub_names.h"
#include "mlxcache/stores/whisper_digests.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Algorithm;
using mlxbase::Digest;
using testing::IsEmpty;
using testing::SizeIs;

class FrameworkStores : public testing::Test {
 protected:
  FrameworkStores() {
    environment_.home = folder_ / "home";
    environment_.working_directory = folder_.path();
    environment_.temp_directory = folder_ / "tmp";
  }
  Context context() { return {mlxbase::os::real_file_system(), environment_, nullptr}; }
  static const Entry* find(const Listing& listing, std::string_view ending) {
    for (const Entry& entry : listing.entries) {
      if (entry.path.ends_with(ending)) return &entry;
    }
    return nullptr;
  }
  mlxbase::testing::TemporaryFolder folder_;
  mlxbase::os::Environment environment_;
};

TEST_F(FrameworkStores, WhisperNamesStandForDigests) {
  for (const char* name : {"tiny.pt", "tiny.en.pt", "large-v3-turbo.pt"}) {
    ASSERT_TRUE(openai_whisper_digest(name)) << name;
    EXPECT_EQ(openai_whisper_digest(name)->algorithm(), Algorithm::sha256);
  }
  EXPECT_EQ(openai_whisper_digest("large.pt"), openai_whisper_digest("large-v1.pt"));
  EXPECT_FALSE(openai_whisper_digest("turbo.pt"));
  EXPECT_EQ(whisper_cpp_digest("ggml-base.en.bin")->hex(), "137c40403d78fd54d454da0f9bd998f78703390c");
  EXPECT_FALSE(whisper_cpp_digest("ggml-large.bin")) << "three models in turn were called so";
  EXPECT_FALSE(whisper_cpp_digest("for-tests-ggml-base.bin"));
}

TEST_F(FrameworkStores, WhisperClaimsNothingOfAFineTuneFurtherDown) {
  folder_.write("w/tiny.pt", "x");
  folder_.write("w/mine/tiny.pt", "y");
  folder_.write("w/large.pt.part", "z");
  const Listing listing = openai_whisper::list(context(), {StoreKind::openai_whisper, folder_ / "w", "test"});
  EXPECT_TRUE(find(listing, "w/tiny.pt")->claim);
  EXPECT_FALSE(find(listing, "mine/tiny.pt")->claim);
  EXPECT_EQ(find(listing, ".part")->role, Role::partial);
}

TEST_F(FrameworkStores, WhisperCppIsFoundOnlyWhereThereAreModels) {
  folder_.write("home/whisper.cpp/models/for-tests-ggml-tiny.bin", "");
  EXPECT_THAT(whisper_cpp::discover(context()), IsEmpty());
  folder_.write("home/.cache/Buzz/models/ggml-base.bin", "x");
  ASSERT_THAT(whisper_cpp::discover(context()), SizeIs(1));
  EXPECT_EQ(whisper_cpp::discover(context())[0].origin, "Buzz");
}

TEST_F(FrameworkStores, TorchNamesClaimWhatTheToolsExpressionFinds) {
  using torch_hub::prefix_in_name;
  EXPECT_EQ(prefix_in_name("resnet50-0676ba61.pth")->hex(), "0676ba61");
  EXPECT_EQ(prefix_in_name("a-b-0676ba61ff.pth")->hex(), "0676ba61ff");
  EXPECT_EQ(prefix_in_name("odd-0676ba615.pth")->hex(), "0676ba61");
  EXPECT_EQ(prefix_in_name("x-20200130-047c8118.pth")->hex(), "047c8118");
  EXPECT_EQ(prefix_in_name("mobilenet-20210915.pth"), std::nullopt) << "a date";
  EXPECT_EQ(prefix_in_name("vgg16-397923.pth"), std::nullopt) << "too short to tell anything";
  EXPECT_EQ(prefix_in_name("resnet50-0676BA61.pth"), std::nullopt);
  EXPECT_EQ(prefix_in_name("resnet50-0676ba61"), std::nullopt);
  EXPECT_EQ(prefix_in_name("a-" + std::string(66, 'a') + ".pth"), std::nullopt);
  EXPECT_EQ(prefix_in_name("model.pth"), std::nullopt);
  EXPECT_EQ(prefix_in_name("model-.pth"), std::nullopt);
}

TEST_F(FrameworkStores, TorchRootFollowsItsVariables) {
  folder_.write("torch/hub/checkpoints/a.pth", "x");
  folder_.write("xdg/torch/hub/checkpoints/a.pth", "x");
  environment_.variables = {{"XDG_CACHE_HOME", folder_ / "xdg"}};
  ASSERT_THAT(torch_hub::discover(context()), SizeIs(1));
  EXPECT_EQ(torch_hub::discover(context())[0].path, folder_ / "xdg/torch/hub");
  environment_.variables.emplace("TORCH_HOME", folder_ / "torch");
  EXPECT_EQ(torch_hub::discover(context())[0].path, folder_ / "torch/hub");
}

TEST_F(FrameworkStores, KagglePathsAreWhatTheToolMakes) {
  using kagglehub::locate;
  using kagglehub::Place;
  const auto file = locate("o/m/keras/base/3/variables/a.bin");
  ASSERT_TRUE(file);
  EXPECT_EQ(file->model, "o/m/keras/base");
  EXPECT_EQ(file->version, "3");
  EXPECT_EQ(file->within, "variables/a.bin");
  EXPECT_EQ(locate("o/m/keras/base/3.complete")->place, Place::whole_mark);
  EXPECT_EQ(locate("o/m/keras/base/3.archive")->place, Place::archive);
  const auto mark = locate("o/m/keras/base/.complete/3/variables/a.bin.complete");
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->place, Place::file_mark);
  EXPECT_EQ(mark->within, "variables/a.bin");
  for (const char* no : {"", "o", "o/m/keras/base", "o/m/keras/base/3", "o/m/keras/base/0/a", "o/m/keras/base/v1/a", "o//keras/base/3/a",
                         "o/m/keras/base/.complete/3", "o/m/keras/base/.complete/3/a", "o/m/keras/base/99999999999/a"}) {
    EXPECT_FALSE(locate(no)) << no;
  }
}

TEST_F(FrameworkStores, KaggleFoldersWithoutAMarkAreUnfinished) {
  folder_.write("k/o/m/keras/base/1/a.bin", "x");
  folder_.write("k/o/m/keras/base/1/b.bin", "x");
  folder_.write("k/o/m/keras/base/.complete/1/b.bin.complete", "");
  folder_.write("k/o/m/keras/base/2/a.bin", "x");
  folder_.write("k/o/m/keras/base/2.complete", "");
  const Listing listing = kagglehub::list(context(), {StoreKind::kagglehub, folder_ / "k", "test"});
  EXPECT_EQ(find(listing, "1/a.bin")->role, Role::partial);
  EXPECT_EQ(find(listing, "1/b.bin")->role, Role::payload);
  EXPECT_EQ(find(listing, "2/a.bin")->role, Role::payload);
  ASSERT_THAT(listing.models, SizeIs(2));
  EXPECT_TRUE(listing.models[0].incomplete);
  EXPECT_FALSE(listing.models[1].incomplete);
}

TEST_F(FrameworkStores, TfHubBelievesADescriptorOnlyOfItsOwnFolder) {
  // sha1("alpha")
  const std::string folder = "be76331b95dfc399cd776d2fc68021e0db03cc4f";
  EXPECT_EQ(tf_hub::module_of_descriptor("Module: alpha\nDownload Time: now\n", folder), "alpha");
  EXPECT_EQ(tf_hub::module_of_descriptor("Module: beta\n", folder), std::nullopt);
  EXPECT_EQ(tf_hub::module_of_descriptor("Not a Module: alpha\n", folder), std::nullopt);
  EXPECT_EQ(tf_hub::module_of_descriptor("", folder), std::nullopt);
}

TEST_F(FrameworkStores, TfHubLeavesALockedModuleAlone) {
  const std::string folder = "be76331b95dfc399cd776d2fc68021e0db03cc4f";
  folder_.write("t/" + folder + "/saved_model.pb", "x");
  folder_.write("t/" + folder + ".lock", "host.1.uuid");
  const Listing listing = tf_hub::list(context(), {StoreKind::tf_hub, folder_ / "t", "test"});
  EXPECT_EQ(find(listing, "saved_model.pb")->links, catalog::kNoLinks);
  EXPECT_EQ(find(listing, ".lock")->role, Role::lock);
}

TEST_F(FrameworkStores, KerasGoesToTheTemporaryFolderToo) {
  folder_.write("tmp/.keras/models/a.h5", "x");
  const auto roots = keras::discover(context());
  ASSERT_THAT(roots, SizeIs(1));
  EXPECT_EQ(roots[0].origin, "temporary folder");
}

TEST_F(FrameworkStores, FoldersAreKnownOnlyIfTheirModelsAreAllTheyHold) {
  auto& fs = mlxbase::os::real_file_system();
  folder_.write("pure/ggml-tiny.bin", "x");
  EXPECT_EQ(recognise(fs, folder_ / "pure"), StoreKind::whisper_cpp);
  folder_.write("mixed/ggml-tiny.bin", "x");
  folder_.write("mixed/llama.gguf", "x");
  EXPECT_EQ(recognise(fs, folder_ / "mixed"), StoreKind::loose);
  folder_.write("downloads/base.pt", "x");
  folder_.write("downloads/deep/model.safetensors", "x");
  EXPECT_EQ(recognise(fs, folder_ / "downloads"), StoreKind::loose);
}

}  // namespace
}  // namespace mlxcache::stores
