// The hub cache's own rules of coming and going, beyond what the suite of all tools asks.
#include "mlxcache/stores/hf_publish.h"

#include <gtest/gtest.h>

#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/publication_fixture.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::testing::read_all;

constexpr std::string_view kCommit = "0123456789abcdef0123456789abcdef01234567";
constexpr std::string_view kOther = "fedcba9876543210fedcba9876543210fedcba98";
const std::string kHub = ".cache/huggingface/hub";
const std::string kRepo = kHub + "/models--org--fresh";

class HubPublication : public testing::Test {
 protected:
  HubPublication() { home.make_dir(kHub); }

  ModelSource known(std::string_view commit = kCommit, std::uint64_t seed = 3) {
    ModelSource from = home.source({{"model.safetensors", sample::safetensors_bytes(seed, 5000)}, {"config.json", "{\"seed\":" + std::to_string(seed) + "}"}}, "org/fresh");
    from.commit = commit;
    return from;
  }
  Root root() const { return home.root(StoreKind::hf_hub, kHub); }
  Publication publish(const ModelSource& from) {
    auto publication = home.publish(root(), from);
    EXPECT_TRUE(publication) << publication.error().message;
    if (!publication) return {};
    home.carry_out(*publication, from);
    return std::move(*publication);
  }
  Listing list() { return home.list(StoreKind::hf_hub, kHub); }
  /// Index of the name that ends so; -1 if none does.
  static std::ptrdiff_t position(const Publication& publication, std::string_view ending) {
    const auto it = std::find_if(publication.names.begin(), publication.names.end(), [&](const NewName& n) { return n.path.ends_with(ending); });
    return it == publication.names.end() ? -1 : it - publication.names.begin();
  }
  Removal remove(std::string_view id, std::string_view revision) {
    const Listing listing = list();
    for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
      if (listing.models[m].id != id || listing.models[m].revision != revision) continue;
      auto removal = adapter_of(StoreKind::hf_hub).remove(home.context(), listing, m);
      EXPECT_TRUE(removal) << removal.error().message;
      if (!removal) return {};
      home.carry_out(*removal);
      return std::move(*removal);
    }
    ADD_FAILURE() << "no " << id << " at " << revision;
    return {};
  }

  PublicationHome home;
};

TEST_F(HubPublication, NamesLargeFilesBySha256AndSmallOnesAsGitDoes) {
  const ModelSource from = known();
  publish(from);
  EXPECT_TRUE(home.is_there(kRepo + "/blobs/" + from.files[0].sha256.hex()));
  mlxbase::Hasher git(mlxbase::Algorithm::git_sha1, from.files[1].size);
  git.update(mlxbase::as_bytes(read_all(from.files[1].path)));
  EXPECT_TRUE(home.is_there(kRepo + "/blobs/" + git.finish().hex()));
  EXPECT_EQ(read_all(home.at(kRepo + "/snapshots/" + std::string(kCommit) + "/config.json")), read_all(from.files[1].path));
}

TEST_F(HubPublication, WritesTheRefLast) {
  const Publication publication = publish(known());
  EXPECT_EQ(position(publication, "/refs/main"), static_cast<std::ptrdiff_t>(publication.names.size()) - 1);
  EXPECT_LT(position(publication, "/blobs"), position(publication, "/snapshots"));
  EXPECT_EQ(read_all(home.at(kRepo + "/refs/main")), kCommit);
}

TEST_F(HubPublication, TagsOnlyANewRoot) {
  EXPECT_GE(position(publish(known()), "CACHEDIR.TAG"), 0);
  EXPECT_LT(position(publish(known(kOther, 4)), "CACHEDIR.TAG"), 0);
}

TEST_F(HubPublication, WritesTheListingOnlyOfACompleteCommit) {
  ModelSource from = known();
  from.hub_listing = R"({"format_version":1,"files":{"model.safetensors":{"size":1},"config.json":{"size":1}}})";
  const std::string listing = "/trees/" + std::string(kCommit) + ".json";
  EXPECT_LT(position(home.publish(root(), from).value(), listing), 0) << "nobody says that these are all files";
  from.complete_listing = true;
  EXPECT_GE(position(home.publish(root(), from).value(), listing), 0);
  from.hub_listing = R"({"format_version":1,"files":{"model.safetensors":{"size":1},"gone.json":{"size":1}}})";
  EXPECT_LT(position(home.publish(root(), from).value(), listing), 0) << "offline clients would miss gone.json";
}

