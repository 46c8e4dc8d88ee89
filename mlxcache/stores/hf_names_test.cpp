#include "mlxcache/stores/hf_names.h"

#include <gtest/gtest.h>

namespace mlxcache::stores::hf {
namespace {

const std::string kSha256(64, 'a');
const std::string kSha1(40, 'b');

TEST(HubRepoFolder, IsTypeAndIdAndBack) {
  for (const Repo& repo : {Repo{"models", "org/name"}, Repo{"models", "gpt2"}, Repo{"datasets", "a_b/c.d-e"}, Repo{"kernels", "x/y"}}) {
    EXPECT_EQ(parse_repo_folder(repo_folder(repo)), repo);
  }
  EXPECT_EQ((Repo{"models", "org/name"}.display()), "org/name");
  EXPECT_EQ((Repo{"datasets", "org/name"}.display()), "datasets/org/name");
}

TEST(HubRepoFolder, RefusesWhatNoServerWouldServe) {
  for (const std::string_view name :
       {"", "models", "models--", "model--a--b", "models--..", "models--a--..", "models--a--b--c", "models--a/b", "models---a",
        "models--a--.b", "models--a--b.git", "models--\xc3\xa9--b", "models--a--b\n", "models--a--b.", "blobs", ".locks"}) {
    EXPECT_FALSE(parse_repo_folder(name)) << name;
  }
  EXPECT_FALSE(parse_repo_folder(std::string("models--a\0b", 11)));
  EXPECT_FALSE(parse_repo_folder("models--" + std::string(97, 'a')));
  EXPECT_TRUE(parse_repo_folder("models--" + std::string(96, 'a')));
}

TEST(HubEtag, TellsItsAlgorithmByItsLength) {
  EXPECT_EQ(claim_of_etag(kSha256)->algorithm(), mlxbase::Algorithm::sha256);
  EXPECT_EQ(claim_of_etag(kSha1)->algorithm(), mlxbase::Algorithm::git_sha1);
  for (const std::string_view other : {"", "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e-12", "xyz"}) {
    EXPECT_FALSE(claim_of_etag(other)) << other;
  }
  EXPECT_FALSE(claim_of_etag(std::string(64, 'A'))) << "clients write lower case";
}

TEST(SharedPayloadName, IsAXetHashInTheFolderOfItsFirstDigits) {
  EXPECT_EQ(parse_shared_name("aa", kSha256)->algorithm(), mlxbase::Algorithm::xet);
  EXPECT_FALSE(parse_shared_name("ab", kSha256));
  EXPECT_FALSE(parse_shared_name("aa", kSha256 + ".refs"));
  EXPECT_FALSE(parse_shared_name("bb", kSha1));
}

TEST(PartialBlob, IsKnownInEveryClientsSpelling) {
  const std::string e = kSha256;
  for (const std::string& name : {e + ".incomplete", e + ".0badcafe.incomplete", e + ".part", e + ".sync.part", e + ".downloadInProgress",
                                  "." + e + ".0badcafe.shared", "." + e + ".0badcafe.new", "." + e + ".0badcafe.old"}) {
    EXPECT_TRUE(is_partial_blob(name)) << name;
    EXPECT_EQ(etag_of_partial(name), e) << name;
  }
  EXPECT_TRUE(is_partial_blob("tmp_8a1c0f2e"));
  EXPECT_FALSE(is_partial_blob(e));
  EXPECT_FALSE(is_partial_blob("my-own-etag"));
}

TEST(HubRef, IsOneCommit) {
  EXPECT_EQ(parse_ref(kSha1), kSha1);
  EXPECT_EQ(parse_ref(kSha1 + "\n"), kSha1);
  for (const std::string& text : {std::string(), std::string("main"), kSha1 + kSha1, "../" + kSha1, kSha1 + " " + kSha1})
    EXPECT_FALSE(parse_ref(text));
}

TEST(TreeListing, GivesEveryDigestByPath) {
  const auto tree = parse_tree(R"({"format_version":1,"files":{
    "config.json":{"size":12,"blob_id":")" +
                               kSha1 + R"("},
    "deep/model.safetensors":{"size":134,"blob_id":")" +
                               kSha1 + R"(","lfs_sha256":")" + kSha256 + R"(","lfs_size":9000,"xet_hash":")" + kSha256 + R"("},
    "../out":{"size":1},"/abs":{"size":1},"":{"size":1}}})");
  ASSERT_TRUE(tree) << tree.error().message;
  ASSERT_EQ(tree->size(), 2U);
  EXPECT_EQ(tree->at("config.json").claim, claim_of_etag(kSha1));
  EXPECT_EQ(tree->at("config.json").size, 12U);
  EXPECT_EQ(tree->at("deep/model.safetensors").claim, claim_of_etag(kSha256));
  EXPECT_EQ(tree->at("deep/model.safetensors").size, 9000U);
  EXPECT_EQ(tree->at("deep/model.safetensors").xet->algorithm(), mlxbase::Algorithm::xet);
}

TEST(TreeListing, OfAnotherVersionIsLeftUnread) {
  EXPECT_EQ(parse_tree(R"({"format_version":2,"files":{}})").error().code, mlxbase::Code::unsupported);
  EXPECT_EQ(parse_tree("[]").error().code, mlxbase::Code::corrupt);
  EXPECT_EQ(parse_tree("{").error().code, mlxbase::Code::corrupt);
}

TEST(Sidecar, CountsWhileTheFileIsNoNewerThanASecond) {
  const auto sidecar = parse_sidecar(kSha1 + "\n" + kSha256 + "\n1700000000.5\n");
  ASSERT_TRUE(sidecar);
  EXPECT_EQ(sidecar->commit, kSha1);
  EXPECT_EQ(sidecar->etag, kSha256);
  EXPECT_TRUE(sidecar->covers(1'700'000'001'400'000'000));
  EXPECT_FALSE(sidecar->covers(1'700'000'001'600'000'000));
}

TEST(Sidecar, MustBeWhole) {
  for (const std::string& text :
       {std::string(), kSha1, kSha1 + "\n" + kSha256, kSha1 + "\n" + kSha256 + "\nnan", kSha1 + "\n" + kSha256 + "\n12x",
        "main\n" + kSha256 + "\n1", kSha1 + "\n\n1", kSha1 + "\n" + kSha256 + "\n-1"}) {
    EXPECT_FALSE(parse_sidecar(text)) << text;
  }
}

TEST(SafetensorsIndex, NamesItsFilesWithoutTheirFolders) {
  const auto files = parse_safetensors_index(
      R"({"metadata":{},"weight_map":{"a":"x.safetensors","b":"x.safetensors","c":"y.safetensors","d":"../z","e":3}})");
  ASSERT_TRUE(files);
  EXPECT_EQ(*files, (std::set<std::string>{"x.safetensors", "y.safetensors"}));
  EXPECT_FALSE(parse_safetensors_index("{}"));
}

}  // namespace
}  // namespace mlxcache::stores::hf
