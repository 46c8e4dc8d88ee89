#include <sys/stat.h>
#include <unistd.h>

#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/test_home.h"

namespace mlxcache::stores {
namespace {

const std::string kSha256(64, 'a');

std::set<std::string> kinds_and_paths(const TestHome& home, const std::vector<Root>& roots) {
  std::set<std::string> out;
  for (const Root& root : roots) {
    out.insert(std::string(adapter_of(root.kind).name) + " " +
               (mlxbase::path::is_within(home.environment.home, root.path)
                    ? std::string(mlxbase::path::relative_to(home.environment.home, root.path))
                    : root.path));
  }
  return out;
}

TEST(DiscoverAll, NamesAFolderOnceHoweverOftenItIsReached) {
  TestHome home;
  home.make_dir(".cache/huggingface/hub");
  home.link("alias", home.at(".cache/huggingface/hub"));
  home.environment.variables["HF_HUB_CACHE"] = home.at("alias");
  home.environment.variables["LLAMA_CACHE"] = home.at(".cache/huggingface/hub");
  const std::vector<std::string> extra = {home.at(".cache/huggingface"), home.at(".cache/huggingface/hub"), home.at("alias/.")};
  EXPECT_EQ(kinds_and_paths(home, discover_all(home.context(), extra)),
            (std::set<std::string>{"hf-hub alias", "loose .cache/huggingface"}));
}

TEST(DiscoverAll, KeepsAMissingExtraRootForItsListingToComplain) {
  TestHome home;
  const std::string gone = home.at("not-there");
  const std::vector<std::string> extra = {gone};
  const auto roots = discover_all(home.context(), extra);
  ASSERT_EQ(roots.size(), 1U);
  EXPECT_EQ(roots[0].path, gone);
  const Listing l = list_store(home.context(), roots[0], roots);
  ASSERT_EQ(l.problems.size(), 1U);
  EXPECT_EQ(l.problems[0].error.code, mlxbase::Code::not_found);
}

TEST(DiscoverAll, SaysThatAnExtraRootIsAFile) {
  TestHome home;
  const std::vector<std::string> extra = {home.put("file", "x")};
  const auto roots = discover_all(home.context(), extra);
  ASSERT_EQ(roots.size(), 1U);
  EXPECT_EQ(list_store(home.context(), roots[0], roots).problems[0].error.code, mlxbase::Code::invalid);
}

TEST(DiscoverAll, RecognisesStoresInsideALooseFolder) {
  TestHome home;
  home.put("drive/hf/models--org--name/blobs/" + kSha256, "w");
  home.put("drive/ollama/blobs/sha256-" + kSha256, "w");
  home.make_dir("drive/ollama/manifests");
  home.put("drive/dl/.cache/huggingface/download/m.metadata", "x");
  home.put("drive/mine/model.safetensors", "w");
  const std::vector<std::string> extra = {home.at("drive")};
  const auto roots = discover_all(home.context(), extra);
  EXPECT_EQ(kinds_and_paths(home, roots),
            (std::set<std::string>{"loose drive", "hf-hub drive/hf", "ollama drive/ollama", "hf-local-dir drive/dl"}));
  // Each name is in one listing only.
  std::set<std::string> paths;
  for (const Root& root : roots) {
    for (const Entry& entry : list_store(home.context(), root, roots).entries) EXPECT_TRUE(paths.insert(entry.path).second) << entry.path;
  }
  EXPECT_EQ(paths.size(), 4U);
}

TEST(DiscoverAll, LeavesAnExtraRootBelowAKnownStoreToThatStore) {
  TestHome home;
  const std::string repo = home.make_dir(".cache/huggingface/hub/models--org--name/blobs");
  const std::vector<std::string> extra = {repo};
  EXPECT_EQ(kinds_and_paths(home, discover_all(home.context(), extra)), (std::set<std::string>{"hf-hub .cache/huggingface/hub"}));
}

TEST(ListStore, LeavesANestedStoreToItsOwnListing) {
  TestHome home;
  home.put("drive/top/model.safetensors", "w");
  home.put("drive/hub/models--org--name/blobs/" + kSha256, "w");
  const std::vector<Root> roots = {{StoreKind::loose, home.at("drive"), "t"}, {StoreKind::hf_hub, home.at("drive/hub"), "t"}};
  const Listing outer = list_store(home.context(), roots[0], roots);
  ASSERT_EQ(outer.entries.size(), 1U);
  ASSERT_EQ(outer.models.size(), 1U);
  EXPECT_EQ(outer.models[0].entries, std::vector<std::uint32_t>{0});
  EXPECT_EQ(outer.entries[0].model, 0);
  EXPECT_EQ(list_store(home.context(), roots[1], roots).entries.size(), 1U);
}

TEST(Recognise, KnowsTheSamplesWithUnmistakableMarks) {
  TestHome home;
  struct Case {
    StoreKind kind;
    std::string id, file;
  };
  for (const Case& c :
       {Case{StoreKind::hf_hub, "org/name", "model.safetensors"}, Case{StoreKind::ollama, "llama3.2:3b", "m.gguf"},
        Case{StoreKind::llama_cpp, "org/name:Q4", "m.gguf"}, Case{StoreKind::modelscope, "owner/name", "model.safetensors"},
        Case{StoreKind::docker_model_runner, "ai/name:latest", "m.gguf"},
        Case{StoreKind::ramalama, "huggingface://org/name:latest", "m.gguf"}, Case{StoreKind::loose, "name", "model.safetensors"}}) {
    const std::string at = home.at("somewhere/" + std::string(adapter_of(c.kind).name));
    ASSERT_TRUE(sample::build(c.kind, home.environment.home, {{c.id, {{c.file, sample::gguf_bytes(1, 100)}}}}, {}, at));
    EXPECT_EQ(recognise(home.fs, at), c.kind) << adapter_of(c.kind).name;
  }
  EXPECT_TRUE(home.fs.opened.empty()) << "names are enough";
}

TEST(Recognise, CallsEverythingElseLoose) {
  TestHome home;
  home.put("a/blobs/readme", "x");
  home.make_dir("a/manifests");
  home.put("b/models/x.gguf", "x");
  home.put("c/models.json", "[]");
  for (const std::string_view dir : {"a", "b", "c", "missing"}) EXPECT_EQ(recognise(home.fs, home.at(dir)), StoreKind::loose) << dir;
}

}  // namespace
}  // namespace mlxcache::stores
