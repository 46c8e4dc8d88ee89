#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/format/hasher.h"
#include "mlxbase/format/json.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/fetch/scripted_client_fixture.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::net::Url;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kCommit(40, 'c');
const std::string kOid(40, 'a');
const std::string kSha(64, 'b');
constexpr std::string_view kHub = "https://hub.example";

class Resolve : public ::testing::Test {
 protected:
  Resolve() {
    endpoints.hub = *Url::parse(kHub);
    answer("/api/models/org/name/revision/main", {.body = R"({"sha":")" + kCommit + R"(","gated":false})"});
    tree({.body = "[" + row("config.json", 12) + "," + large("model.safetensors", 5'000'000'000) + R"(,{"type":"directory","path":"onnx","oid":"x"},)" +
                  row("onnx/a b#?.json", 3) + "]"});
  }
  static std::string row(const std::string& path, std::uint64_t size, const std::string& more = {}) {
    return R"({"type":"file","path":")" + path + R"(","size":)" + std::to_string(size) + R"(,"oid":")" + kOid + "\"" + more + "}";
  }
  static std::string large(const std::string& path, std::uint64_t size) {
    return row(path, size, R"(,"lfs":{"oid":")" + kSha + R"(","size":)" + std::to_string(size) + R"(,"pointerSize":130})");
  }
  static std::string tree_path() { return "/api/models/org/name/tree/" + kCommit + "?recursive=true&expand=false"; }
  void answer(const std::string& path, ScriptedAnswer a, std::string_view method = "GET") {
    client.script[std::string(method) + " " + std::string(kHub) + path].push_back(std::move(a));
  }
  void tree(ScriptedAnswer a) {
    client.script.erase("GET " + std::string(kHub) + tree_path());
    answer(tree_path(), std::move(a));
  }
  mlxbase::Result<Resolved> resolve(std::string_view id = "hf:org/name", const Selection& selection = {}) {
    return Resolver(client, endpoints, &cancel, clock).resolve(*parse_id(id), selection);
  }
  mlxbase::Error refused(std::string_view id = "hf:org/name", const Selection& selection = {}) {
    auto resolved = resolve(id, selection);
    EXPECT_FALSE(resolved);
    return resolved ? mlxbase::Error{} : resolved.error();
  }

  mlxbase::testing::FakeClock clock;
  ScriptedClient client{clock};
  Endpoints endpoints;
  mlxbase::Cancel cancel;
};

TEST_F(Resolve, AHubRepoBecomesFilesWithDigestsAndAddressesOfItsCommit) {
  const auto resolved = resolve();
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->commit, kCommit);
  ASSERT_EQ(resolved->files.size(), 3U);
  EXPECT_EQ(resolved->files[0].git_sha1->hex(), kOid);
  EXPECT_FALSE(resolved->files[0].sha256);
  EXPECT_EQ(resolved->files[1].sha256->hex(), kSha);
  EXPECT_FALSE(resolved->files[1].git_sha1) << "the id of a pointer is none of the payload";
  EXPECT_EQ(resolved->files[1].size, 5'000'000'000U);
  EXPECT_EQ(resolved->files[2].url.text(), "https://hub.example/org/name/resolve/" + kCommit + "/onnx/a%20b%23%3F.json");
  EXPECT_TRUE(resolved->complete_listing);
}

TEST_F(Resolve, TheListingIsWhatTheHubsOwnClientWouldWrite) {
  const auto resolved = resolve();
  ASSERT_TRUE(resolved);
  const auto tree = stores::hf::parse_tree(resolved->listing_json);
  ASSERT_TRUE(tree) << tree.error().message;
  EXPECT_EQ(tree->size(), 3U);
  EXPECT_EQ(tree->at("model.safetensors").claim->hex(), kSha);
  EXPECT_EQ(tree->at("config.json").claim->hex(), kOid);
}

TEST_F(Resolve, APartIsNotTakenForTheWhole) {
  const auto resolved = resolve("hf:org/name", {.include = {"*.json"}});
  ASSERT_TRUE(resolved);
  EXPECT_FALSE(resolved->complete_listing);
  EXPECT_EQ(resolved->listing_json, "");
}

TEST_F(Resolve, PagesAreFollowedOnTheSameHost) {
  tree({.body = "[" + row("a", 1) + "]", .headers = {{"Link", "<" + std::string(kHub) + "/api/next?cursor=2>; rel=\"next\""}}});
  answer("/api/next?cursor=2", {.body = "[" + row("b", 1) + "]"});
  const auto resolved = resolve();
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->files.size(), 2U);
}

