#include <gmock/gmock.h>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/sql/database.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/ollama_manifest.h"
#include "mlxcache/stores/systemd_unit.h"
#include "mlxcache/stores/tool_fixture.h"

namespace mlxcache::stores {
namespace {

using mlxbase::os::Platform;
using testing::ElementsAre;
using testing::IsEmpty;

std::string sha256(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish().hex();
}

class Ollama : public ToolFixture {
 protected:
  const std::string root = home(".ollama/models");
  std::string blob(std::string_view bytes, std::string_view separator = "-") const {
    put(".ollama/models/blobs/sha256" + std::string(separator) + sha256(bytes), bytes);
    return sha256(bytes);
  }
  void manifest(std::string_view path, std::string_view digest, std::size_t size) const {
    put(".ollama/models/manifests/" + std::string(path),
        R"({"schemaVersion":2,"config":{"digest":""},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" + std::string(digest) +
            R"(","size":)" + std::to_string(size) + "}]}");
  }
  Listing listed() { return list(StoreKind::ollama, root); }
  std::vector<std::string> roots() { return discover(StoreKind::ollama); }
};

TEST(OllamaName, IsShownAsOllamaListShowsIt) {
  const std::pair<const char*, const char*> names[] = {
      {"registry.ollama.ai/library/llama3.2/3b", "llama3.2:3b"},
      {"registry.ollama.ai/library/llama3.2/latest", "llama3.2:latest"},
      {"registry.ollama.ai/user/model/tag", "user/model:tag"},
      {"hf.co/org/repo-GGUF/Q4_K_M", "hf.co/org/repo-GGUF:Q4_K_M"},
      {"localhost:5000/library/m/t", "localhost:5000/library/m:t"},
  };
  for (const auto& [path, shown] : names) {
    const auto name = ollama::name_of_manifest_path(path);
    ASSERT_TRUE(name) << path;
    EXPECT_EQ(name->shortest(), shown);
    EXPECT_EQ(ollama::parse_name(shown), name);
  }
}

TEST(OllamaName, RefusesWhatTheGrammarRefuses) {
  for (const std::string& path : {std::string("a/b/c"), std::string("a/b/c/d/e"), std::string("h/n/m/.DS_Store"), std::string("h/n/../t"), std::string("h/a.b/m/t"),
                                 std::string("h/n:1/m/t"), std::string("-h/n/m/t"), std::string("h//m/t"), std::string("h/n/m/"), std::string("h/n/m m/t"),
                                 "h/n/m/" + std::string(81, 't'), std::string("h/n/m\0x/t", 9)}) {
    EXPECT_FALSE(ollama::name_of_manifest_path(path)) << path;
  }
}

TEST(OllamaDigest, HasBothSeparatorsAndNothingElse) {
  const std::string hex(64, 'a');
  EXPECT_TRUE(ollama::parse_digest("sha256:" + hex));
  EXPECT_TRUE(ollama::parse_digest("sha256-" + hex));
  EXPECT_EQ(ollama::blob_name(*ollama::parse_digest("sha256:" + std::string(64, 'A'))), "sha256-" + hex);
  for (const std::string& bad : {std::string(), std::string("sha256"), "sha256/" + hex, "sha256:" + hex + "0", "sha256:" + hex.substr(1), "sha512:" + hex,
                                std::string("sha256:../../../../etc/passwd"), "sha256:" + hex.substr(2) + "..", "SHA256:" + hex}) {
    EXPECT_FALSE(ollama::parse_digest(bad)) << bad;
  }
}

