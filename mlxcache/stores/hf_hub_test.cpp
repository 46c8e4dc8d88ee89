#include <unistd.h>

#include "mlxcache/stores/test_home.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Algorithm;

const std::string kHub = ".cache/huggingface/hub";
const std::string kRepo = kHub + "/models--org--name";
const std::string kOne(40, '1');
const std::string kTwo(40, '2');
const std::string kA(64, 'a');  // SHA-256 names
const std::string kB(64, 'b');
const std::string kXet(64, 'c');

struct Hub : TestHome {
  void blob(const std::string& etag, std::string_view bytes = "bytes", const std::string& repo = kRepo) {
    put(repo + "/blobs/" + etag, bytes);
  }
  void snapshot(const std::string& commit, const std::string& name, const std::string& etag, const std::string& repo = kRepo) {
    std::string up = "../../";
    for (std::size_t i = 0; i < static_cast<std::size_t>(std::count(name.begin(), name.end(), '/')); ++i) up += "../";
    link(repo + "/snapshots/" + commit + "/" + name, up + "blobs/" + etag);
  }
  void shared(const std::string& xet, const std::string& etag, const std::string& repo = kRepo) {
    put(kHub + "/blobs/.huggingface-shared-blobs", "1\n");
    put(kHub + "/blobs/" + xet.substr(0, 2) + "/" + xet, "payload");
    link(repo + "/blobs/" + etag, "../../blobs/" + xet.substr(0, 2) + "/" + xet);
  }
  Listing list() { return TestHome::list(StoreKind::hf_hub, kHub); }
};

TEST(HubCache, NamesARegularBlobByItsDigest) {
  Hub hub;
  hub.blob(kA);
  hub.blob(kOne);
  hub.blob("d41d8cd98f00b204e9800998ecf8427e-3");
  hub.snapshot(kTwo, "model.safetensors", kA);
  hub.snapshot(kTwo, "config.json", kOne);
  hub.snapshot(kTwo, "mirror.dat", "d41d8cd98f00b204e9800998ecf8427e-3");
  const Listing l = hub.list();
  EXPECT_EQ(entry_at(l, "/blobs/" + kA).claim->algorithm(), Algorithm::sha256);
  EXPECT_EQ(entry_at(l, "/blobs/" + kOne).claim->algorithm(), Algorithm::git_sha1);
  EXPECT_FALSE(entry_at(l, "e-3").claim) << "another server's ETag tells nothing";
  EXPECT_FALSE(entry_at(l, "model.safetensors").claim) << "a link has no bytes";
  EXPECT_EQ(entry_at(l, "model.safetensors").role, Role::link);
  EXPECT_EQ(model_at(l, "org/name").revision, kTwo);
  EXPECT_EQ(model_at(l, "org/name").format, "safetensors");
}

TEST(HubCache, GivesASharedPayloadTheSha256OfTheLinkBeforeIt) {
  Hub hub;
  hub.shared(kXet, kA);
  hub.snapshot(kOne, "model.safetensors", kA);
  const Listing l = hub.list();
  const Entry& payload = entry_at(l, "/blobs/cc/" + kXet);
  EXPECT_EQ(payload.role, Role::payload);
  EXPECT_EQ(payload.claim, mlxbase::Digest::parse(Algorithm::sha256, kA));
  EXPECT_FALSE(payload.links.symlink) << "clients take no symlink for a payload";
  EXPECT_TRUE(payload.links.hard_link);
  EXPECT_TRUE(holds(l, model_at(l, "org/name"), "/blobs/cc/" + kXet));
  EXPECT_EQ(entry_at(l, "models--org--name/blobs/" + kA).role, Role::link);
  EXPECT_EQ(l.entries.size(), 4U);
}

TEST(HubCache, NeverTakesAXetHashForASha256) {
  Hub hub;
  hub.shared(kXet, kA);
  ASSERT_EQ(::unlink(hub.at(kRepo + "/blobs/" + kA).c_str()), 0);
  const Listing l = hub.list();
  const Entry& payload = entry_at(l, kXet);
  EXPECT_EQ(payload.role, Role::orphan);
  EXPECT_EQ(payload.claim->algorithm(), Algorithm::xet);
}