TEST_F(HubPublication, MovesTheRefToTheNewCommitAndKeepsTheOldSnapshot) {
  publish(known(kOther, 4));
  const Publication publication = publish(known());
  const NewName& ref = publication.names.back();
  EXPECT_TRUE(ref.replaces && ref.expected);
  EXPECT_TRUE(says(publication.notes, "named " + std::string(kOther.substr(0, 12))));
  EXPECT_EQ(read_all(home.at(kRepo + "/refs/main")), kCommit);
  EXPECT_EQ(list().models.size(), 2U);
}

TEST_F(HubPublication, KeepsOtherRevisionsUnderTheirOwnRefs) {
  ModelSource from = known();
  from.revision = "refs/pr/1";
  publish(from);
  EXPECT_EQ(read_all(home.at(kRepo + "/refs/refs/pr/1")), kCommit);
  from.revision = std::string(kCommit);  // asked for by commit: no ref, as the clients do
  EXPECT_LT(position(home.publish(root(), from).value(), "/refs/main"), 0);
}

TEST_F(HubPublication, FilesAModelWithoutACommitUnderAMadeUpOne) {
  ModelSource from = home.source({{"sha256-file", sample::gguf_bytes(4, 4000)}}, "");
  from.format = "gguf";
  from.name = "llama3.2";
  from.tag = "3b";
  from.gguf = GgufFacts{.architecture = "llama", .file_type = "Q4_K_M"};
  const Publication publication = publish(from);
  EXPECT_EQ(publication.visible_as, "mlxcache/llama3.2-3b");
  EXPECT_TRUE(says(publication.notes, "made up"));
  const std::string commit = read_all(home.at(kHub + "/models--mlxcache--llama3.2-3b/refs/main"));
  EXPECT_TRUE(hf::is_made_up(commit)) << commit;
  EXPECT_TRUE(home.is_there(kHub + "/models--mlxcache--llama3.2-3b/snapshots/" + commit + "/llama3.2-3b-Q4_K_M.gguf"));
}

TEST_F(HubPublication, AddsToAMadeUpSnapshotWhatComesLater) {
  ModelSource one = home.source({{"fresh-Q4_K_M.gguf", sample::gguf_bytes(4, 4000)}}, "org/fresh");
  ModelSource two = home.source({{"fresh-Q8_0.gguf", sample::gguf_bytes(5, 8000)}}, "org/fresh");
  publish(one);
  publish(two);
  const Listing listing = list();
  ASSERT_EQ(listing.models.size(), 1U);
  EXPECT_TRUE(holds(listing, listing.models[0], "/fresh-Q4_K_M.gguf") && holds(listing, listing.models[0], "/fresh-Q8_0.gguf"));
  ModelSource other = home.source({{"fresh-Q8_0.gguf", sample::gguf_bytes(6, 8000)}}, "org/fresh");
  const auto refused = home.publish(root(), other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::changed) << "other bytes under the same name";
}

TEST_F(HubPublication, ClaimsNoFileForACommitThatNobodyAskedAbout) {
  publish(known());
  ModelSource stray = home.source({{"fresh-Q8_0.gguf", sample::gguf_bytes(5, 8000)}}, "org/fresh");
  const auto refused = home.publish(root(), stray);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::changed);
  EXPECT_TRUE(refused.error().message.contains("pull it"));
  ModelSource same = known();
  same.commit.clear();
  EXPECT_TRUE(home.publish(root(), same)) << "what is in the snapshot already is no claim";
}

TEST_F(HubPublication, KeepsPlainFilesWhereClientsMakeNoLinks) {
  home.environment.variables["HF_HUB_DISABLE_SYMLINKS"] = "1";
  publish(known());
  EXPECT_FALSE(home.is_there(kRepo + "/blobs"));
  const auto stat = mlxbase::os::real_file_system().stat(home.at(kRepo + "/snapshots/" + std::string(kCommit) + "/model.safetensors"));
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->kind, mlxbase::os::FileKind::regular);
  ASSERT_EQ(list().models.size(), 1U);
  remove("org/fresh", kCommit);
  EXPECT_FALSE(home.is_there(kRepo));
}

