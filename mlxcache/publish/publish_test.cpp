#include "mlxcache/publish/publish.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>

#include "mlxbase/core/path.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/publish/files.h"
#include "mlxcache/publish/ways.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::publish {
namespace {

namespace path = mlxbase::path;
using catalog::StoreKind;
using mlxbase::Code;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Publish : public testing::Test {
 protected:
  Publish() {
    environment.home = folder / "home";
    environment.working_directory = folder / "home";
    environment.temp_directory = folder / "tmp";
    environment.root = folder / "system";
    environment.etc = folder / "system/etc";
    const auto stat = fs.stat(folder.path());
    environment.uid = stat->uid;
  }
  stores::Context context() { return {fs, environment, nullptr}; }

  void build(StoreKind kind, const std::vector<sample::Model>& models, const sample::Extras& extras = {}) {
    const auto root = sample::build(kind, environment.home, models, extras, {}, mlxbase::os::Platform::linux_os);
    ASSERT_TRUE(root) << root.error().message;
    inventory.listings.push_back(stores::adapter_of(kind).list(context(), *root));
  }
  mlxbase::Result<stores::ModelSource> describe(const std::string& id) {
    auto found = find_model(inventory, id);
    if (!found) return mlxbase::fail(found.error());
    return publish::describe(context(), catalog, inventory, *found, mlxbase::no_progress());
  }
  /// The plan for one tool, with its store as it is listed.
  Plan plan_for(StoreKind kind, const stores::ModelSource& source, bool copy = false) {
    const auto target = target_of(context(), inventory, kind);
    EXPECT_TRUE(target) << target.error().message;
    if (!target) return {};
    auto plan = make_plan(context(), source, {*target}, {}, copy);
    EXPECT_TRUE(plan) << plan.error().message;
    return plan ? *plan : Plan{};
  }
  static std::vector<std::string> names(const stores::ModelSource& source) {
    std::vector<std::string> out;
    for (const auto& f : source.files) out.push_back(f.name);
    return out;
  }

  mlxbase::testing::TemporaryFolder folder;
  mlxbase::os::FileSystem& fs = mlxbase::os::real_file_system();
  mlxbase::os::Environment environment;
  catalog::Catalog catalog = catalog::Catalog::in_memory().value();
  catalog::Inventory inventory;
  const std::string gguf = sample::gguf_bytes(1, 200'000);
  const std::string weights = sample::safetensors_bytes(2, 100'000);
};

TEST_F(Publish, AHubModelHasItsNamesIdCommitAndDigests) {
  build(StoreKind::hf_hub, {{"org/Small-MLX", {{"model.safetensors", weights}, {"config.json", "{}"}, {"sub/tokens.txt", "a b"}}}});
  const auto source = describe("org/Small-MLX");
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->id, "org/Small-MLX");
  EXPECT_EQ(source->name, "Small-MLX");
  EXPECT_EQ(source->commit.size(), 40U);
  EXPECT_EQ(source->revision, "main");
  EXPECT_THAT(names(*source), ElementsAre("config.json", "model.safetensors", "sub/tokens.txt"));
  EXPECT_TRUE(source->files[1].lfs);
  EXPECT_FALSE(source->files[0].lfs);
  EXPECT_TRUE(source->files[0].git_sha1);
  for (const auto& f : source->files) {
    EXPECT_EQ(f.sha256.algorithm(), mlxbase::Algorithm::sha256) << f.name;
    EXPECT_EQ(fs.stat(f.path)->kind, mlxbase::os::FileKind::regular) << f.path;
  }
}

TEST_F(Publish, AStoreThatNamesFilesByDigestGivesThemNamesByTheirContent) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  const auto source = describe("llama3.2:1b");
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ(source->name, "llama3.2");
  EXPECT_EQ(source->tag, "1b");
  EXPECT_EQ(source->id, "");
  EXPECT_EQ(source->format, "gguf");
  EXPECT_THAT(names(*source), ElementsAre("llama3.2-1b.gguf"));  // no template, no licence
  ASSERT_TRUE(source->gguf);
}

TEST_F(Publish, AFileThatIsNotWhatItsStoreSaysIsNeverPublished) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  auto& listing = inventory.listings.front();
  for (auto& entry : listing.entries) {
    if (entry.stat.size != gguf.size()) continue;
    std::string damaged = gguf;
    damaged[150'000] ^= 1;
    folder.write(std::string(path::relative_to(folder.path(), entry.path)), damaged);
    entry.stat = *fs.stat(entry.path);
  }
  const auto source = describe("llama3.2:1b");
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code, Code::corrupt);
  EXPECT_THAT(source.error().message, HasSubstr("damaged"));
}

