// One suite for every row of the table that takes models in or lets them go: what publish, rm and pull rely on, whatever the tool.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>

#include "mlxcache/stores/conformance_fixture.h"
#include "mlxcache/stores/publication_fixture.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::testing::read_all;

using Files = std::vector<std::pair<std::string, std::string>>;

/// The tensors' names say which part of an image pipeline a file is.
std::string as_image_model(std::string bytes) {
  constexpr std::string_view kOld = "model.layers.", kNew = "lora_unet_x_.";  // equally long: the header's length stays
  for (auto at = bytes.find(kOld); at != std::string::npos; at = bytes.find(kOld, at)) bytes.replace(at, kOld.size(), kNew);
  return bytes;
}

/// A model that the tool can load.
Files loadable(StoreKind kind, std::uint64_t seed = 77) {
  const std::string weights = sample::safetensors_bytes(seed, 30'000);
  switch (kind) {
    case StoreKind::hf_hub:
    case StoreKind::mlx:
    case StoreKind::modelscope:
    case StoreKind::loose:
    case StoreKind::text_generation_webui:
      return {{"model.safetensors", weights}, {"config.json", R"({"model_type":"llama"})"}, {"tokenizer.json", "{\"seed\":" + std::to_string(seed) + "}"}};
    case StoreKind::comfyui:
    case StoreKind::automatic1111:
      return {{"fresh.safetensors", as_image_model(weights)}};
    case StoreKind::torch_hub:
      return {{"fresh-" + sha256_of_bytes(weights).hex().substr(0, 10) + ".pth", weights}};
    case StoreKind::whisper_cpp:
      return {{"ggml-fresh.bin", weights}};
    default:
      return {{"fresh-Q4_K_M.gguf", sample::gguf_bytes(seed, 30'000)}};
  }
}

struct Snapshot {
  std::set<std::pair<std::string, std::string>> models;      // id and revision
  std::map<std::string, Role> names;                         // what a person would call the store's content
  std::set<std::string> empty_folders;
};

void find_empty_folders(const std::string& dir, std::set<std::string>& out) {
  const auto names = mlxbase::os::real_file_system().list(dir);
  if (!names) return;
  if (names->empty()) out.insert(dir);
  for (const auto& entry : *names) {
    if (entry.kind == FileKind::directory) find_empty_folders(path::join(dir, entry.name), out);
  }
}

Snapshot snapshot_of(const Listing& listing) {
  Snapshot out;
  for (const auto& model : listing.models) out.models.emplace(model.id, model.revision);
  for (const Entry& entry : listing.entries) {
    if (entry.role != Role::metadata && entry.role != Role::lock) out.names.emplace(entry.path, entry.role);
  }
  find_empty_folders(listing.root.path, out.empty_folders);
  return out;
}

class Publishing : public testing::TestWithParam<StoreKind> {
 protected:
  const Adapter& row() const { return adapter_of(GetParam()); }

  ModelSource source(Files files = {}) {
    if (files.empty()) files = loadable(GetParam());
    ModelSource out = home_.source(files, "org/fresh");
    out.name = "fresh";
    if (GetParam() != StoreKind::hf_hub && out.format == "gguf") {
      auto facts = gguf_facts(home_.context(), out.files.front().path);
      EXPECT_TRUE(facts) << facts.error().message;
      if (facts) out.gguf = *facts;
    }
    return out;
  }

  /// The place for a first model.
  Root first_root() {
    std::optional<Root> root;
    if (row().default_root != nullptr) root = row().default_root(home_.context());
    if (!root) root = Root{GetParam(), home_.at("given/models"), "--root"};
    EXPECT_TRUE(path::is_within(home_.folder.path(), root->path)) << root->path;
    EXPECT_EQ(root->kind, GetParam());
    EXPECT_TRUE(mlxbase::os::make_dirs(mlxbase::os::real_file_system(), root->path));
    // What tells the web UI's folder of all models from one of them.
    if (GetParam() == StoreKind::automatic1111) home_.folder.write(std::string(path::relative_to(home_.folder.path(), root->path)) + "/Stable-diffusion/Put models here.txt", "");
    return *root;
  }
  /// A store with two models of the tool's own.
  Root filled_root(const sample::Extras& extras = {}) {
    auto root = sample::build(GetParam(), home_.environment.home, models_of(shapes()[static_cast<std::size_t>(GetParam())]), extras, {},
                              mlxbase::os::Platform::linux_os);
    EXPECT_TRUE(root) << root.error().message;
    if (GetParam() == StoreKind::llama_cpp && root) home_.environment.variables["LLAMA_CACHE"] = root->path;
    return root.value_or(Root{GetParam(), home_.environment.home, ""});
  }
  Listing list(const Root& root) { return row().list(home_.context(), root); }

  /// Publishes and carries it out; false if the tool takes only what a test cannot make.
  bool publish(const Root& root, const ModelSource& from, Publication* done = nullptr) {
    auto publication = home_.publish(root, from);
    EXPECT_TRUE(publication) << publication.error().message;
    if (!publication) return false;
    for (const NewName& name : publication->names) {
      EXPECT_TRUE(name.path != root.path && path::is_within(root.path, name.path)) << name.path;
      if (name.what == NewName::What::payload) {
        EXPECT_EQ(name.links & row().links, name.links) << name.path << " may be linked in a way that the tool does not bear";
      }
    }
    EXPECT_FALSE(publication->visible_as.empty());
    home_.carry_out(*publication, from);
    if (done != nullptr) *done = std::move(*publication);
    return true;
  }

  std::vector<std::uint32_t> new_models(const Listing& after, const Snapshot& before) const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t m = 0; m < after.models.size(); ++m) {
      if (!before.models.contains({after.models[m].id, after.models[m].revision})) out.push_back(m);
    }
    return out;
  }

  void expect_shown(const Listing& after, const Snapshot& before, const Publication& publication, const ModelSource& from) {
    for (const auto& problem : after.problems) ADD_FAILURE() << problem.path << ": " << problem.error.message;
    const auto models = new_models(after, before);
    EXPECT_FALSE(models.empty()) << "nothing new is listed";
    std::set<std::string> seen;  // bytes that the new models have
    for (const std::uint32_t m : models) {
      EXPECT_FALSE(after.models[m].incomplete) << after.models[m].id;
      for (const std::uint32_t e : after.models[m].entries) {
        const Entry& entry = after.entries[e];
        EXPECT_TRUE(entry.role == Role::payload || entry.role == Role::link || entry.role == Role::metadata) << entry.path << " " << to_string(entry.role);
        if (entry.role == Role::payload) seen.insert(sha256_of_bytes(read_all(entry.path)).hex());
        if (entry.claim) {
          EXPECT_TRUE(claim_is_true(*entry.claim, read_all(entry.path))) << entry.path;
        }
      }
    }
    for (const NewName& name : publication.names) {
      if (name.what != NewName::What::payload || !is_weights(from.files[name.file].name)) continue;
      EXPECT_TRUE(seen.contains(from.files[name.file].sha256.hex())) << from.files[name.file].name << " is in no model";
    }
    EXPECT_TRUE(home_.fs.changed.empty()) << "looking changed " << home_.fs.changed.front();
  }

  /// Tools that refuse every model that a test can make: one knows its own by their digests, the others always say what to do instead.
  static bool closed(StoreKind kind) {
    return kind == StoreKind::openai_whisper || kind == StoreKind::foundry_local || kind == StoreKind::invokeai || kind == StoreKind::draw_things;
  }

  PublicationHome home_;
};

std::vector<StoreKind> takers() {
  std::vector<StoreKind> kinds;
  for (const Adapter& row : adapters()) {
    if (row.publish != nullptr) kinds.push_back(row.kind);
  }
  return kinds;
}
INSTANTIATE_TEST_SUITE_P(Stores, Publishing, testing::ValuesIn(takers()), kind_name);

TEST_P(Publishing, MakesTheFirstModelVisible) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  const Root root = first_root();
  const Snapshot before = snapshot_of(list(root));
  const ModelSource from = source();
  Publication publication;
  ASSERT_TRUE(publish(root, from, &publication));
  expect_shown(list(root), before, publication, from);
}

TEST_P(Publishing, MakesAModelVisibleBesideOthers) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  const Root root = filled_root();
  const Snapshot before = snapshot_of(list(root));
  const ModelSource from = source();
  Publication publication;
  ASSERT_TRUE(publish(root, from, &publication));
  const Listing after = list(root);
  expect_shown(after, before, publication, from);
  const Snapshot now = snapshot_of(after);
  for (const auto& [name, role] : before.names) {
    const auto it = now.names.find(name);
    EXPECT_TRUE(it != now.names.end() && it->second == role) << name;
  }
  for (const auto& model : before.models) EXPECT_TRUE(now.models.contains(model)) << model.first;
}

