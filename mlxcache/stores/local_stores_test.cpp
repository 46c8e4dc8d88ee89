// What is particular to local folders, llama.cpp, MLX, ModelScope, the xet cache and loose folders; the rest is the conformance suite's.
#include <sys/stat.h>
#include <unistd.h>

#include "mlxbase/os/file_system.h"
#include "mlxcache/stores/test_home.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Algorithm;

const std::string kCommit(40, '1');
const std::string kOther(40, '2');
const std::string kSha256(64, 'a');
constexpr std::string_view kIndex = R"({"weight_map":{"x":"one.safetensors","y":"two.safetensors"}})";

std::string sidecar(const std::string& commit, const std::string& etag, std::int64_t seconds) {
  return commit + "\n" + etag + "\n" + std::to_string(seconds) + ".25\n";
}

std::int64_t mtime_of(const std::string& file) { return mlxbase::os::real_file_system().stat(file)->mtime_ns / 1'000'000'000; }

TEST(LocalDir, ClaimsTheEtagWhileTheFileIsOlderThanItsSidecar) {
  TestHome home;
  const std::string dir = "dl/model";
  const std::string fresh = home.put(dir + "/fresh.safetensors", "bytes");
  home.put(dir + "/touched.safetensors", "bytes");
  home.put(dir + "/sub/deep.bin", "bytes");
  home.put(dir + "/without.bin", "bytes");
  const std::string book = dir + "/.cache/huggingface/download/";
  home.put(book + "fresh.safetensors.metadata", sidecar(kCommit, kSha256, mtime_of(fresh)));
  home.put(book + "touched.safetensors.metadata", sidecar(kCommit, kSha256, mtime_of(fresh) - 5));
  home.put(book + "sub/deep.bin.metadata", sidecar(kCommit, kCommit, mtime_of(fresh) + 1));
  const Listing l = home.list(StoreKind::hf_local_dir, dir);
  EXPECT_EQ(entry_at(l, "fresh.safetensors").claim, mlxbase::Digest::parse(Algorithm::sha256, kSha256));
  EXPECT_FALSE(entry_at(l, "touched.safetensors").claim);
  EXPECT_EQ(entry_at(l, "deep.bin").claim->algorithm(), Algorithm::git_sha1);
  EXPECT_EQ(entry_at(l, "without.bin").role, Role::payload);
  EXPECT_EQ(model_at(l, "model").revision, kCommit);
  EXPECT_EQ(l.models.size(), 1U);
  EXPECT_TRUE(adapter_of(StoreKind::hf_local_dir).keeps_mtime);
  Entry bare;  // as whoever changes files asks
  bare.path = entry_at(l, "deep.bin").path;
  const auto locks = adapter_of(StoreKind::hf_local_dir).locks(l.root, bare);
  ASSERT_EQ(locks.size(), 1U);
  EXPECT_TRUE(locks[0].path.ends_with("model/.cache/huggingface/download/sub/deep.bin.lock"));
}

TEST(LocalDir, FindsHubApisFoldersInDocumentsAndContainers) {
  TestHome home;
  home.environment.platform = mlxbase::os::Platform::macos;
  home.make_dir("Documents/huggingface/models");
  home.make_dir("Library/Containers/com.example.app/Data/Documents/huggingface/models");
  EXPECT_EQ(
      home.discovered(StoreKind::hf_local_dir),
      (std::vector<std::string>{"Documents/huggingface/models", "Library/Containers/com.example.app/Data/Documents/huggingface/models"}));
}

TEST(LocalDir, TakesEachOrgAndNameForAModelEvenWithoutSidecars) {
  TestHome home;
  home.put("Documents/huggingface/models/argmaxinc/whisperkit-coreml/tiny/AudioEncoder.mlmodelc/weights/weight.bin", "w");
  home.put("Documents/huggingface/models/org/other/model.safetensors", "w");
  home.put("Documents/huggingface/models/stray.txt", "w");
  const Listing l = home.list(StoreKind::hf_local_dir, "Documents/huggingface/models");
  model_at(l, "argmaxinc/whisperkit-coreml");
  model_at(l, "org/other");
  EXPECT_EQ(l.models.size(), 2U);
  EXPECT_EQ(entry_at(l, "stray.txt").role, Role::foreign);
}

TEST(LocalDir, RefusesSidecarsThatAreNone) {
  TestHome home;
  home.put("d/m.bin", "w");
  home.put("d/.cache/huggingface/download/m.bin.metadata", "../../etc\nx\ny");
  const Listing l = home.list(StoreKind::hf_local_dir, "d");
  EXPECT_TRUE(has_problem(l, "m.bin.metadata"));
  EXPECT_FALSE(entry_at(l, "/m.bin").claim);
}

TEST(XetCache, OffersNothingToShare) {
  TestHome home;
  home.put("xet/https___cas_serv-abc/chunk-cache/ab/abc/item", "chunks");
  home.put("xet/logs/xet.log", "lines");
  for (const Entry& entry : home.list(StoreKind::hf_xet, "xet").entries) {
    EXPECT_EQ(entry.role, Role::metadata) << entry.path;
    EXPECT_EQ(entry.links, catalog::kNoLinks);
  }
}

TEST(LlamaCpp, NamesAFlatFileByItsManifestAndTakesTheEtagForAHint) {
  TestHome home;
  const std::string dir = ".cache/llama.cpp/";
  home.put(dir + "org_repo-GGUF_repo-Q4_K_M.gguf", "weights");
  home.put(dir + "org_repo-GGUF_repo-Q4_K_M.gguf.etag", "\"" + kSha256 + "\"");
  home.put(dir + "manifest=org=repo-GGUF=Q4_K_M.json", R"({"ggufFile":{"rfilename":"repo-Q4_K_M.gguf","size":7}})");
  home.put(dir + "other.gguf", "weights");
  home.put(dir + "other.gguf.json", R"({"url":"https://x/y","etag":"W/\"d41d8cd98f00b204e9800998ecf8427e\"","lastModified":""})");
  home.put(dir + "third.gguf", "weights");
  home.put(dir + "third.gguf.etag", kCommit);
  const Listing l = home.list(StoreKind::llama_cpp, ".cache/llama.cpp");
  EXPECT_TRUE(l.problems.empty());
  EXPECT_TRUE(holds(l, model_at(l, "org/repo-GGUF:Q4_K_M"), "repo-Q4_K_M.gguf"));
  EXPECT_EQ(entry_at(l, "repo-Q4_K_M.gguf").claim, mlxbase::Digest::parse(Algorithm::sha256, kSha256));
  EXPECT_FALSE(entry_at(l, "other.gguf").claim) << "an MD5 of a content network";
  EXPECT_FALSE(entry_at(l, "third.gguf").claim) << "40 digits are no git digest here";
  model_at(l, "other");
}

TEST(LlamaCpp, KeepsSplitsOfOneModelTogether) {
  TestHome home;
  const std::string dir = ".cache/llama.cpp/";
  home.put(dir + "org_big_big-00001-of-00003.gguf", "1");
  home.put(dir + "org_big_big-00003-of-00003.gguf", "3");
  home.put(dir + "org_big_big-00002-of-00003.gguf.downloadInProgress", "2");
  const Listing l = home.list(StoreKind::llama_cpp, ".cache/llama.cpp");
  ASSERT_EQ(l.models.size(), 1U);
  EXPECT_TRUE(l.models[0].incomplete);
  EXPECT_EQ(l.models[0].entries.size(), 3U);
}

TEST(LlamaCpp, ReadsBothLayoutsWhereLlamaCachePointsAtOne) {
  TestHome home;
  home.environment.variables["LLAMA_CACHE"] = home.at("cache");
  home.put("cache/models--org--name-GGUF/blobs/" + kSha256, "weights");
  home.link("cache/models--org--name-GGUF/snapshots/" + kCommit + "/name-Q4_0.gguf", "../../blobs/" + kSha256);
  home.put("cache/models--org--name-GGUF/refs/main", kCommit);
  home.put("cache/models--org--name-GGUF/blobs/" + kCommit + ".downloadInProgress", "half");
  home.put("cache/flat.gguf", "weights");
  EXPECT_EQ(home.discovered(StoreKind::llama_cpp), std::vector<std::string>{"cache"});
  const Listing l = home.list(StoreKind::llama_cpp, "cache");
  EXPECT_EQ(model_at(l, "org/name-GGUF").revision, kCommit);
  model_at(l, "flat");
  EXPECT_EQ(entry_at(l, "/blobs/" + kSha256).claim->algorithm(), Algorithm::sha256);
  EXPECT_EQ(entry_at(l, ".downloadInProgress").role, Role::partial);
  EXPECT_TRUE(l.problems.empty());
}

TEST(LlamaCpp, RefusesManifestsOfHostileNames) {
  TestHome home;
  home.put("c/manifest=..=x=y.json", R"({"ggufFile":{"rfilename":"../../../etc/passwd"}})");
  home.put("c/manifest=a=b=c=d.json", "{}");
  home.put("c/manifest=a=b=c.json", "[1,2");
  const Listing l = home.list(StoreKind::llama_cpp, "c");
  EXPECT_TRUE(l.models.empty());
  EXPECT_TRUE(has_problem(l, "manifest=a=b=c.json"));
}

TEST(MlxFolders, GiveOutputsOfTrainingToClonesOnly) {
  TestHome home;
  home.put("m/download/config.json", "{}");
  home.put("m/download/model.safetensors", "w");
  home.put("m/tuned/config.json", "{}");
  home.put("m/tuned/adapter_config.json", "{}");
  home.put("m/tuned/adapters.safetensors", "w");
  home.put("m/fused_model/config.json", "{}");
  home.put("m/fused_model/model.safetensors", "w");
  const Listing l = home.list(StoreKind::mlx, "m");
  EXPECT_TRUE(entry_at(l, "download/model.safetensors").links.hard_link);
  EXPECT_EQ(entry_at(l, "adapters.safetensors").links, catalog::kReflinkOnly);
  EXPECT_EQ(entry_at(l, "fused_model/model.safetensors").links, catalog::kReflinkOnly);
}

TEST(MlxFolders, AreModelsOneOrTwoLevelsDownWithTheirPipelinesWhole) {
  TestHome home;
  home.put("m/flat-4bit/config.json", "{}");
  home.put("m/flat-4bit/model.safetensors", "w");
  home.put("m/org/name/config.json", "{}");
  home.put("m/org/name/vae/config.json", "{}");
  home.put("m/org/name/vae/model.safetensors", "w");
  const Listing l = home.list(StoreKind::mlx, "m");
  EXPECT_EQ(l.models.size(), 2U);
  model_at(l, "flat-4bit");
  EXPECT_TRUE(holds(l, model_at(l, "org/name"), "vae/model.safetensors"));
}

TEST(MlxFolders, KnowAMissingShardByTheIndex) {
  TestHome home;
  home.put("m/a/config.json", "{}");
  home.put("m/a/one.safetensors", "w");
  home.put("m/a/model.safetensors.index.json", kIndex);
  EXPECT_TRUE(model_at(home.list(StoreKind::mlx, "m"), "a").incomplete);
  home.put("m/a/two.safetensors", "w");
  EXPECT_FALSE(model_at(home.list(StoreKind::mlx, "m"), "a").incomplete);
}

TEST(ModelScope, ReadsThreeGenerationsOfLayout) {
  TestHome home;
  home.put("s/models/owner--new/snapshots/master/model.safetensors", "w");
  home.put("s/models/owner--new/snapshots/v2/model.safetensors", "w");
  home.put("s/models/owner/old___5/model.safetensors", "w");
  home.put("s/hub/models/owner/older/model.safetensors", "w");
  home.put("s/hub/owner/oldest___1/model.safetensors", "w");
  home.link("s/models/owner/old.5", "old___5");
  const Listing l = home.list(StoreKind::modelscope, "s");
  model_at(l, "owner/new", "master");
  model_at(l, "owner/new", "v2");
  for (const std::string_view id : {"owner/old.5", "owner/older", "owner/oldest.1"}) EXPECT_EQ(model_at(l, id).revision, "");
  EXPECT_EQ(l.models.size(), 5U);
  EXPECT_EQ(entry_at(l, "owner/old.5").role, Role::link);
}

TEST(ModelScope, NeverReadsAPickle) {
  TestHome home;
  home.put("s/hub/models/owner/x/model.safetensors", "w");
  const std::string pickle = home.put("s/hub/models/owner/x/.msc", "cos\nsystem\n(S'touch pwned'\ntR.");
  home.put("s/hub/models/owner/x/.mdl", "\x80\x04.");
  const Listing l = home.list(StoreKind::modelscope, "s");
  EXPECT_EQ(entry_at(l, ".msc").role, Role::metadata);
  EXPECT_TRUE(home.fs.opened.empty()) << *home.fs.opened.begin();
}

TEST(ModelScope, LeavesTheTemporaryFolderAlone) {
  TestHome home;
  home.put("s/hub/models/owner/x/model.safetensors", "w");
  home.put("s/hub/models/owner/x/._____temp/model2.safetensors", "w");
  const Listing l = home.list(StoreKind::modelscope, "s");
  EXPECT_EQ(entry_at(l, "model2.safetensors").role, Role::partial);
  EXPECT_TRUE(model_at(l, "owner/x").incomplete);
}

TEST(LooseFolder, CallsFoldersWithWeightsModelsAndLeavesTheRestAlone) {
  TestHome home;
  home.put("d/llama/model.safetensors", "w");
  home.put("d/llama/tokenizer.json", "{}");
  home.put("d/ggufs/a-Q4.gguf", "w");
  home.put("d/ggufs/b-00001-of-00002.gguf", "w");
  home.put("d/work/.git/objects/ab/cdef", "w");
  home.put("d/work/main.py", "print()");
  const Listing l = home.list(StoreKind::loose, "d");
  EXPECT_TRUE(holds(l, model_at(l, "llama"), "tokenizer.json"));
  EXPECT_FALSE(model_at(l, "ggufs/a-Q4").incomplete);
  EXPECT_TRUE(model_at(l, "ggufs/b").incomplete);
  EXPECT_EQ(l.models.size(), 3U);
  EXPECT_EQ(entry_at(l, "main.py").role, Role::metadata);
  EXPECT_EQ(entry_at(l, "main.py").links, catalog::kNoLinks);
  EXPECT_EQ(entry_at(l, "cdef").role, Role::metadata);
}

}  // namespace
}  // namespace mlxcache::stores