TEST_F(HubPublication, EqualFilesOfOneModelAreOneBlob) {
  ModelSource from = home.source({{"a/vocab.json", "{}"}, {"b/vocab.json", "{}"}, {"model.safetensors", sample::safetensors_bytes(3, 5000)}}, "org/fresh");
  ASSERT_FALSE(publish(from).names.empty());
  EXPECT_EQ(read_all(home.at(kRepo + "/snapshots/" + read_all(home.at(kRepo + "/refs/main")) + "/b/vocab.json")), "{}");
}

TEST_F(HubPublication, UsesABlobThatTheSharedStoreHolds) {
  const sample::Model alpha{"org/alpha", {{"model.safetensors", sample::safetensors_bytes(1, 4000)}}};
  const sample::Model fresh{"org/fresh", {{"model.safetensors", sample::safetensors_bytes(3, 5000)}}};
  const std::string place = home.at("shared");
  ASSERT_TRUE(sample::build(StoreKind::hf_hub, home.environment.home, {alpha, fresh}, {}, place));
  ModelSource from = known();
  const Root shared{StoreKind::hf_hub, place, "test"};
  const auto publication = home.publish(shared, from);
  ASSERT_TRUE(publication) << publication.error().message;
  const auto at = position(*publication, "/blobs/" + from.files[0].sha256.hex());
  ASSERT_GE(at, 0);
  EXPECT_EQ(publication->names[static_cast<std::size_t>(at)].what, NewName::What::link_text) << "its link into the shared store stays";
}

class HubRemoval : public HubPublication {};

TEST_F(HubRemoval, OfOneRevisionKeepsTheBlobsOfTheOther) {
  publish(known(kOther));
  ModelSource newer = known(kCommit);
  newer.files[1] = home.source({{"config2.json", "{\"new\":1}"}}, "org/fresh").files[0];
  newer.files[1].name = "config.json";
  publish(newer);
  const Removal removal = remove("org/fresh", kOther);
  EXPECT_TRUE(says(removal.kept, newer.files[0].sha256.hex()));
  EXPECT_TRUE(says(removal.kept, "needed by org/fresh"));
  const Listing left = list();
  EXPECT_TRUE(left.problems.empty()) << left.problems.front().error.message;
  ASSERT_EQ(left.models.size(), 1U);
  EXPECT_EQ(left.models[0].revision, kCommit);
  EXPECT_FALSE(left.models[0].incomplete);
  EXPECT_FALSE(home.is_there(kRepo + "/snapshots/" + std::string(kOther)));
  EXPECT_TRUE(home.is_there(kRepo + "/refs/main"));
  for (const Entry& entry : left.entries) EXPECT_NE(entry.role, Role::orphan) << entry.path;
}

TEST_F(HubRemoval, TakesTheRefFirst) {
  publish(known());
  home.put(kRepo + "/.no_exist/" + std::string(kCommit) + "/adapter.json", "");
  home.put(kRepo + "/trees/" + std::string(kCommit) + ".json", R"({"format_version":1,"files":{}})");
  home.make_dir(kRepo + "/refs/refs/pr");
  const Removal removal = remove("org/fresh", kCommit);
  ASSERT_FALSE(removal.names.empty());
  EXPECT_TRUE(removal.names.front().ends_with("/refs/main")) << removal.names.front();
  const auto at = [&](std::string_view part) {
    return std::find_if(removal.names.begin(), removal.names.end(), [&](const std::string& n) { return n.contains(part); }) - removal.names.begin();
  };
  EXPECT_LT(at("/snapshots/"), at("/blobs/"));
  EXPECT_FALSE(home.is_there(kRepo));
}