TEST_P(Publishing, ComesBackWithTheSameNamesWhenAllIsThere) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  const Root root = filled_root();
  const ModelSource from = source();
  ASSERT_TRUE(publish(root, from));
  const Snapshot before = snapshot_of(list(root));
  auto again = home_.publish(root, from);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(again->names.empty());
  for (const NewName& name : again->names) {
    const auto stat = mlxbase::os::real_file_system().stat(name.path);
    ASSERT_TRUE(stat) << name.path << " would be new";
    if (name.what == NewName::What::folder) {
      EXPECT_EQ(stat->kind, FileKind::directory);
    }
    if (name.what == NewName::What::link_text) {
      EXPECT_EQ(mlxbase::os::real_file_system().read_link(name.path).value_or(""), name.content);
    }
    if (name.what == NewName::What::payload) {
      EXPECT_EQ(read_all(name.path), read_all(from.files[name.file].path)) << name.path;
    }
    if (name.what == NewName::What::text && !name.replaces) {
      EXPECT_EQ(read_all(name.path), name.content) << name.path;
    }
  }
  home_.carry_out(*again, from);
  const Snapshot after = snapshot_of(list(root));
  EXPECT_EQ(after.models, before.models);
  EXPECT_EQ(after.names, before.names);
}

TEST_P(Publishing, LeavesNoTraceOnceItIsRemoved) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  ASSERT_NE(row().remove, nullptr) << "what comes in must be able to leave";
  for (const bool filled : {false, true}) {
    home_.environment.home = home_.at(filled ? "filled" : "first");
    const Root root = filled ? filled_root() : first_root();
    const Snapshot before = snapshot_of(list(root));
    const ModelSource from = source();
    ASSERT_TRUE(publish(root, from));
    for (Listing now = list(root);; now = list(root)) {
      const auto models = new_models(now, before);
      if (models.empty()) break;
      auto removal = row().remove(home_.context(), now, models.front());
      ASSERT_TRUE(removal) << removal.error().message;
      ASSERT_FALSE(removal->names.empty() && removal->rewritten.empty());
      home_.carry_out(*removal);
      ASSERT_FALSE(HasFatalFailure());
    }
    const Listing left = list(root);
    for (const auto& problem : left.problems) ADD_FAILURE() << problem.path << ": " << problem.error.message;
    const Snapshot after = snapshot_of(left);
    EXPECT_EQ(after.models, before.models);
    EXPECT_EQ(after.names, before.names);
    for (const std::string& folder : after.empty_folders) {
      if (GetParam() == StoreKind::ollama && path::parent(folder) == root.path) continue;  // its server keeps these
      EXPECT_TRUE(before.empty_folders.contains(folder)) << folder << " stays behind, empty";
    }
    EXPECT_TRUE(home_.fs.changed.empty()) << "looking changed " << home_.fs.changed.front();
  }
}