TEST_F(Publish, AnUnchangedFileIsReadOnce) {
  build(StoreKind::lm_studio, {{"org/Llama-GGUF", {{"llama-Q4_K_M.gguf", gguf}}}});
  ASSERT_TRUE(describe("org/Llama-GGUF"));
  const auto key = std::array{catalog::fingerprint_of(*fs.stat(inventory.listings[0].entries[0].path))};
  const auto known = catalog.look_up(key);
  ASSERT_TRUE(known && (*known)[0]);
  EXPECT_FALSE((*known)[0]->digests.empty());
}

TEST_F(Publish, OneQuantisationOfSeveralCanBeNamed) {
  build(StoreKind::hf_hub, {{"org/Llama-GGUF", {{"Llama-Q4_K_M.gguf", gguf}, {"Llama-Q8_0.gguf", sample::gguf_bytes(5, 90'000)}, {"README.md", "x"}}}});
  const auto source = describe("org/Llama-GGUF:q8_0");
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_THAT(names(*source), ElementsAre("Llama-Q8_0.gguf", "README.md"));
  EXPECT_EQ(source->tag, "Q8_0");
  EXPECT_FALSE(source->complete_listing);
  const auto none = describe("org/Llama-GGUF:Q2_K");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
}

TEST_F(Publish, ACompleteModelIsPreferredAndAnIncompleteOneRefused) {
  build(StoreKind::lm_studio, {{"org/Llama-GGUF", {{"llama.gguf", gguf}}}});
  build(StoreKind::hf_hub, {{"org/Llama-GGUF", {{"llama.gguf", gguf}}}});
  EXPECT_EQ(inventory.listings[find_model(inventory, "org/Llama-GGUF")->store].root.kind, StoreKind::hf_hub);
  EXPECT_EQ(inventory.listings[find_model(inventory, "lm-studio/org/llama-gguf")->store].root.kind, StoreKind::lm_studio);
  inventory.listings[1].models[0].incomplete = true;
  EXPECT_EQ(inventory.listings[find_model(inventory, "org/Llama-GGUF")->store].root.kind, StoreKind::lm_studio);
  inventory.listings[0].models[0].incomplete = true;
  const auto none = find_model(inventory, "org/Llama-GGUF");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::invalid);
  EXPECT_THAT(none.error().message, HasSubstr("incomplete"));
}

TEST_F(Publish, AnUnknownNameIsAnsweredWithNearOnes) {
  build(StoreKind::hf_hub, {{"org/Llama-GGUF", {{"llama.gguf", gguf}}}, {"org/Other", {{"model.safetensors", weights}}}});
  const auto none = find_model(inventory, "elsewhere/Llama-GGUF");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
  EXPECT_THAT(none.error().message, HasSubstr("org/Llama-GGUF"));
}

TEST_F(Publish, EveryPathOfAPlanLiesInItsStoreAndSharesBytes) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  const auto source = describe("llama3.2:1b");
  ASSERT_TRUE(source);
  const Plan plan = plan_for(StoreKind::lm_studio, *source);
  ASSERT_EQ(plan.targets.size(), 1U) << (plan.refused.empty() ? "" : plan.refused[0].reason);
  EXPECT_EQ(plan.targets[0].new_bytes, 0U);
  bool placed = false;
  for (const auto& c : plan.changes.changes) {
    if (c.source.empty()) continue;
    placed = true;
    EXPECT_TRUE(path::is_within(plan.targets[0].root.path, c.path));
    EXPECT_EQ(c.source_digest, source->files[0].sha256);
    EXPECT_EQ(c.source_state, source->files[0].state);
    EXPECT_THAT(c.ways, Not(Contains(change::How::copy)));
    EXPECT_FALSE(c.ways.empty());
  }
  EXPECT_TRUE(placed);
  // A store that is made first: its folders, from above.
  ASSERT_FALSE(plan.changes.changes.empty());
  EXPECT_EQ(plan.changes.changes.front().kind, change::Kind::make_folder);
}

/// A tool's model, as that tool calls it. Tools that write into their files are not among them: those are shared by clones only, which not every volume makes.
struct Had {
  StoreKind kind;
  const char* id;
  const char* file;
};
void PrintTo(const Had& had, std::ostream* out) { *out << stores::adapter_of(had.kind).name; }

class FromATool : public Publish, public testing::WithParamInterface<Had> {};

constexpr Had kHad[] = {
    {StoreKind::hf_hub, "org/alpha", "alpha-Q4_K_M.gguf"},
    {StoreKind::ollama, "llama3.2:3b", "model.gguf"},
    {StoreKind::lm_studio, "publisher/Alpha-GGUF", "alpha-Q4_K_M.gguf"},
    {StoreKind::llama_cpp, "org/alpha-GGUF:Q4_K_M", "alpha-Q4_K_M.gguf"},
    {StoreKind::docker_model_runner, "ai/alpha:latest", "model.gguf"},
    {StoreKind::ramalama, "huggingface://org/alpha:latest", "alpha.gguf"},
    {StoreKind::modelscope, "owner/alpha", "alpha.gguf"},
    {StoreKind::localai, "alpha", "alpha.gguf"},
    {StoreKind::jan, "org/beta", "model.gguf"},
    {StoreKind::loose, "alpha", "alpha.gguf"},
};
INSTANTIATE_TEST_SUITE_P(Tools, FromATool, testing::ValuesIn(kHad), [](const auto& one) {
  std::string name(stores::adapter_of(one.param.kind).name);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(FromATool, AModelGoesIntoEveryOtherThatLoadsIt) {
  build(GetParam().kind, {{GetParam().id, {{GetParam().file, gguf}}}});
  ASSERT_EQ(inventory.listings[0].models.size(), 1U);
  const auto source = describe(inventory.listings[0].models[0].id);
  ASSERT_TRUE(source) << source.error().message;
  for (const StoreKind to : {StoreKind::hf_hub, StoreKind::ollama, StoreKind::lm_studio, StoreKind::llama_cpp, StoreKind::docker_model_runner, StoreKind::ramalama, StoreKind::jan,
                             StoreKind::localai, StoreKind::loose}) {
    if (to == GetParam().kind) continue;
    const auto& adapter = stores::adapter_of(to);
    SCOPED_TRACE(adapter.name);
    // Of tools without a default place a person says where their folder is.
    const Target target{{to, adapter.default_root != nullptr ? target_of(context(), inventory, to)->root.path : folder / "of-a-person", "test"}, true};
    const auto plan = make_plan(context(), *source, {target}, {}, false);
    ASSERT_TRUE(plan) << plan.error().message;
    ASSERT_EQ(plan->targets.size(), 1U) << (plan->refused.empty() ? "" : plan->refused[0].reason);
    EXPECT_FALSE(plan->targets[0].visible_as.empty());
    EXPECT_EQ(plan->targets[0].new_bytes, 0U);
    const auto shares = [&](const change::Change& c) { return c.source_digest == source->files[0].sha256 && c.source == source->files[0].path; };
    const auto names_it = [&](const change::Change& c) { return c.content.find(source->files[0].path) != std::string::npos; };  // Jan reads it where it lies
    EXPECT_TRUE(std::any_of(plan->changes.changes.begin(), plan->changes.changes.end(), [&](const auto& c) { return shares(c) || names_it(c); }));
  }
}

TEST_F(Publish, ARefusalOfOneTargetDoesNotStopTheOthers) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  const auto source = describe("llama3.2:1b");
  ASSERT_TRUE(source);
  const auto studio = target_of(context(), inventory, StoreKind::lm_studio);
  ASSERT_TRUE(studio);
  catalog::Root foreign{StoreKind::kagglehub, folder / "home/kaggle", "test"};
  const auto plan = make_plan(context(), *source, {Target{foreign, true}, *studio}, {}, true);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->refused.size(), 1U) << plan->refused.back().reason;
  EXPECT_EQ(plan->refused[0].kind, StoreKind::kagglehub);
  EXPECT_EQ(plan->targets.size(), 1U) << plan->refused.back().reason;
  EXPECT_EQ(target_of(context(), inventory, StoreKind::kagglehub).error().code, Code::unsupported);
}

TEST_F(Publish, TwoToolsWithOneStoreGetEachNameOnce) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  build(StoreKind::hf_hub, {{"org/Other", {{"model.safetensors", weights}}}});
  const auto source = describe("llama3.2:1b");
  ASSERT_TRUE(source);
  const auto hub = target_of(context(), inventory, StoreKind::hf_hub);
  ASSERT_TRUE(hub);
  Target llama{{StoreKind::llama_cpp, hub->root.path, "test"}, false};
  const auto plan = make_plan(context(), *source, {*hub, llama}, {}, false);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->targets.size(), 2U) << (plan->refused.empty() ? "" : plan->refused[0].reason);
  std::vector<std::string> paths;
  for (const auto& c : plan->changes.changes) paths.push_back(c.path);
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(std::adjacent_find(paths.begin(), paths.end()), paths.end());
}

TEST_F(Publish, ADownloadMovesIntoTheFirstTargetAndTheNextSharesFromThere) {
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  auto source = describe("llama3.2:1b");
  ASSERT_TRUE(source);
  const auto first = target_of(context(), inventory, StoreKind::lm_studio);
  const auto second = target_of(context(), inventory, StoreKind::llama_cpp);
  ASSERT_TRUE(first && second);
  source->id = "org/Llama-GGUF";
  source->commit = std::string(40, 'a');
  source->revision = "main";
  const auto plan = make_plan(context(), *source, {*first, *second}, {{0U, folder.write("downloads/abc.part", gguf)}}, false);
  ASSERT_TRUE(plan);
  std::vector<const change::Change*> payloads;
  for (const auto& c : plan->changes.changes) {
    if (!c.source.empty()) payloads.push_back(&c);
  }
  ASSERT_EQ(payloads.size(), plan->targets.size());
  EXPECT_THAT(payloads[0]->ways, ElementsAre(change::How::adopt));
  EXPECT_EQ(payloads[0]->source, folder / "downloads/abc.part");
  if (payloads.size() > 1) {
    EXPECT_EQ(payloads[1]->source, payloads[0]->path);
    EXPECT_THAT(payloads[1]->ways, Not(Contains(change::How::adopt)));
  }
}

TEST_F(Publish, WhatItsToolWritesIntoIsNeverHardLinked) {
  stores::SourceFile file;
  file.name = "model.gguf";
  file.path = folder.write("home/a/model.gguf", gguf);
  file.size = gguf.size();
  file.shared_by = catalog::kReflinkOnly;
  fs.make_dir(folder / "home/b", 0755).value();
  const catalog::Root root{StoreKind::lm_studio, folder / "home/b", "test"};
  const auto context_now = context();
  WayFinder finder(context_now);
  const Ways ways = finder.between(file, root, folder / "home/b/model.gguf", catalog::kAnyLink, false);
  EXPECT_THAT(ways.ways, Not(Contains(change::How::hard_link)));
  EXPECT_THAT(ways.ways, Not(Contains(change::How::symlink)));
  if (ways.ways.empty()) {
    EXPECT_THAT(ways.reason, HasSubstr("a copy would take"));
  }
  file.shared_by = catalog::kAnyLink;
  EXPECT_THAT(finder.between(file, root, folder / "home/b/model.gguf", catalog::kAnyLink, false).ways, Contains(change::How::hard_link));
  EXPECT_THAT(finder.between(file, root, folder / "home/b/model.gguf", catalog::kNoLinks, true).ways, ElementsAre(change::How::copy));
}

TEST_F(Publish, ASourceWhoseToolWritesInPlaceOrThatIsOnnxSaysSo) {
  build(StoreKind::gpt4all, {{"llama-Q4_0.gguf", {{"llama-Q4_0.gguf", gguf}}}});
  build(StoreKind::hf_hub, {{"org/Onnx", {{"onnx/model.onnx", std::string(5000, 'o')}, {"config.json", "{}"}}}});
  const auto written = describe(inventory.listings[0].models.at(0).id);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(written->files[0].shared_by, catalog::kReflinkOnly);
  const auto onnx = describe("org/Onnx");
  ASSERT_TRUE(onnx) << onnx.error().message;
  for (const auto& f : onnx->files) EXPECT_EQ(f.shared_by == catalog::kReflinkOnly, f.name.ends_with(".onnx")) << f.name;
}

TEST(QuantOf, IsTheWordThatSaysIt) {
  EXPECT_EQ(quant_of("Llama-3.2-1B-Q4_K_M.gguf"), "Q4_K_M");
  EXPECT_EQ(quant_of("x.q8_0.gguf"), "Q8_0");
  EXPECT_EQ(quant_of("x-IQ2_XS-00001-of-00002.gguf"), "IQ2_XS");
  EXPECT_EQ(quant_of("model-f16.gguf"), "F16");
  EXPECT_EQ(quant_of("Qwen2.5-0.5B.gguf"), "");
  EXPECT_EQ(quant_of("UD-Q4_K_XL.gguf"), "Q4_K_XL");
  EXPECT_EQ(quant_of(""), "");
}

}  // namespace
}  // namespace mlxcache::publish