TEST(HubCache, TrustsNeitherOfTwoReposThatDisagree) {
  Hub hub;
  const std::string other = kHub + "/models--org--other";
  hub.shared(kXet, kA);
  hub.shared(kXet, kB, other);
  hub.snapshot(kOne, "model.safetensors", kA);
  hub.snapshot(kOne, "model.safetensors", kB, other);
  const Listing l = hub.list();
  EXPECT_EQ(entry_at(l, "/cc/" + kXet).claim->algorithm(), Algorithm::xet);
  EXPECT_TRUE(has_problem(l, kXet));
}

TEST(HubCache, LeavesAnUnmarkedBlobsFolderAlone) {
  Hub hub;
  hub.put(kHub + "/blobs/cc/" + kXet, "payload");
  const Entry entry = entry_at(hub.list(), kXet);
  EXPECT_EQ(entry.role, Role::foreign);
  EXPECT_FALSE(entry.claim);
}

TEST(HubCache, TakesASharedSymlinkForNoPayload) {
  Hub hub;
  hub.put(kHub + "/blobs/.huggingface-shared-blobs", "1\n");
  hub.link(kHub + "/blobs/cc/" + kXet, hub.put("elsewhere.bin", "bytes"));
  EXPECT_EQ(entry_at(hub.list(), kXet).role, Role::foreign);
}

TEST(HubCache, ReadsTheLayoutWithoutSymlinks) {
  Hub hub;
  hub.put(kRepo + "/snapshots/" + kOne + "/model.safetensors", "123456789");
  hub.put(kRepo + "/snapshots/" + kOne + "/config.json", "{}");
  hub.put(kRepo + "/trees/" + kOne + ".json", R"({"format_version":1,"files":{"model.safetensors":{"size":100,"blob_id":")" + kTwo +
                                                  R"(","lfs_sha256":")" + kA + R"(","lfs_size":9},"config.json":{"size":77,"blob_id":")" +
                                                  kTwo + R"("}}})");
  const Listing l = hub.list();
  EXPECT_EQ(entry_at(l, "model.safetensors").claim, mlxbase::Digest::parse(Algorithm::sha256, kA));
  EXPECT_FALSE(entry_at(l, "config.json").claim) << "the size is not the listed one";
  EXPECT_EQ(entry_at(l, "model.safetensors").role, Role::payload);
  const auto locks = adapter_of(StoreKind::hf_hub).locks(l.root, entry_at(l, "model.safetensors"));
  ASSERT_EQ(locks.size(), 2U);
  EXPECT_TRUE(locks[0].path.ends_with("/hub/.locks/models--org--name/" + kA + ".lock"));
}

TEST(HubCache, KeepsAFileThatIsNamedLikeAPartialOfTheRepo) {
  Hub hub;
  hub.put(kRepo + "/snapshots/" + kOne + "/data.part", "a file of that name");
  EXPECT_EQ(entry_at(hub.list(), "data.part").role, Role::payload);
}

TEST(HubCache, ListsEachRevisionAndSharesTheirBlobs) {
  Hub hub;
  hub.blob(kA);
  hub.snapshot(kOne, "model.safetensors", kA);
  hub.snapshot(kTwo, "model.safetensors", kA);
  hub.put(kRepo + "/refs/main", kTwo);
  hub.put(kRepo + "/refs/refs/pr/1", kOne + "\n");
  const Listing l = hub.list();
  EXPECT_TRUE(l.problems.empty());
  EXPECT_TRUE(holds(l, model_at(l, "org/name", kOne), "/blobs/" + kA));
  EXPECT_TRUE(holds(l, model_at(l, "org/name", kTwo), "/blobs/" + kA));
  EXPECT_EQ(l.models.size(), 2U);
}

TEST(HubCache, ReportsARefToARevisionThatIsNotHere) {
  Hub hub;
  hub.blob(kA);
  hub.snapshot(kOne, "model.safetensors", kA);
  hub.put(kRepo + "/refs/main", kTwo);
  hub.put(kRepo + "/refs/odd", "not a commit");
  const Listing l = hub.list();
  EXPECT_TRUE(has_problem(l, "refs/main"));
  EXPECT_TRUE(has_problem(l, "refs/odd"));
  EXPECT_EQ(l.models.size(), 1U);
}

