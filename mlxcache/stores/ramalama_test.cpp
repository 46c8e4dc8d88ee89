#include <gmock/gmock.h>

#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/ramalama_refs.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using testing::ElementsAre;

class RamaLama : public ToolFixture {
 protected:
  const std::string root = home(".local/share/ramalama");
  static std::string hex(char c) { return std::string(64, c); }
  void ref(std::string_view model, std::string_view tag, std::string_view files) const {
    put(".local/share/ramalama/store/" + std::string(model) + "/refs/" + std::string(tag) + ".json",
        R"({"hash":"sha256-)" + hex('5') + R"(","path":"","version":"v1.0.1","files":[)" + std::string(files) + "]}");
  }
  static std::string file(char hash, std::string_view name, std::string_view type) {
    return R"({"hash":"sha256:)" + hex(hash) + R"(","name":")" + std::string(name) + R"(","type":")" + std::string(type) + "\"}";
  }
  std::string blob(std::string_view model, char hash, std::string_view bytes) const {
    return put(".local/share/ramalama/store/" + std::string(model) + "/blobs/sha256-" + hex(hash), bytes);
  }
  Listing listed() { return list(StoreKind::ramalama, root); }
};

TEST(RamaLamaRef, RefusesNamesThatLeaveTheStore) {
  for (const char* files : {R"({"hash":"sha256:../../x","name":"a","type":"gguf"})", R"({"hash":"sha256-a","name":"../../a","type":"gguf"})",
                            R"({"hash":"sha256-a","name":"/etc/passwd","type":"gguf"})", R"({"hash":"","name":"a","type":"gguf"})"}) {
    EXPECT_FALSE(ramalama::parse_ref(std::string(R"({"hash":"sha256-x","files":[)") + files + "]}")) << files;
  }
  EXPECT_FALSE(ramalama::parse_ref(R"({"hash":"..","files":[]})"));
  EXPECT_FALSE(ramalama::parse_ref("[]"));
  EXPECT_FALSE(ramalama::parse_ref(std::string(1000, '[')));
}

TEST_F(RamaLama, ClaimsWeightsButNotSmallFilesWhoseHashIsOfTheirName) {
  blob("huggingface/org/m", 'a', "weights");
  blob("huggingface/org/m", 'b', "config");
  ref("huggingface/org/m", "latest", file('a', "m.gguf", "gguf") + "," + file('b', "config.json", "other"));
  const Listing l = listed();
  EXPECT_TRUE(entry(l, hex('a'))->claim);
  EXPECT_FALSE(entry(l, hex('b'))->claim);
  ASSERT_NE(model(l, "huggingface://org/m:latest"), nullptr);
  EXPECT_EQ(model(l, "huggingface://org/m:latest")->format, "gguf");
}

TEST_F(RamaLama, ClaimsNothingOfSourcesThatHashTheUrl) {
  blob("url/host/m", 'a', "weights");
  ref("url/host/m", "latest", file('a', "m.gguf", "gguf"));
  EXPECT_FALSE(entry(listed(), hex('a'))->claim);
}

TEST_F(RamaLama, ListsBlobAndSnapshotOfOneInode) {
  const std::string blob_path = blob("ollama/library/m", 'a', "weights");
  const std::string snapshots = make_folder(root + "/store/ollama/library/m/snapshots/sha256-" + hex('5'));
  ASSERT_EQ(::link(blob_path.c_str(), (snapshots + "/m.gguf").c_str()), 0);
  ref("ollama/library/m", "1b", file('a', "m.gguf", "gguf"));
  const Listing l = listed();
  EXPECT_EQ(entry(l, "/m.gguf")->stat.id, entry(l, hex('a'))->stat.id);
  EXPECT_EQ(entry(l, "/m.gguf")->claim, entry(l, hex('a'))->claim);
  EXPECT_EQ(model(l, "ollama://library/m:1b")->entries.size(), 2U);
}

TEST_F(RamaLama, NeverSharesTemplatesThatAreWrittenAnew) {
  blob("ollama/library/m", 'c', "template");
  ref("ollama/library/m", "1b", file('c', "chat_template_converted", "chat_template"));
  const Listing l = listed();
  EXPECT_EQ(role(l, hex('c')), Role::metadata);
  EXPECT_EQ(entry(l, hex('c'))->links, catalog::kNoLinks);
}

TEST_F(RamaLama, CallsNothingAnOrphanWhileARefCannotBeRead) {
  blob("ollama/library/m", 'd', "lost");
  put(".local/share/ramalama/store/ollama/library/m/refs/x.json", "{");
  EXPECT_EQ(role(listed(), hex('d')), Role::payload);
  EXPECT_TRUE(has_problem(listed(), "x.json"));
  ASSERT_EQ(::unlink((root + "/store/ollama/library/m/refs/x.json").c_str()), 0);
  EXPECT_EQ(role(listed(), hex('d')), Role::orphan);
}

TEST_F(RamaLama, LeavesAPartialAloneAndKnowsTheModelIsIncomplete) {
  put(".local/share/ramalama/store/huggingface/org/m/blobs/sha256-" + hex('a') + ".partial", "half");
  ref("huggingface/org/m", "latest", file('a', "m.gguf", "gguf"));
  const Listing l = listed();
  EXPECT_EQ(role(l, ".partial"), Role::partial);
  EXPECT_TRUE(model(l, "huggingface://org/m:latest")->incomplete);
}

TEST_F(RamaLama, ReadsConfigurationInItsOrder) {
  const auto store = [&](std::string_view name) { return make_folder(folder / name); };
  const auto config = [](const std::string& path) { return "[ramalama]\nstore = \"" + path + "\"\n"; };
  const auto first = [&] { return discover(StoreKind::ramalama).at(0); };
  folder.write("system/usr/share/ramalama/ramalama.conf", config(store("s1")));
  EXPECT_EQ(first(), folder / "s1");
  folder.write("system/etc/ramalama/ramalama.conf", config(store("s2")));
  EXPECT_EQ(first(), folder / "s2");
  put(".config/ramalama/ramalama.conf", config(store("s3")));
  EXPECT_EQ(first(), folder / "s3");
  put(".config/ramalama/ramalama.conf.d/10-x.conf", config(store("s4")));
  EXPECT_EQ(first(), folder / "s4");
  environment.variables["RAMALAMA_CONFIG"] = folder.write("only.conf", config(store("s5")));
  EXPECT_EQ(first(), folder / "s5");
  environment.variables["RAMALAMA_STORE"] = store("s6");
  EXPECT_EQ(first(), folder / "s6");
}

TEST_F(RamaLama, KeepsFindingTheDefaultPlacesAndPutsRootsFirstForRoot) {
  make_folder(root + "/store");
  make_folder(folder / "system/var/lib/ramalama/store");
  environment.uid = 1000;
  EXPECT_THAT(discover(StoreKind::ramalama), ElementsAre(root, folder / "system/var/lib/ramalama"));
  environment.uid = 0;
  EXPECT_THAT(discover(StoreKind::ramalama), ElementsAre(folder / "system/var/lib/ramalama", root));
}

TEST_F(RamaLama, PassesOverAConfigurationThatIsNoToml) {
  put(".config/ramalama/ramalama.conf", "[ramalama\nstore=");
  make_folder(root + "/store");
  EXPECT_THAT(discover(StoreKind::ramalama), ElementsAre(root));
}

}  // namespace
}  // namespace mlxcache::stores