TEST_F(Resolve, PagesOnAnotherHostAreNot) {
  tree({.body = "[" + row("a", 1) + "]", .headers = {{"Link", "<https://evil.example/api/next>; rel=\"next\""}}});
  EXPECT_EQ(refused().code, Code::corrupt);
  for (const std::string& line : client.asked_lines()) EXPECT_THAT(line, Not(HasSubstr("evil")));
}

TEST_F(Resolve, PagesInACircleEnd) {
  tree({.body = "[" + row("a", 1) + "]", .headers = {{"Link", "<" + tree_path() + ">; rel=\"next\""}}});
  EXPECT_EQ(refused().code, Code::corrupt);
  EXPECT_LT(client.asked.size(), 5U);
}

TEST_F(Resolve, RowsThatLieAreRefused) {
  for (const std::string& body :
       {std::string("{}"), std::string("[") + row("a", 1) + "," + row("a", 2) + "]", "[" + row("a", 1) + "," + row("a/b", 2) + "]", "[" + row("../evil", 1) + "]",
        "[" + row("/etc/passwd", 1) + "]", "[" + row("C:x", 1) + "]", "[" + row("a\\\\..\\\\b", 1) + "]", std::string(R"([{"type":"file","path":"a","size":-1,"oid":")") + kOid + "\"}]",
        std::string(R"([{"type":"file","path":"a","size":4,"oid":"../x"}])"), "[" + row("a", 4, R"(,"lfs":{"oid":"../../x","size":4})") + "]",
        "[" + row("a", 4, R"(,"lfs":{"oid":")" + kSha + R"(","size":99999999999999999})") + "]", std::string("<html>")}) {
    tree({.body = body});
    EXPECT_EQ(refused().code, Code::corrupt) << body;
  }
}

TEST_F(Resolve, AnUnusableNameMayBeLeftOut) {
  tree({.body = "[" + row("../evil", 1) + "," + row("config.json", 2) + "]"});
  const auto resolved = resolve("hf:org/name", {.exclude = {"*evil"}});
  ASSERT_TRUE(resolved);
  EXPECT_FALSE(resolved->complete_listing);
}

TEST_F(Resolve, AGatedRepoNamesThePageToVisit) {
  client.script.clear();
  answer("/api/models/org/name/revision/main", {.body = R"({"sha":")" + kCommit + R"(","gated":"manual"})"});
  tree({.body = "[" + row("README.md", 1) + "," + large("model.safetensors", 10) + "]"});
  answer("/org/name/resolve/" + kCommit + "/model.safetensors", {.status = 401, .headers = {{"X-Error-Code", "GatedRepo"}}}, "HEAD");
  const auto error = refused();
  EXPECT_EQ(error.code, Code::permission);
  EXPECT_THAT(error.message, HasSubstr("https://hub.example/org/name"));
  EXPECT_THAT(error.message, HasSubstr("HF_TOKEN"));
}

TEST_F(Resolve, RefusalsSayWhichPartIsMissing) {
  answer("/api/models/org/name/revision/nope", {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}});
  EXPECT_THAT(refused("hf:org/name@nope").message, HasSubstr("'nope'"));
  EXPECT_EQ(refused("hf:org/other").code, Code::not_found);
  EXPECT_THAT(refused("hf:org/name/sub/config.json").message, HasSubstr("config.json"));
  EXPECT_THAT(refused("hf:org/name", {.quant = "Q4_0"}).message, HasSubstr("no GGUF"));
}

TEST_F(Resolve, WhatPassesIsRepeatedAndWhatStaysIsTold) {
  client.script.clear();
  answer("/api/models/org/name/revision/main", {.status = 503});
  answer("/api/models/org/name/revision/main", {.resets = true});
  answer("/api/models/org/name/revision/main", {.body = R"({"sha":")" + kCommit + R"("})"});
  tree({.body = "[" + row("a", 1) + "]"});
  EXPECT_TRUE(resolve());
  client.script.clear();
  answer("/api/models/org/name/revision/main", {.status = 429, .headers = {{"Retry-After", "86400"}}});
  const auto before = client.asked.size();
  EXPECT_EQ(refused().code, Code::busy);
  EXPECT_EQ(client.asked.size(), before + 1) << "a wait of a day is for the person to decide";
}

TEST_F(Resolve, TheTokenGoesToTheHubAndIntoNoMessage) {
  endpoints.hub_credential = mlxbase::net::Credential{endpoints.hub, mlxbase::net::Secret("hf_secret")};
  client.script.clear();
  answer("/api/models/org/name/revision/main", {.status = 403, .headers = {{"X-Error-Message", "token hf_secret is not allowed"}}});
  EXPECT_THAT(refused().message, Not(HasSubstr("hf_secret")));
  ASSERT_EQ(client.asked.size(), 1U);
  EXPECT_TRUE(client.asked[0].credential->origin.same_origin(endpoints.hub));
}