TEST(OllamaManifest, RefusesADigestThatWouldLeaveTheStore) {
  EXPECT_EQ(ollama::parse_manifest(R"({"layers":[{"digest":"sha256:../../../../../../etc/passwd","size":1}]})").error().code, mlxbase::Code::corrupt);
  EXPECT_FALSE(ollama::parse_manifest(R"({"config":{"digest":"../x"},"layers":[]})"));
  EXPECT_FALSE(ollama::parse_manifest(std::string(100'000, '[')));
  EXPECT_FALSE(ollama::parse_manifest("{\"layers\":{}}"));
  EXPECT_TRUE(ollama::parse_manifest(R"({"config":{"digest":""},"layers":null})")) << "Ollama lists such a manifest";
}

TEST_F(Ollama, ClaimsTheDigestOfEachBlobsName) {
  const std::string hex = blob("weights");
  manifest("registry.ollama.ai/library/m/1b", "sha256:" + hex, 7);
  const Listing l = listed();
  const Entry* e = entry(l, hex);
  ASSERT_NE(e, nullptr);
  EXPECT_EQ(e->claim->hex(), hex);
  EXPECT_TRUE(e->claim_checked_by_tool);
  ASSERT_NE(model(l, "m:1b"), nullptr);
  EXPECT_EQ(model(l, "m:1b")->format, "gguf");
  EXPECT_TRUE(l.problems.empty());
}

TEST_F(Ollama, ReadsOldBlobNamesWithAColon) {
  const std::string hex = blob("weights", ":");
  manifest("registry.ollama.ai/library/m/1b", "sha256-" + hex, 7);
  const Listing l = listed();
  EXPECT_EQ(role(l, "sha256:" + hex), Role::payload);
  EXPECT_FALSE(model(l, "m:1b")->incomplete);
}

TEST_F(Ollama, CallsABlobThatNoManifestNamesAnOrphan) {
  const std::string hex = blob("nobody's");
  make_folder(root + "/manifests");
  EXPECT_EQ(role(listed(), hex), Role::orphan);
}

TEST_F(Ollama, CallsNothingAnOrphanWhileAManifestCannotBeRead) {
  const std::string hex = blob("perhaps somebody's");
  put(".ollama/models/manifests/registry.ollama.ai/library/m/broken", "{ not json");
  const Listing l = listed();
  EXPECT_EQ(role(l, hex), Role::payload);
  EXPECT_TRUE(has_problem(l, "m/broken"));
}

TEST_F(Ollama, NotesFilesThatStopItsPruning) {
  put(".ollama/models/manifests/registry.ollama.ai/library/m/.DS_Store", "x");
  put(".ollama/models/manifests/registry.ollama.ai/.DS_Store", "x");
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "m/.DS_Store"));
  EXPECT_FALSE(has_problem(l, "registry.ollama.ai/.DS_Store")) << "not at the level that the server lists";
}

TEST_F(Ollama, NotesADanglingLinkAmongTheManifests) {
  make_folder(root + "/manifests/registry.ollama.ai/library/m");
  ASSERT_EQ(::symlink("/nowhere", (root + "/manifests/registry.ollama.ai/library/m/latest").c_str()), 0);
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "m/latest"));
  EXPECT_EQ(role(l, "m/latest"), Role::broken);
}

TEST_F(Ollama, NotesAManifestOfAGigabyteAndReadsTheOthers) {
  const std::string hex = blob("weights");
  manifest("registry.ollama.ai/library/good/1b", "sha256:" + hex, 7);
  const std::string huge = put(".ollama/models/manifests/registry.ollama.ai/library/huge/1b", "{");
  ASSERT_EQ(::truncate(huge.c_str(), off_t{1} << 30), 0);
  const Listing l = listed();
  EXPECT_TRUE(has_problem(l, "huge/1b"));
  EXPECT_NE(model(l, "good:1b"), nullptr);
  EXPECT_EQ(model(l, "huge:1b"), nullptr);
}