TEST(HubCache, FollowsNoSnapshotLinkOutOfItsRepo) {
  Hub hub;
  const std::string secret = hub.put("secret.safetensors", "secret");
  hub.blob(kA, "x", kHub + "/models--org--other");
  hub.link(kRepo + "/snapshots/" + kOne + "/out.safetensors", secret);
  hub.link(kRepo + "/snapshots/" + kOne + "/up.safetensors", "../../../../../../secret.safetensors");
  hub.link(kRepo + "/snapshots/" + kOne + "/neighbour.safetensors", "../../../models--org--other/blobs/" + kA);
  hub.link(kRepo + "/snapshots/" + kOne + "/folder", "/");
  const Listing l = hub.list();
  for (const std::string_view name : {"out.safetensors", "up.safetensors", "neighbour.safetensors", "/folder"}) {
    EXPECT_EQ(entry_at(l, name).role, Role::foreign) << name;
    EXPECT_FALSE(entry_at(l, name).links_reason.empty()) << name;
  }
  EXPECT_EQ(entry_at(l, "other/blobs/" + kA).role, Role::orphan) << "a neighbour's link is no reference";
}

TEST(HubCache, CallsABlobThatLinksElsewhereForeign) {
  Hub hub;
  hub.link(kRepo + "/blobs/" + kA, hub.put("ollama-blob", "bytes"));
  hub.link(kRepo + "/blobs/" + kB, "/nowhere");
  hub.snapshot(kOne, "model.safetensors", kA);
  hub.snapshot(kOne, "other.safetensors", kB);
  const Listing l = hub.list();
  EXPECT_EQ(entry_at(l, "/blobs/" + kA).role, Role::foreign);
  EXPECT_EQ(entry_at(l, "/blobs/" + kB).role, Role::broken);
  EXPECT_EQ(entry_at(l, "other.safetensors").role, Role::broken);
  EXPECT_TRUE(model_at(l, "org/name").incomplete);
}

TEST(HubCache, LetsOnnxBlobsBeClonedOnly) {
  Hub hub;
  hub.blob(kA);
  hub.shared(kXet, kB);
  hub.snapshot(kOne, "onnx/model.onnx_data", kA);
  hub.snapshot(kTwo, "model.onnx", kB);
  const Listing l = hub.list();
  for (const std::string& ending : {"/blobs/" + kA, "/cc/" + kXet}) {
    EXPECT_EQ(entry_at(l, ending).links, catalog::kReflinkOnly) << ending;
    EXPECT_FALSE(entry_at(l, ending).links_reason.empty());
  }
}

TEST(HubCache, KnowsAMissingShardByItsCountAndByItsIndex) {
  Hub hub;
  hub.blob(kA);
  hub.blob(kOne, R"({"weight_map":{"a":"part-a.safetensors","b":"part-b.safetensors"}})");
  hub.snapshot(kOne, "model-00001-of-00002.safetensors", kA);
  hub.snapshot(kTwo, "part-a.safetensors", kA);
  hub.snapshot(kTwo, "model.safetensors.index.json", kOne);
  Listing l = hub.list();
  EXPECT_TRUE(model_at(l, "org/name", kOne).incomplete);
  EXPECT_TRUE(model_at(l, "org/name", kTwo).incomplete);
  hub.snapshot(kOne, "model-00002-of-00002.safetensors", kA);
  hub.snapshot(kTwo, "part-b.safetensors", kA);
  l = hub.list();
  EXPECT_FALSE(model_at(l, "org/name", kOne).incomplete);
  EXPECT_FALSE(model_at(l, "org/name", kTwo).incomplete);
}

TEST(HubCache, TiesAPartialToTheRevisionThatWantsIt) {
  Hub hub;
  hub.blob(kA);
  hub.snapshot(kOne, "model.safetensors", kA);
  hub.snapshot(kTwo, "model.safetensors", kA);
  hub.blob(kB + ".0badcafe.incomplete");
  hub.put(kRepo + "/trees/" + kTwo + ".json",
          R"({"format_version":1,"files":{"big.safetensors":{"size":1,"blob_id":")" + kOne + R"(","lfs_sha256":")" + kB + R"("}}})");
  const Listing l = hub.list();
  EXPECT_FALSE(model_at(l, "org/name", kOne).incomplete);
  EXPECT_TRUE(model_at(l, "org/name", kTwo).incomplete);
  EXPECT_EQ(entry_at(l, ".incomplete").role, Role::partial);
}

