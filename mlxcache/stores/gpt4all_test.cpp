#include <gmock/gmock.h>

#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using mlxbase::os::Platform;
using testing::ElementsAre;

class Gpt4All : public ToolFixture {
 protected:
  const std::string root = home(".local/share/nomic.ai/GPT4All");
  std::string at(std::string_view name, std::string_view bytes = "weights") const { return put(".local/share/nomic.ai/GPT4All/" + std::string(name), bytes); }
};

TEST_F(Gpt4All, ReadsTheModelPathFromItsSettings) {
  make_folder(root);
  const std::string dir = make_folder(folder / "my models, all");
  put(".config/nomic.ai/GPT4All.ini", "[General]\nmodelPath=\"" + dir + "\"\n");
  EXPECT_THAT(discover(StoreKind::gpt4all), ElementsAre(dir, root)) << "the application folder is scanned as well";
}

TEST_F(Gpt4All, FindsDefaultsOfBothPlatformsAndOfPython) {
  make_folder(root);
  make_folder(home("Library/Application Support/nomic.ai/GPT4All"));
  make_folder(home(".cache/gpt4all"));
  EXPECT_THAT(discover(StoreKind::gpt4all), ElementsAre(root, home(".cache/gpt4all")));
  environment.platform = Platform::macos;
  EXPECT_THAT(discover(StoreKind::gpt4all), ElementsAre(home("Library/Application Support/nomic.ai/GPT4All"), home(".cache/gpt4all")));
}

TEST_F(Gpt4All, FindsTheFlatpak) {
  make_folder(home(".var/app/io.gpt4all.gpt4all/data/nomic.ai/GPT4All"));
  EXPECT_THAT(discover(StoreKind::gpt4all), ElementsAre(home(".var/app/io.gpt4all.gpt4all/data/nomic.ai/GPT4All")));
}

TEST_F(Gpt4All, OpensNoFileAtAllWhenListing) {
  at("m.gguf");
  at("gpt4all-remote.rmodel", R"({"apiKey":"secret"})");
  std::vector<std::string> opened;
  mlxbase::testing::HookedFileSystem watched(fs, [&](const mlxbase::testing::Call& call) -> mlxbase::Status {
    if (call.name.starts_with("open")) opened.push_back(call.path);
    return {};
  });
  const Listing l = adapter_of(StoreKind::gpt4all).list({watched, environment, nullptr}, {StoreKind::gpt4all, root, "test"});
  EXPECT_TRUE(opened.empty());
  EXPECT_EQ(role(l, ".rmodel"), Role::metadata);
  EXPECT_EQ(entry(l, ".rmodel")->links, catalog::kNoLinks);
}

TEST_F(Gpt4All, TellsModelsFromTheAppsOwnFiles) {
  at("Llama-3.Q4_0.gguf");
  at("sub/ggml-old.bin");
  at("localdocs_v3.db");
  at("incomplete-next.gguf");
  at("python.gguf.part");
  const Listing l = list(StoreKind::gpt4all, root);
  EXPECT_EQ(l.models.size(), 2U);
  EXPECT_NE(model(l, "Llama-3.Q4_0"), nullptr);
  EXPECT_EQ(role(l, "localdocs_v3.db"), Role::metadata);
  EXPECT_EQ(role(l, "incomplete-next.gguf"), Role::partial);
  EXPECT_EQ(role(l, "python.gguf.part"), Role::partial);
}

TEST_F(Gpt4All, SharesOnlyByClonesSinceItMayCopyIntoAName) {
  at("m.gguf");
  const Listing l = list(StoreKind::gpt4all, root);
  EXPECT_EQ(entry(l, "m.gguf")->links, catalog::kReflinkOnly);
}

}  // namespace
}  // namespace mlxcache::stores