TEST_F(Ollama, KnowsAModelWhoseBlobIsMissingOrShort) {
  manifest("registry.ollama.ai/library/gone/1b", "sha256:" + std::string(64, '0'), 7);
  const std::string hex = blob("weights");
  manifest("registry.ollama.ai/library/cut/1b", "sha256:" + hex, 8);
  const Listing l = listed();
  EXPECT_TRUE(model(l, "gone:1b")->incomplete);
  EXPECT_TRUE(model(l, "cut:1b")->incomplete);
  EXPECT_TRUE(has_problem(l, "gone/1b"));
  EXPECT_TRUE(has_problem(l, hex));
}

TEST_F(Ollama, LeavesEveryFormOfDownloadAndTemporaryAlone) {
  const std::string hex(64, 'b');
  for (const std::string& name : {"sha256-" + hex + "-partial", "sha256-" + hex + "-partial-3", "sha256-" + hex + ".tmp", std::string("sha256-123456789"),
                                  std::string("COPY42"), std::string("Q8_042"), std::string("split-copy7"), std::string("split-gguf-77/part.gguf")}) {
    put(".ollama/models/blobs/" + name, "x");
  }
  put(".ollama/models/ollama-safetensors123/model.safetensors", "x");
  const Listing l = listed();
  EXPECT_EQ(l.entries.size(), 9U);
  for (const Entry& e : l.entries) {
    EXPECT_EQ(e.role, Role::partial) << e.path;
    EXPECT_EQ(e.links, catalog::kNoLinks) << e.path;
  }
}

TEST_F(Ollama, AllowsOnlyClonesWhereAnotherUserOwnsTheBlob) {
  const std::string hex = blob("weights");
  EXPECT_TRUE(entry(listed(), hex)->links.hard_link);
  environment.uid += 1;
  const Listing l = listed();
  EXPECT_EQ(entry(l, hex)->links, catalog::kReflinkOnly);
  EXPECT_FALSE(entry(l, hex)->links_reason.empty());
}

TEST_F(Ollama, StagesOutsideOfWhatTheServerPrunes) {
  const Root r{StoreKind::ollama, "/m", "test"};
  const std::string name = adapter_of(StoreKind::ollama).staging(r, "/m/blobs/sha256-x", "0123456789abcdef");
  EXPECT_FALSE(mlxbase::path::is_within("/m/blobs", name)) << name;
  EXPECT_FALSE(mlxbase::path::is_within("/m/manifests", name)) << name;
  EXPECT_TRUE(mlxbase::path::is_within("/m", name)) << "the same volume: " << name;
}

TEST_F(Ollama, TrimsTheVariableAndExpandsNothing) {
  const std::string dir = make_folder(folder / "big disk/ollama");
  environment.variables["OLLAMA_MODELS"] = " \"" + dir + "\" ";
  EXPECT_THAT(roots(), ElementsAre(dir));
  make_folder(home("models"));
  environment.variables["OLLAMA_MODELS"] = "~/models";
  EXPECT_THAT(roots(), IsEmpty()) << "the server would look for a folder called ~";
}

TEST_F(Ollama, FindsTheServersFolderInUnitAndDropIns) {
  const std::string first = make_folder(folder / "first");
  const std::string second = make_folder(folder / "second");
  folder.write("system/etc/systemd/system/ollama.service", "[Service]\nUser=ollama\nEnvironment=\"PATH=/bin\" \"OLLAMA_MODELS=" + first + "\"\n");
  EXPECT_THAT(roots(), ElementsAre(first));
  folder.write("system/etc/systemd/system/ollama.service.d/override.conf", "[Service]\nEnvironment=OLLAMA_MODELS=" + second + "\n");
  EXPECT_THAT(roots(), ElementsAre(second));
  folder.write("system/etc/systemd/system/ollama.service.d/zz.conf", "[Service]\nEnvironment=\nEnvironmentFile=-" + (folder / "ollama.env") + "\n");
  folder.write("ollama.env", "# models\nOLLAMA_MODELS='" + first + "'\n");
  EXPECT_THAT(roots(), ElementsAre(first));
}