TEST_F(Resolve, AMirrorWithAPathIsAskedForEverything) {
  endpoints.hub = *Url::parse("https://mirror.example/hf");
  client.script["GET https://mirror.example/hf/api/models/org/name/revision/main"] = {{.body = R"({"sha":")" + kCommit + R"("})"}};
  client.script["GET https://mirror.example/hf" + tree_path()] = {{.body = "[" + row("a", 1) + "]"}};
  const auto resolved = resolve();
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->files[0].url.text(), "https://mirror.example/hf/org/name/resolve/" + kCommit + "/a");
}

TEST_F(Resolve, NothingIsAskedOffline) {
  endpoints.offline = true;
  EXPECT_EQ(refused().code, Code::unsupported);
  EXPECT_TRUE(client.asked.empty());
}

TEST_F(Resolve, CancelEndsAWait) {
  client.script.clear();
  answer("/api/models/org/name/revision/main", {.status = 503});
  cancel.request();
  EXPECT_EQ(refused().code, Code::cancelled);
}

class ResolveRegistry : public Resolve {
 protected:
  static inline const std::string kBase = "https://registry.ollama.ai";
  static inline const std::string kManifestUrl = "GET " + kBase + "/v2/library/tiny/manifests/1b";
  static std::string manifest() {
    return R"({ "schemaVersion":2, "mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"digest":"sha256:)" + std::string(64, '1') +
           R"(","size":5},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:)" + std::string(64, '2') + R"(","size":7}]})";
  }
};

TEST_F(ResolveRegistry, AManifestIsKeptByteForByte) {
  client.script[kManifestUrl] = {{.body = manifest()}};
  const auto resolved = resolve("ollama:tiny:1b");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->manifest, manifest());
  ASSERT_EQ(resolved->files.size(), 2U);
  EXPECT_EQ(resolved->files[0].media_type, "model");
  EXPECT_EQ(resolved->files[0].path, "sha256-" + std::string(64, '2'));
  EXPECT_EQ(resolved->files[0].url.text(), kBase + "/v2/library/tiny/blobs/sha256:" + std::string(64, '2'));
}