TEST_P(Publishing, RefusesNamesThatLeadElsewhere) {
  const Root root = first_root();
  const std::string long_name(4096, 'x');
  const std::vector<std::string> hostile = {"..", ".", "", "../up.gguf", "/etc/passwd", "a/../../up.gguf", "a//b.gguf", std::string("nul\0.gguf", 9), long_name,
                                            "a/" + long_name, "back\\slash.gguf", "line\nbreak.gguf", "a/./b.gguf", "dir/"};
  for (const std::string& name : hostile) {
    ModelSource from = source();
    from.files.front().name = name;
    const auto publication = home_.publish(root, from);
    ASSERT_FALSE(publication) << name.substr(0, 40);
    EXPECT_TRUE(publication.error().code == Code::invalid || publication.error().code == Code::unsupported) << publication.error().message;
    EXPECT_LT(publication.error().message.size(), 2000U);
    EXPECT_FALSE(publication.error().message.contains('\0'));
  }
  for (const std::string& text : hostile) {
    for (const int field : {0, 1, 2, 3, 4}) {
      ModelSource from = source();
      if (field == 0) from.id = text;
      if (field == 1) from.name = text;
      if (field == 2) from.tag = text;
      if (field == 3) from.commit = text;
      if (field == 4) from.revision = text;
      if (text.empty() && field != 1) continue;  // not known
      const auto publication = home_.publish(root, from);
      EXPECT_FALSE(publication) << "field " << field << ": " << text.substr(0, 40);
    }
  }
  ModelSource twice = source();
  twice.files.push_back(twice.files.front());
  EXPECT_FALSE(home_.publish(root, twice));
}

