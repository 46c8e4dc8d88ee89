#include <gmock/gmock.h>

#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/oci_store.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using docker_model_runner::BlobId;
using testing::ElementsAre;
using testing::IsEmpty;

class DockerModelRunner : public ToolFixture {
 protected:
  Root build(const std::vector<sample::Model>& models = {{"ai/smollm2:latest", {{"model.gguf", sample::gguf_bytes(1, 9000)}}}}, const sample::Extras& extras = {}) {
    return sample::build(StoreKind::docker_model_runner, environment.home, models, extras).value();
  }
};

TEST(OciDigest, IsOneOfTwoAlgorithmsInLowerCase) {
  EXPECT_TRUE(BlobId::parse("sha256:" + std::string(64, 'a')));
  EXPECT_TRUE(BlobId::parse("sha512:" + std::string(128, '0')));
  EXPECT_FALSE(BlobId::parse("sha512:" + std::string(128, '0'))->claim()) << "nothing here computes it";
  for (const std::string& bad : {std::string(), std::string(64, 'a'), "sha256:" + std::string(64, 'A'), "sha256:" + std::string(63, 'a'),
                                 "md5:" + std::string(32, 'a'), std::string("sha256:../../../etc/passwd"), "../sha256:" + std::string(64, 'a')}) {
    EXPECT_FALSE(BlobId::parse(bad)) << bad;
  }
}

TEST(OciModels, RefusesDigestsThatWouldLeaveTheStore) {
  EXPECT_FALSE(docker_model_runner::parse_models(R"({"models":[{"id":"sha256:../x","tags":[],"files":[]}]})"));
  EXPECT_FALSE(docker_model_runner::parse_models("{\"models\":[{\"id\":\"sha256:" + std::string(64, 'a') + "\",\"files\":[\"/etc/passwd\"]}]}"));
  EXPECT_FALSE(docker_model_runner::parse_manifest(R"({"layers":[{"digest":"sha256:x"}]})"));
  EXPECT_FALSE(docker_model_runner::parse_models("[1]"));
}

TEST_F(DockerModelRunner, NamesModelsWithoutTheDefaultRegistry) {
  EXPECT_EQ(docker_model_runner::shown("index.docker.io/ai/smollm2:latest"), "ai/smollm2:latest");
  EXPECT_EQ(docker_model_runner::shown("huggingface.co/org/x:latest"), "huggingface.co/org/x:latest");
}

TEST_F(DockerModelRunner, ListsBothNamesOfEachPayload) {
  const Root root = build();
  const Listing l = list(StoreKind::docker_model_runner, root.path);
  const Entry* bundled = entry(l, "/model/model.gguf");
  ASSERT_NE(bundled, nullptr);
  EXPECT_EQ(bundled->role, Role::payload);
  const auto blob = std::find_if(l.entries.begin(), l.entries.end(), [&](const Entry& e) { return &e != bundled && e.stat.id == bundled->stat.id; });
  ASSERT_NE(blob, l.entries.end());
  EXPECT_EQ(blob->role, Role::payload);
  EXPECT_TRUE(blob->claim);
  EXPECT_EQ(blob->links, catalog::kReflinkOrHardLink) << "bundles refuse symlinks";
  EXPECT_EQ(bundled->model, blob->model);
}

TEST_F(DockerModelRunner, CallsABlobThatNoModelNamesAnOrphanUnlessAListIsUnread) {
  const Root root = build({{"ai/a:latest", {{"model.gguf", sample::gguf_bytes(1, 9000)}}}}, {.orphan = true});
  const auto orphans = [&] {
    const Listing l = list(StoreKind::docker_model_runner, root.path);
    return std::count_if(l.entries.begin(), l.entries.end(), [](const Entry& e) { return e.role == Role::orphan; });
  };
  EXPECT_EQ(orphans(), 1);
  folder.write("home/.docker/models/models.json", "{");
  EXPECT_EQ(orphans(), 0);
  EXPECT_TRUE(has_problem(list(StoreKind::docker_model_runner, root.path), "models.json"));
}

TEST_F(DockerModelRunner, KnowsAModelWhoseBlobIsMissing) {
  const Root root = build();
  const Listing before = list(StoreKind::docker_model_runner, root.path);
  for (const Entry& e : before.entries) {
    if (!e.claim || e.stat.size < 5000) continue;
    ASSERT_EQ(::unlink(e.path.c_str()), 0);
  }
  const Listing l = list(StoreKind::docker_model_runner, root.path);
  EXPECT_TRUE(model(l, "ai/smollm2:latest")->incomplete);
  EXPECT_FALSE(l.problems.empty());
}

TEST_F(DockerModelRunner, StagesAsADownloadThatTheRunnerCleans) {
  const Root r{StoreKind::docker_model_runner, "/m", "test"};
  const std::string name = adapter_of(r.kind).staging(r, "/m/bundles/sha256/x/model/model.gguf", "0123456789abcdef");
  EXPECT_EQ(mlxbase::path::parent(name), "/m/blobs/sha256");
  EXPECT_TRUE(name.ends_with(".incomplete"));
  EXPECT_EQ(mlxbase::path::stem(name).size(), 64U);
}

TEST_F(DockerModelRunner, TakesTheSharedVariableOnlyForItsOwnLayout) {
  const std::string dir = make_folder(folder / "models");
  environment.variables["MODELS_PATH"] = dir;
  EXPECT_THAT(discover(StoreKind::docker_model_runner), IsEmpty());
  EXPECT_THAT(discover(StoreKind::localai), ElementsAre(dir));
  folder.write("models/models.json", "{\"models\":[]}");
  EXPECT_THAT(discover(StoreKind::docker_model_runner), ElementsAre(dir));
  EXPECT_THAT(discover(StoreKind::localai), IsEmpty());
}

}  // namespace
}  // namespace mlxcache::stores