TEST_F(HubRemoval, DropsItsLineOfASharedPayloadAndTakesItWithTheLast) {
  const std::string bytes = sample::safetensors_bytes(9, 6000);
  const std::string etag = sha256_of_bytes(bytes).hex();
  const std::string xet = "ab" + std::string(62, '1');
  const std::string payload = kHub + "/blobs/ab/" + xet;
  home.put(kHub + "/blobs/.huggingface-shared-blobs", "1\n");
  home.put(payload, bytes);
  std::string lines = "../../../etc/passwd\nmodels--org--gone/blobs/" + etag + "\n";
  for (const std::string name : {"one", "two"}) {
    const std::string repo = "models--org--" + name;
    home.link(kHub + "/" + repo + "/blobs/" + etag, "../../blobs/ab/" + xet);
    home.link(kHub + "/" + repo + "/snapshots/" + std::string(kCommit) + "/model.safetensors", "../../blobs/" + etag);
    home.put(kHub + "/" + repo + "/refs/main", kCommit);
    lines += repo + "/blobs/" + etag + "\n";
  }
  home.put(payload + ".refs", lines);

  const Removal first = remove("org/one", kCommit);
  EXPECT_TRUE(home.is_there(payload));
  EXPECT_TRUE(says(first.kept, xet));
  ASSERT_EQ(first.rewritten.size(), 1U);
  EXPECT_TRUE(first.rewritten[0].replaces && first.rewritten[0].expected);
  const std::string left = read_all(home.at(payload + ".refs"));
  EXPECT_FALSE(left.contains("models--org--one")) << left;
  EXPECT_TRUE(left.contains("models--org--two/blobs/" + etag + "\n")) << left;
  EXPECT_FALSE(list().models[0].incomplete);

  remove("org/two", kCommit);
  EXPECT_FALSE(home.is_there(payload)) << "stale lines keep nothing alive";
  EXPECT_FALSE(home.is_there(payload + ".refs"));
}

TEST_F(HubRemoval, KeepsASharedPayloadThatARepoTookUpSinceTheListing) {
  const std::string bytes = sample::safetensors_bytes(9, 6000);
  const std::string etag = sha256_of_bytes(bytes).hex();
  const std::string xet = "ab" + std::string(62, '1');
  home.put(kHub + "/blobs/.huggingface-shared-blobs", "1\n");
  home.put(kHub + "/blobs/ab/" + xet, bytes);
  home.link(kRepo + "/blobs/" + etag, "../../blobs/ab/" + xet);
  home.link(kRepo + "/snapshots/" + std::string(kCommit) + "/model.safetensors", "../../blobs/" + etag);
  const Listing listing = list();
  home.link(kHub + "/models--org--new/blobs/" + etag, "../../blobs/ab/" + xet);
  home.put(kHub + "/blobs/ab/" + xet + ".refs", "models--org--fresh/blobs/" + etag + "\nmodels--org--new/blobs/" + etag + "\n");
  auto removal = adapter_of(StoreKind::hf_hub).remove(home.context(), listing, 0);
  ASSERT_TRUE(removal) << removal.error().message;
  home.carry_out(*removal);
  EXPECT_TRUE(home.is_there(kHub + "/blobs/ab/" + xet));
  EXPECT_EQ(read_all(home.at(kHub + "/blobs/ab/" + xet + ".refs")), "models--org--new/blobs/" + etag + "\n");
}

TEST_F(HubRemoval, KeepsASharedPayloadWhoseReferrersCannotBeRead) {
  const std::string bytes = sample::safetensors_bytes(9, 6000);
  const std::string etag = sha256_of_bytes(bytes).hex();
  const std::string xet = "ab" + std::string(62, '1');
  home.put(kHub + "/blobs/.huggingface-shared-blobs", "1\n");
  home.put(kHub + "/blobs/ab/" + xet, bytes);
  home.link(kRepo + "/blobs/" + etag, "../../blobs/ab/" + xet);
  home.link(kRepo + "/snapshots/" + std::string(kCommit) + "/model.safetensors", "../../blobs/" + etag);
  home.put(kRepo + "/refs/main", kCommit);
  const Removal removal = remove("org/fresh", kCommit);
  EXPECT_TRUE(home.is_there(kHub + "/blobs/ab/" + xet));
  EXPECT_TRUE(says(removal.kept, "cannot be read"));
}