TEST_P(Publishing, IsToldApartFromAnotherFileUnderItsName) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  const Root root = first_root();
  const ModelSource from = source();
  auto planned = home_.publish(root, from);
  ASSERT_TRUE(planned) << planned.error().message;
  int payloads = 0;
  for (const NewName& name : planned->names) {
    if (name.what != NewName::What::payload) continue;
    ++payloads;
    home_.folder.write(path::relative_to(home_.folder.path(), name.path), "shorter");
    const auto other = home_.publish(root, from);
    ASSERT_FALSE(other) << name.path << " has other bytes";
    EXPECT_EQ(other.error().code, Code::changed) << other.error().message;
    ::unlink(name.path.c_str());
    // As long as it should be: only the bytes tell, and they are compared when it is placed.
    home_.folder.write(path::relative_to(home_.folder.path(), name.path), std::string(from.files[name.file].size, 'x'));
    if (const auto same_size = home_.publish(root, from)) {
      EXPECT_TRUE(std::any_of(same_size->names.begin(), same_size->names.end(),
                              [&](const NewName& n) { return n.what == NewName::What::payload && n.path == name.path; }))
          << "nobody would compare " << name.path;
    } else {
      EXPECT_EQ(same_size.error().code, Code::changed);
    }
    ::unlink(name.path.c_str());
    ASSERT_EQ(::mkdir(name.path.c_str(), 0755), 0) << name.path;
    EXPECT_FALSE(home_.publish(root, from)) << name.path << " is a folder";
    ::rmdir(name.path.c_str());
  }
  EXPECT_TRUE(payloads > 0 || GetParam() == StoreKind::jan) << "only Jan refers to files elsewhere";
}

TEST_P(Publishing, PutsNothingBehindALink) {
  if (closed(GetParam())) GTEST_SKIP() << "takes nothing that could be made here";
  const Root root = first_root();
  const ModelSource from = source();
  auto planned = home_.publish(root, from);
  ASSERT_TRUE(planned) << planned.error().message;
  const auto folder = std::find_if(planned->names.begin(), planned->names.end(), [](const NewName& n) { return n.what == NewName::What::folder; });
  if (folder == planned->names.end()) GTEST_SKIP() << "its models need no folder";
  home_.make_dir("elsewhere");
  ASSERT_EQ(::symlink(home_.at("elsewhere").c_str(), folder->path.c_str()), 0);
  const auto refused = home_.publish(root, from);
  ASSERT_FALSE(refused) << folder->path << " leads out of the store";
  EXPECT_EQ(refused.error().code, Code::unsupported) << refused.error().message;
}

class Refusing : public Publishing {};
INSTANTIATE_TEST_SUITE_P(Stores, Refusing, testing::ValuesIn(takers()), kind_name);

TEST_P(Refusing, SaysWhatItCannotLoad) {
  if (GetParam() == StoreKind::hf_hub || GetParam() == StoreKind::loose || GetParam() == StoreKind::modelscope) GTEST_SKIP() << "takes files of any kind";
  const Root root = first_root();
  const std::vector<Files> foreign = {{{"pytorch_model.bin", "PK\x03\x04"}, {"config.json", "{}"}, {"tokenizer.json", "{}"}},
                                      {{"model.onnx", "onnx"}, {"config.json", "{}"}},
                                      {{"config.json", "{}"}, {"tokenizer.json", "{}"}},
                                      {{"weights.unheard-of", "x"}}};
  for (const Files& files : foreign) {
    if (GetParam() == StoreKind::comfyui || GetParam() == StoreKind::automatic1111) continue;  // custom nodes load nearly everything
    const auto publication = home_.publish(root, source(files));
    ASSERT_FALSE(publication) << files.front().first;
    EXPECT_EQ(publication.error().code, Code::unsupported) << publication.error().message;
    EXPECT_GT(publication.error().message.size(), 20U) << "a reason";
  }
  ModelSource half = source({{"fresh-Q4_K_M-00001-of-00002.gguf", sample::gguf_bytes(5, 4000)}});
  EXPECT_FALSE(home_.publish(root, half)) << "half of a model";
}