TEST_F(Ollama, FindsTheHomeOfTheServicesUser) {
  const std::string models = make_folder(folder / "srv/ollama/.ollama/models");
  folder.write("system/usr/lib/systemd/system/ollama.service", "[Service]\nUser=olla\n");
  folder.write("system/etc/passwd", "root:x:0:0::/root:/bin/sh\nollama-x:x:1:1::/no:/bin/sh\nolla:x:997:997:Ollama:" + (folder / "srv/ollama") + ":/bin/false\n");
  EXPECT_THAT(roots(), ElementsAre(models));
}

TEST_F(Ollama, FindsPackagesAndSnap) {
  const std::string installer = make_folder(folder / "system/usr/share/ollama/.ollama/models");
  const std::string snap = make_folder(folder / "system/var/snap/ollama/common/models");
  make_folder(folder / "system/var/lib/ollama");
  EXPECT_THAT(roots(), ElementsAre(installer, snap)) << "a folder without blobs and manifests is no store";
}

TEST_F(Ollama, FindsTheDesktopAppsFolder) {
  const std::string dir = make_folder(folder / "chosen");
  for (const bool macos : {false, true}) {
    const std::string file = macos ? home("Library/Application Support/Ollama/db.sqlite") : home(".ollama/db.sqlite");
    make_folder(std::string(mlxbase::path::parent(file)));
    auto db = mlxbase::sql::Database::open(file);
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->execute("CREATE TABLE settings(id INTEGER, models TEXT); INSERT INTO settings VALUES(1, '" + dir + "')"));
    environment.platform = macos ? Platform::macos : Platform::linux_os;
    EXPECT_THAT(roots(), ElementsAre(dir));
  }
}

TEST_F(Ollama, SurvivesADesktopDatabaseOfAnyBytes) {
  put(".ollama/db.sqlite", "SQLite format 3\0 but not really");
  make_folder(root);
  EXPECT_THAT(roots(), ElementsAre(root));
}

TEST_F(Ollama, FindsTheFolderOfALaunchAgent) {
  environment.platform = Platform::macos;
  const std::string dir = make_folder(folder / "a&b");
  put("Library/LaunchAgents/homebrew.mxcl.ollama.plist", "<plist><dict><key>EnvironmentVariables</key><dict><key>OLLAMA_MODELS</key>\n\t<string>" +
                                                             (folder / "a&amp;b") + "</string></dict></dict></plist>");
  EXPECT_THAT(roots(), ElementsAre(dir));
}

TEST_F(Ollama, FindsServersThatOtherAppsBundle) {
  for (const char* app : {".config/Msty/models", ".config/MstyStudio/models", ".config/anythingllm-desktop/storage/models/ollama"}) {
    make_folder(home(std::string(app) + "/blobs"));
    EXPECT_THAT(roots(), IsEmpty()) << "blobs alone are no store";
    make_folder(home(std::string(app) + "/manifests"));
    EXPECT_THAT(roots(), ElementsAre(home(app)));
    ASSERT_EQ(::rmdir(home(std::string(app) + "/manifests").c_str()), 0);
  }
}

TEST(SystemdUnit, ReadsQuotesEscapesAndLongLines) {
  ServiceSettings s;
  s.apply("[Unit]\nEnvironment=A=no\n[Service]\nEnvironment=A=1 \"B=two words\" 'C=3' \\\n  # between\n  D=x%%y\nUser=me\n[Install]\nUser=other\n");
  EXPECT_EQ(s.environment["A"], "1");
  EXPECT_EQ(s.environment["B"], "two words");
  EXPECT_EQ(s.environment["C"], "3");
  EXPECT_EQ(s.environment["D"], "x%y");
  EXPECT_EQ(s.user, "me");
  s.apply("[Service]\nEnvironment=\n");
  EXPECT_TRUE(s.environment.empty());
}

}  // namespace
}  // namespace mlxcache::stores