TEST_F(HubRemoval, RewritesTheListOfReferrersUnderThePayloadsLock) {
  Entry refs;
  const std::string payload = home.at(kHub + "/blobs/ab/ab" + std::string(62, '1'));
  refs.path = payload + ".refs";
  const auto locks = adapter_of(StoreKind::hf_hub).locks(root(), refs);
  ASSERT_EQ(locks.size(), 1U);
  EXPECT_EQ(locks[0].path, payload + ".lock");
}

TEST_F(HubRemoval, WaitsForALockThatAClientHolds) {
  const ModelSource from = known();
  publish(from);
  const std::string partial = home.put(kRepo + "/blobs/" + from.files[0].sha256.hex() + ".1234abcd.incomplete", "half");
  ASSERT_TRUE(mlxbase::os::real_file_system().set_times(partial, 0, 0));
  const std::string lock = home.put(kHub + "/.locks/models--org--fresh/" + from.files[0].sha256.hex() + ".lock", "");
  const Listing listing = list();
  mlxbase::os::FileSystem& real = mlxbase::os::real_file_system();
  const Context context{real, home.environment, nullptr};
  {
    const auto held = real.try_lock(lock, 0664);
    ASSERT_TRUE(held);
    const auto removal = adapter_of(StoreKind::hf_hub).remove(context, listing, 0);
    ASSERT_FALSE(removal);
    EXPECT_EQ(removal.error().code, Code::busy);
  }
  EXPECT_TRUE(adapter_of(StoreKind::hf_hub).remove(context, listing, 0));
  const auto open = real.open_write(partial);
  ASSERT_TRUE(open);
  EXPECT_FALSE(adapter_of(StoreKind::hf_hub).remove(context, listing, 0)) << "somebody has it open";
}

TEST_F(HubRemoval, KeepsABlobThatALinkOfAnotherRepoLeadsTo) {
  const ModelSource from = known();
  publish(from);
  home.link(kHub + "/models--org--other/snapshots/" + std::string(kOther) + "/model.safetensors", "../../../models--org--fresh/blobs/" + from.files[0].sha256.hex());
  const Removal removal = remove("org/fresh", kCommit);
  EXPECT_TRUE(home.is_there(kRepo + "/blobs/" + from.files[0].sha256.hex()));
  EXPECT_TRUE(says(removal.kept, from.files[0].sha256.hex()));
}

TEST_F(HubRemoval, OfAFlatLlamaCppModelTakesItsSidecarsAndManifest) {
  const std::string cache = ".cache/llama.cpp";
  const auto built = sample::build(StoreKind::llama_cpp, home.environment.home, {{"org/alpha-GGUF:Q4_K_M", {{"alpha-Q4_K_M.gguf", sample::gguf_bytes(1, 4000)}}}}, {}, home.at(cache));
  ASSERT_TRUE(built);
  const Listing listing = home.list(StoreKind::llama_cpp, cache);
  auto removal = home.remove(listing, "org/alpha-GGUF:Q4_K_M");
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_TRUE(removal->names.front().contains("manifest=")) << "what makes it visible goes first";
  home.carry_out(*removal);
  EXPECT_TRUE(home.names_below(cache).empty());
}

TEST_F(HubPublication, LlamaCppIsGivenWhatItReadsToday) {
  home.make_dir(".cache/llama.cpp");
  const ModelSource from = home.source({{"fresh-Q4_K_M.gguf", sample::gguf_bytes(4, 4000)}, {"README.md", "text"}}, "org/fresh");
  const auto flat = home.publish(home.root(StoreKind::llama_cpp, ".cache/llama.cpp"), from);
  ASSERT_FALSE(flat) << "versions of today look for names in the hub cache";
  EXPECT_TRUE(flat.error().message.contains("hf-hub"));
  const auto place = adapter_of(StoreKind::llama_cpp).default_root(home.context());
  ASSERT_TRUE(place);
  EXPECT_EQ(place->path, home.at(kHub));
  const auto publication = home.publish(*place, from);
  ASSERT_TRUE(publication) << publication.error().message;
  EXPECT_EQ(publication->visible_as, "org/fresh:Q4_K_M");
  EXPECT_LT(position(*publication, "README.md"), 0);
}

}  // namespace
}  // namespace mlxcache::stores