class Removing : public Publishing {};

std::vector<StoreKind> removers() {
  std::vector<StoreKind> kinds;
  for (const Adapter& row : adapters()) {
    if (row.remove != nullptr) kinds.push_back(row.kind);
  }
  return kinds;
}
INSTANTIATE_TEST_SUITE_P(Stores, Removing, testing::ValuesIn(removers()), kind_name);

TEST_P(Removing, TakesOneModelAndLeavesTheOtherWhole) {
  for (const std::size_t victim : {0U, 1U}) {
    if (closed(GetParam()) && GetParam() != StoreKind::openai_whisper) GTEST_SKIP() << "only the tool itself can let a model go";
    home_.environment.home = home_.at("home" + std::to_string(victim));
    const Root root = filled_root();
    const Listing before = list(root);
    ASSERT_EQ(before.models.size(), 2U);
    const std::string gone = before.models[victim].id;
    const catalog::Model& other = before.models[1 - victim];
    std::map<std::string, std::string> bytes;
    for (const std::uint32_t e : other.entries) bytes.emplace(before.entries[e].path, read_all(before.entries[e].path));

    auto removal = row().remove(home_.context(), before, static_cast<std::uint32_t>(victim));
    ASSERT_TRUE(removal) << removal.error().message;
    std::set<std::string> once;
    for (const std::string& name : removal->names) {
      EXPECT_TRUE(once.insert(name).second) << name << " goes twice";
      EXPECT_TRUE(name != root.path && path::is_within(root.path, name)) << name;
    }
    home_.carry_out(*removal);

    const Listing after = list(root);
    for (const auto& problem : after.problems) ADD_FAILURE() << problem.path << ": " << problem.error.message;
    ASSERT_EQ(after.models.size(), 1U) << gone << " was to go";
    EXPECT_EQ(after.models[0].id, other.id);
    EXPECT_FALSE(after.models[0].incomplete);
    EXPECT_EQ(after.models[0].entries.size(), other.entries.size());
    for (const auto& [name, content] : bytes) EXPECT_EQ(read_all(name), content) << name;
    for (const Entry& entry : after.entries) {
      EXPECT_NE(entry.role, Role::broken) << entry.path;
      EXPECT_NE(entry.role, Role::orphan) << entry.path;
    }
    std::set<std::string> empty;
    find_empty_folders(root.path, empty);
    EXPECT_TRUE(empty.empty()) << *empty.begin() << " stays behind, empty";
    for (const std::string& changed : home_.fs.changed) EXPECT_TRUE(changed.ends_with(".lock")) << "looking changed " << changed;
  }
}

TEST_P(Removing, WaitsForADownloadToEnd) {
  const Root root = filled_root({.partial = true});
  const Listing listing = list(root);
  int partials = 0;
  for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
    for (const std::uint32_t e : listing.models[m].entries) {
      const Entry& partial = listing.entries[e];
      if (partial.role != Role::partial) continue;
      ++partials;
      const auto removal = row().remove(home_.context(), listing, m);
      ASSERT_FALSE(removal) << partial.path << " is being written";
      EXPECT_EQ(removal.error().code, Code::busy) << removal.error().message;
      // An hour later nobody is at work any more.
      constexpr std::int64_t kHour = 3'600'000'000'000;
      ASSERT_TRUE(mlxbase::os::real_file_system().set_times(partial.path, partial.stat.atime_ns, partial.stat.mtime_ns - kHour));
      const auto later = row().remove(home_.context(), listing, m);
      EXPECT_TRUE(later) << later.error().message;
    }
  }
  if (partials == 0) GTEST_SKIP() << "its partials are no model's";
}

TEST_P(Removing, KnowsNoModelBeyondTheListing) {
  const Root root = filled_root();
  const Listing listing = list(root);
  const auto removal = row().remove(home_.context(), listing, static_cast<std::uint32_t>(listing.models.size()));
  ASSERT_FALSE(removal);
  EXPECT_EQ(removal.error().code, Code::invalid);
}

}  // namespace
}  // namespace mlxcache::stores