TEST(HubCache, ShowsARepoThatHasNothingButAPartial) {
  Hub hub;
  hub.blob(kA + ".incomplete");
  const Listing l = hub.list();
  EXPECT_TRUE(model_at(l, "org/name").incomplete);
  EXPECT_EQ(model_at(l, "org/name").revision, "");
}

TEST(HubCache, CountsOtherTypesUnderTheirOwnNames) {
  Hub hub;
  hub.put(kHub + "/datasets--org--name/snapshots/" + kOne + "/data.parquet", "rows");
  hub.put(kHub + "/models--org--name/snapshots/" + kOne + "/model.safetensors", "w");
  const Listing l = hub.list();
  EXPECT_EQ(l.models.size(), 2U);
  model_at(l, "datasets/org/name");
  model_at(l, "org/name");
}

TEST(HubCache, SortsTheToolsOwnFiles) {
  Hub hub;
  hub.blob(kA);
  hub.snapshot(kOne, "m.safetensors", kA);
  hub.put(kHub + "/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
  hub.put(kHub + "/.locks/models--org--name/" + kA + ".lock", "");
  hub.put(kRepo + "/blobs/" + kA + ".lock", "");
  hub.put(kRepo + "/.no_exist/" + kOne + "/adapter_config.json", "");
  hub.put(kRepo + "/refs/main.0badcafe.tmp", kOne);
  hub.put(kHub + "/models--org--.name/blobs/" + kA, "not an id");
  hub.put(kHub + "/version.txt", "1");
  const Listing l = hub.list();
  EXPECT_EQ(entry_at(l, "CACHEDIR.TAG").role, Role::metadata);
  EXPECT_EQ(entry_at(l, ".locks/models--org--name/" + kA + ".lock").role, Role::lock);
  EXPECT_EQ(entry_at(l, "blobs/" + kA + ".lock").role, Role::lock);
  EXPECT_EQ(entry_at(l, "adapter_config.json").role, Role::metadata);
  EXPECT_EQ(entry_at(l, ".tmp").role, Role::partial);
  EXPECT_EQ(entry_at(l, "models--org--.name/blobs/" + kA).role, Role::foreign);
  EXPECT_EQ(l.models.size(), 1U);
}

TEST(HubCache, IsListedThroughALinkToItsRoot) {
  Hub hub;
  hub.blob(kA);
  hub.link(kRepo + "/snapshots/" + kOne + "/model.safetensors", hub.at(kRepo + "/blobs/" + kA));  // absolute, by the real path
  const std::string alias = hub.link("alias", hub.at(kHub));
  const Listing l = hub.TestHome::list(StoreKind::hf_hub, "alias");
  EXPECT_TRUE(holds(l, model_at(l, "org/name"), "/blobs/" + kA));
  EXPECT_TRUE(l.entries[0].path.starts_with(alias));
}

TEST(HubCache, StagesUnderNamesItsClientsPrune) {
  Hub hub;
  const Root root{StoreKind::hf_hub, hub.at(kHub), "test"};
  const auto staged = [&](const std::string& target) {
    return adapter_of(StoreKind::hf_hub).staging(root, hub.at(target), "0123456789abcdef");
  };
  EXPECT_TRUE(staged(kRepo + "/blobs/" + kA).starts_with(hub.at(kRepo + "/blobs/" + kA + ".")));
  EXPECT_TRUE(staged(kRepo + "/blobs/" + kA).ends_with(".incomplete"));
  EXPECT_TRUE(staged(kRepo + "/snapshots/" + kOne + "/deep/model.safetensors").starts_with(hub.at(kRepo + "/blobs/" + kOne + ".")));
  EXPECT_TRUE(staged(kHub + "/blobs/cc/" + kXet).starts_with(hub.at(kHub + "/blobs/cc/" + kXet + ".")));
}

TEST(HubCache, NamesTheLocksOfPythonAndSwift) {
  Hub hub;
  hub.shared(kXet, kB);
  hub.blob(kA);
  const Listing l = hub.list();
  const auto& row = adapter_of(StoreKind::hf_hub);
  const auto blob = row.locks(l.root, entry_at(l, "name/blobs/" + kA));
  ASSERT_EQ(blob.size(), 2U);
  EXPECT_EQ(blob[0].path, hub.at(kHub + "/.locks/models--org--name/" + kA + ".lock"));
  EXPECT_EQ(blob[0].mode, 0664U);
  EXPECT_EQ(blob[1].path, hub.at(kHub + "/.locks/models--org--name/blobs/" + kA + ".lock"));
  const auto shared = row.locks(l.root, entry_at(l, "/cc/" + kXet));
  ASSERT_EQ(shared.size(), 1U);
  EXPECT_EQ(shared[0].path, hub.at(kHub + "/blobs/cc/" + kXet + ".lock"));
  EXPECT_EQ(shared[0].mode, 0666U);
}

TEST(HubRoots, FollowTheVariablesInTheClientsOrder) {
  Hub hub;
  for (const std::string_view d : {"a", "b", "c/hub", "d/huggingface/hub", ".cache/huggingface/hub", "st", "transformers"}) hub.make_dir(d);
  auto& v = hub.environment.variables;
  v["SENTENCE_TRANSFORMERS_HOME"] = hub.at("st");
  v["TRANSFORMERS_CACHE"] = "$HOME_OF_TEST/transformers";
  v["HOME_OF_TEST"] = hub.environment.home;
  v["XDG_CACHE_HOME"] = hub.at("d");
  v["HF_HOME"] = "~/c";
  v["HUGGINGFACE_HUB_CACHE"] = hub.at("b");
  v["HF_HUB_CACHE"] = hub.at("a");
  EXPECT_EQ(hub.discovered(StoreKind::hf_hub),
            (std::vector<std::string>{"a", "b", "c/hub", "d/huggingface/hub", ".cache/huggingface/hub", "transformers", "st"}));
}

TEST(HubRoots, AnEmptyVariableIsTheWorkingFolderOnlyIfACacheIsThere) {
  Hub hub;
  hub.environment.working_directory = hub.make_dir("work");
  hub.environment.variables["HF_HUB_CACHE"] = "";
  EXPECT_TRUE(hub.discovered(StoreKind::hf_hub).empty());
  hub.put("work/models--org--name/blobs/" + kA, "bytes");
  EXPECT_EQ(hub.discovered(StoreKind::hf_hub), std::vector<std::string>{"work"});
}

TEST(HubRoots, AreFoundInRedirectedHomes) {
  Hub hub;
  hub.make_dir("snap/app/common/.cache/huggingface/hub");
  hub.make_dir(".var/app/org.example.App/cache/huggingface/hub");
  hub.make_dir("Library/Containers/com.example.app/Data/Library/Caches/huggingface/hub");
  EXPECT_EQ(hub.discovered(StoreKind::hf_hub),
            (std::vector<std::string>{"snap/app/common/.cache/huggingface/hub", ".var/app/org.example.App/cache/huggingface/hub"}));
  hub.environment.platform = mlxbase::os::Platform::macos;
  EXPECT_EQ(hub.discovered(StoreKind::hf_hub),
            std::vector<std::string>{"Library/Containers/com.example.app/Data/Library/Caches/huggingface/hub"});
}

TEST(HubRoots, AContainerThatIsGuardedIsAProblemAndNoSilence) {
  Hub hub;
  hub.environment.platform = mlxbase::os::Platform::macos;
  const std::string guarded = hub.make_dir("Library/Containers/com.example.app/Data/Library/Caches/huggingface/hub");
  hub.fs.unreadable.insert(guarded);
  const auto roots = discover_all(hub.context(), {});
  ASSERT_EQ(roots.size(), 1U);
  const Listing l = list_store(hub.context(), roots[0], roots);
  ASSERT_EQ(l.problems.size(), 1U);
  EXPECT_EQ(l.problems[0].error.code, mlxbase::Code::permission);
}

}  // namespace
}  // namespace mlxcache::stores