TEST_F(ResolveRegistry, AChallengeIsMetOnTheRegistrysOwnHostOnly) {
  client.script[kManifestUrl] = {{.status = 401, .headers = {{"WWW-Authenticate", R"(Bearer realm="https://registry.ollama.ai/token",service="s s",scope="repository:x:pull")"}}},
                                 {.body = manifest()}};
  client.script["GET " + kBase + "/token?service=s%20s&scope=repository%3Ax%3Apull"] = {{.body = R"({"token":"anonymous"})"}};
  const auto resolved = resolve("ollama:tiny:1b");
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->credential->bearer.reveal(), "anonymous");
  client.script[kManifestUrl] = {{.status = 401, .headers = {{"WWW-Authenticate", R"(Bearer realm="https://evil.example/token")"}}}};
  EXPECT_EQ(refused("ollama:tiny:1b").code, Code::permission);
  for (const std::string& line : client.asked_lines()) EXPECT_THAT(line, Not(HasSubstr("evil")));
}

TEST_F(ResolveRegistry, ManifestsThatLieAreRefused) {
  for (const std::string& body : {std::string("x"), std::string("{}"), std::string(R"({"schemaVersion":2,"layers":[]})"),
                                  std::string(R"({"schemaVersion":2,"layers":[{"digest":"sha256:../../x","size":1}]})"), std::string(R"({"schemaVersion":2,"manifests":[]})"),
                                  R"({"schemaVersion":2,"layers":[{"digest":"sha256:)" + kSha + R"(","size":1},{"digest":"sha256:)" + kSha + R"(","size":2}]})",
                                  R"({"schemaVersion":2,"layers":[{"digest":"sha256:)" + kSha + R"(","size":99999999999999999}]})"}) {
    client.script[kManifestUrl] = {{.body = body}};
    EXPECT_FALSE(resolve("ollama:tiny:1b")) << body;
  }
  client.script[kManifestUrl] = {{.body = manifest(), .headers = {{"Docker-Content-Digest", "sha256:" + kSha}}}};
  EXPECT_EQ(refused("ollama:tiny:1b").code, Code::corrupt);
}

TEST_F(ResolveRegistry, HttpIsSpokenToThisMachineAndToNamedRegistriesOnly) {
  (void)resolve("ollama:127.0.0.1:5000/library/tiny:1b");
  (void)resolve("ollama:box.example:5000/library/tiny:1b");
  endpoints.insecure_registries = {"box.example:5000"};
  (void)resolve("ollama:box.example:5000/library/tiny:1b");
  EXPECT_THAT(client.asked_lines(), ::testing::ElementsAre(HasSubstr("GET http://127.0.0.1:5000/"), HasSubstr("GET https://box.example:5000/"),
                                                           HasSubstr("GET http://box.example:5000/")));
}

TEST_F(Resolve, AnAddressTellsItsLengthByHeadOrByItsFirstByte) {
  const std::string url = "https://files.example/m.gguf";
  client.script["HEAD " + url] = {{.status = 405}};
  client.script["GET " + url] = {{.status = 206, .body = "G", .headers = {{"Content-Range", "bytes 0-0/12345"}}}};
  const auto resolved = resolve(url + "#sha256=" + kSha);
  ASSERT_TRUE(resolved) << resolved.error().message;
  EXPECT_EQ(resolved->files[0].size, 12345U);
  EXPECT_EQ(resolved->files[0].path, "m.gguf");
  EXPECT_FALSE(resolved->credential);
}

class EndpointsTest : public ::testing::Test {
 protected:
  mlxbase::Result<Endpoints> read() {
    environment.home = folder / "home";
    environment.working_directory = folder / "home";
    const stores::Context context{mlxbase::os::real_file_system(), environment, nullptr};
    return endpoints(context);
  }
  mlxbase::testing::TemporaryFolder folder;
  mlxbase::os::Environment environment;
};

TEST_F(EndpointsTest, TheTokenComesFromVariablesOrTheHubsOwnFile) {
  EXPECT_FALSE(read()->hub_credential);
  folder.write("home/.cache/huggingface/token", "hf_file\n");
  EXPECT_EQ(read()->hub_credential->bearer.reveal(), "hf_file");
  environment.variables["HUGGING_FACE_HUB_TOKEN"] = "hf_old";
  EXPECT_EQ(read()->hub_credential->bearer.reveal(), "hf_old");
  environment.variables["HF_TOKEN"] = " hf_new\n";
  EXPECT_EQ(read()->hub_credential->bearer.reveal(), "hf_new");
  environment.variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "yes";
  EXPECT_FALSE(read()->hub_credential);
}

TEST_F(EndpointsTest, TheKeychainIsAskedLastAndForTheHubAlone) {
  std::vector<std::string> asked;
  const Keychain keychain = [&](const std::string& host, const std::string& account) {
    asked.push_back(account + "@" + host);
    return std::optional<std::string>("hf_kept");
  };
  ASSERT_TRUE(read());  // makes the home
  const stores::Context context{mlxbase::os::real_file_system(), environment, nullptr};
  EXPECT_EQ(endpoints(context, keychain)->hub_credential->bearer.reveal(), "hf_kept");
  EXPECT_EQ(asked, std::vector<std::string>{"hf_user@huggingface.co"});
  environment.variables["HF_ENDPOINT"] = "http://127.0.0.1:8080";
  EXPECT_FALSE(endpoints(context, keychain)->hub_credential.has_value()) << "not without encryption";
  environment.variables.erase("HF_ENDPOINT");
  environment.variables["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1";
  EXPECT_FALSE(endpoints(context, keychain)->hub_credential.has_value());
  environment.variables.erase("HF_HUB_DISABLE_IMPLICIT_TOKEN");
  environment.variables["HF_TOKEN"] = "hf_variable";
  EXPECT_EQ(endpoints(context, keychain)->hub_credential->bearer.reveal(), "hf_variable");
  EXPECT_EQ(asked.size(), 1U);
}

TEST_F(EndpointsTest, ATokenThatCannotBeOneIsRefusedUnseen) {
  environment.variables["HF_TOKEN"] = "hf_a\r\nX-Evil: 1";
  const auto result = read();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, Not(HasSubstr("Evil")));
}

TEST_F(EndpointsTest, AMirrorIsTakenWithoutItsLastSlash) {
  environment.variables["HF_ENDPOINT"] = "https://mirror.example/hf/";
  environment.variables["TRANSFORMERS_OFFLINE"] = "True";
  EXPECT_EQ(read()->hub.text(), "https://mirror.example/hf");
  EXPECT_TRUE(read()->offline);
  environment.variables["HF_ENDPOINT"] = "file:///etc";
  EXPECT_FALSE(read());
}

}  // namespace
}  // namespace mlxcache::fetch
