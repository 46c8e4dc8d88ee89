#include "mlxcache/keep/keep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/path.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/group/inodes.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::keep {
namespace {

namespace path = mlxbase::path;
using catalog::StoreKind;
using mlxbase::Code;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t kDay = std::int64_t{86'400} * 1'000'000'000;

class Keep : public testing::Test {
 protected:
  Keep() {
    environment.home = folder / "home";
    environment.working_directory = folder / "home";
    environment.temp_directory = folder / "tmp";
    environment.root = folder / "system";
    environment.etc = folder / "system/etc";
    environment.uid = fs.stat(folder.path())->uid;
  }
  stores::Context context() { return {fs, environment, nullptr}; }
  void build(StoreKind kind, const std::vector<sample::Model>& models, const sample::Extras& extras = {}) {
    const auto root = sample::build(kind, environment.home, models, extras, {}, mlxbase::os::Platform::linux_os);
    ASSERT_TRUE(root) << root.error().message;
    roots.push_back(*root);
  }
  void list() {
    inventory = {};
    for (const auto& root : roots) inventory.listings.push_back(stores::list_store(context(), root, roots));
    group::build_inodes(inventory);
    for (const auto& inode : inventory.inodes) newest = std::max({newest, inode.stat.ctime_ns, inode.stat.mtime_ns, inode.stat.atime_ns});
  }
  mlxbase::Result<Plan> remove(const std::string& model, const std::vector<StoreKind>& from = {}, bool everywhere = false) {
    list();
    return plan_remove(context(), inventory, home, model, from, everywhere);
  }
  static std::vector<std::string> removed(const Plan& plan) {
    std::vector<std::string> out;
    for (const auto& c : plan.changes.changes) {
      if (c.kind == change::Kind::remove) out.push_back(c.path);
    }
    return out;
  }
  /// Sets a file's times, so that it was used then.
  void used(const std::string& ending, std::int64_t when_ns) {
    for (const auto& listing : inventory.listings) {
      for (const auto& entry : listing.entries) {
        if (entry.path.find(ending) != std::string::npos && entry.stat.kind == mlxbase::os::FileKind::regular) {
          ASSERT_TRUE(fs.set_times(entry.path, when_ns, when_ns)) << entry.path;
        }
      }
    }
  }

  mlxbase::testing::TemporaryFolder folder;
  mlxbase::os::FileSystem& fs = mlxbase::os::real_file_system();
  mlxbase::os::Environment environment;
  std::string home = folder / "state";
  std::vector<catalog::Root> roots;
  catalog::Inventory inventory;
  std::int64_t newest = 0;
  const std::string gguf = sample::gguf_bytes(1, 200'000);
  const std::string other = sample::gguf_bytes(2, 100'000);
};

TEST_F(Keep, AModelInSeveralStoresHasToBeSaidWhereFrom) {
  build(StoreKind::hf_hub, {{"org/M", {{"m.gguf", gguf}}}});
  build(StoreKind::lm_studio, {{"org/M", {{"m.gguf", gguf}}}});
  const auto which = remove("org/M");
  ASSERT_FALSE(which);
  EXPECT_EQ(which.error().code, Code::invalid);
  EXPECT_THAT(which.error().message, HasSubstr("lm-studio"));
  const auto one = remove("org/M", {StoreKind::lm_studio});
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_EQ(one->leaving.size(), 1U);
  EXPECT_EQ(one->leaving[0].kind, StoreKind::lm_studio);
  for (const auto& p : removed(*one)) EXPECT_TRUE(path::is_within(roots[1].path, p));
  const auto all = remove("org/M", {}, true);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->leaving.size(), 2U);
  EXPECT_GE(all->freed_bytes, 2 * gguf.size());
}

TEST_F(Keep, ARepoIsMeantWhereverAToolPutsTheHubBeforeItsName) {
  build(StoreKind::lm_studio, {{"org/M-GGUF", {{"m-Q8_0.gguf", gguf}}}});
  build(StoreKind::ollama, {{"hf.co/org/M-GGUF:Q8_0", {{"model.gguf", gguf}}}, {"hf.co/org/Other:Q8_0", {{"model.gguf", other}}}});
  const auto from = remove("org/M-GGUF", {StoreKind::ollama});
  ASSERT_TRUE(from) << from.error().message;
  ASSERT_EQ(from->leaving.size(), 1U);
  EXPECT_EQ(from->leaving[0].model, "hf.co/org/M-GGUF:Q8_0");
  EXPECT_THAT(remove("org/M-GGUF").error().message, HasSubstr("2 stores"));
  const auto all = remove("org/M-GGUF", {}, true);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->leaving.size(), 2U);
  EXPECT_TRUE(remove("org/M-GGUF:Q8_0", {StoreKind::ollama}));
  EXPECT_FALSE(remove("org/M-GGUF:Q4_0", {StoreKind::ollama}));
  EXPECT_THAT(remove("org/M-GGUF", {StoreKind::jan}).error().message, HasSubstr("it is in lm-studio, ollama"));
  ASSERT_TRUE(pin(fs, home, "org/M-GGUF"));
  EXPECT_TRUE(remove("org/M-GGUF", {}, true)->leaving.empty()) << "a pin holds it in every tool";
}

TEST(IsNamed, TakesTheHubAndTheTagOffAndNothingElse) {
  EXPECT_TRUE(is_named("org/Name", "ORG/name"));
  EXPECT_TRUE(is_named("hf.co/org/name:Q8_0", "org/name"));
  EXPECT_TRUE(is_named("huggingface.co/org/name:Q8_0", "org/name:q8_0"));
  EXPECT_FALSE(is_named("org/name:Q8_0", "org/name")) << "a name of Ollama's own";
  EXPECT_FALSE(is_named("hf.co/org/name:Q8_0", "name"));
  EXPECT_FALSE(is_named("hf.co/org/name:Q8_0", "org/nam"));
  EXPECT_FALSE(is_named("example.org/org/name:Q8_0", "org/name"));
}

TEST_F(Keep, ABudgetThatCannotBeReachedIsSaidToBeSo) {
  build(StoreKind::lm_studio, {{"org/M", {{"m.gguf", gguf}}}, {"org/N", {{"n.gguf", other}}}});
  list();
  ASSERT_TRUE(pin(fs, home, "org/M"));
  const auto plan = plan_prune(context(), inventory, home, {.budget_bytes = 1000, .unused_ns = {}, .only = {}}, newest + kDay);
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->leaving.size(), 1U);
  EXPECT_GE(plan->short_of_bytes, gguf.size() - 1000);
  const auto enough = plan_prune(context(), inventory, home, {.budget_bytes = gguf.size() + 16'384, .unused_ns = {}, .only = {}}, newest + kDay);
  ASSERT_TRUE(enough);
  EXPECT_EQ(enough->short_of_bytes, 0U);
}

TEST_F(Keep, WhatAnotherToolHasTooIsNotCountedAsFreed) {
  build(StoreKind::lm_studio, {{"org/M", {{"m.gguf", gguf}}}});
  build(StoreKind::ollama, {{"llama3.2:1b", {{"model.gguf", gguf}}}});
  list();
  // Make LM Studio's file the second name of Ollama's blob.
  std::string blob;
  std::string file;
  for (const auto& e : inventory.listings[1].entries) {
    if (e.stat.size == gguf.size()) blob = e.path;
  }
  for (const auto& e : inventory.listings[0].entries) {
    if (e.stat.size == gguf.size()) file = e.path;
  }
  ASSERT_TRUE(fs.unlink(file));
  ASSERT_TRUE(fs.hard_link(blob, file));
  const auto plan = remove("org/M");
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->freed_bytes, 0U);
  ASSERT_EQ(plan->leaving.size(), 1U);
  ASSERT_EQ(plan->leaving[0].shared_with.size(), 1U);
  EXPECT_EQ(plan->leaving[0].shared_with[0], "ollama: llama3.2:1b");
}

TEST_F(Keep, TwoModelsOfOneStoreThatShareABlobLetItGoTogether) {
  build(StoreKind::ollama, {{"a:1b", {{"model.gguf", gguf}}}, {"b:1b", {{"model.gguf", gguf}}}});
  const auto one = remove("a:1b");
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_LT(one->freed_bytes, gguf.size());
  EXPECT_FALSE(one->leaving[0].kept.empty());
  PruneOptions all;
  all.unused_ns = 0;
  const auto both = plan_prune(context(), inventory, home, all, newest + kDay);
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(both->leaving.size(), 2U);
  EXPECT_GE(both->freed_bytes, gguf.size());
  std::vector<std::string> names = removed(*both);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << "a name leaves twice";
}

TEST_F(Keep, APinnedModelIsRefusedByRmAndPrune) {
  build(StoreKind::hf_hub, {{"org/M", {{"m.gguf", gguf}}}, {"org/N", {{"n.gguf", other}}}});
  ASSERT_TRUE(pin(fs, home, "hf-hub/org/M"));
  const auto plan = remove("org/M");
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->changes.changes, IsEmpty());
  ASSERT_EQ(plan->refused.size(), 1U);
  EXPECT_THAT(plan->refused[0].reason, HasSubstr("pinned"));
  PruneOptions all;
  all.budget_bytes = 0;
  const auto pruned = plan_prune(context(), inventory, home, all, newest + kDay);
  ASSERT_TRUE(pruned);
  ASSERT_EQ(pruned->leaving.size(), 1U);
  EXPECT_EQ(pruned->leaving[0].model, "org/N");
}

TEST_F(Keep, AnUnreadableListOfPinsStopsEverything) {
  build(StoreKind::hf_hub, {{"org/M", {{"m.gguf", gguf}}}});
  folder.write("state/pins.json", "{\"version\": 2}");
  const auto plan = remove("org/M");
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::corrupt);
  for (const char* text : {"", "[]", "{\"version\":1}", "{\"version\":1,\"pins\":[1]}", "{\"version\":1,\"pins\":[\"\"]}"}) {
    folder.write("state/pins.json", text);
    EXPECT_FALSE(pins(fs, home)) << text;
  }
}

TEST_F(Keep, PinsAreKeptSortedAndOnce) {
  EXPECT_THAT(*pins(fs, home), IsEmpty());
  ASSERT_TRUE(pin(fs, home, "b"));
  ASSERT_TRUE(pin(fs, home, "a"));
  ASSERT_TRUE(pin(fs, home, "b"));
  EXPECT_THAT(*pins(fs, home), testing::ElementsAre("a", "b"));
  EXPECT_EQ(unpin(fs, home, "c").error().code, Code::not_found);
  ASSERT_TRUE(unpin(fs, home, "a"));
  EXPECT_THAT(*pins(fs, home), testing::ElementsAre("b"));
  EXPECT_FALSE(pin(fs, home, ""));
}

TEST_F(Keep, PruneTakesTheLeastRecentlyUsedUntilTheBudgetIsKept) {
  build(StoreKind::lm_studio, {{"org/Old", {{"old.gguf", gguf}}}, {"org/New", {{"new.gguf", other}}}});
  list();
  const std::int64_t now = newest + kDay;
  used("old.gguf", now - 100 * kDay);
  used("new.gguf", now - 10 * kDay);
  list();
  PruneOptions budget;
  budget.budget_bytes = 150'000;
  const auto plan = plan_prune(context(), inventory, home, budget, now);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->leaving.size(), 1U);
  EXPECT_EQ(plan->leaving[0].model, "org/Old");
  budget.unused_ns = 200 * kDay;
  EXPECT_THAT(plan_prune(context(), inventory, home, budget, now)->leaving, IsEmpty());
  PruneOptions unused;
  unused.unused_ns = 60 * kDay;
  EXPECT_EQ(plan_prune(context(), inventory, home, unused, now)->leaving.size(), 1U);
  budget = {};
  budget.budget_bytes = std::uint64_t{1} << 40U;
  EXPECT_THAT(plan_prune(context(), inventory, home, budget, now)->leaving, IsEmpty());
  EXPECT_EQ(plan_prune(context(), inventory, home, {}, now).error().code, Code::invalid);
}

TEST_F(Keep, WithABudgetNothingGoesThatFreesNothing) {
  build(StoreKind::lm_studio, {{"org/Old", {{"old.gguf", gguf}}}, {"org/Pinned", {{"kept.gguf", other}}}});
  list();
  const std::string old_file = path::join(roots[0].path, "org/Old/old.gguf");
  const std::string kept = path::join(roots[0].path, "org/Pinned/kept.gguf");
  ASSERT_TRUE(fs.unlink(kept));
  ASSERT_TRUE(fs.hard_link(old_file, kept));
  ASSERT_TRUE(pin(fs, home, "org/Pinned"));
  list();
  PruneOptions budget;
  budget.budget_bytes = 1;
  const auto plan = plan_prune(context(), inventory, home, budget, newest + kDay);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->leaving, IsEmpty());
  bool said = false;
  for (const auto& r : plan->refused) said = said || r.reason.find("frees nothing") != std::string::npos;
  EXPECT_TRUE(said);
}

TEST_F(Keep, GcTakesOrphansPartialsAndBrokenLinksOnceTheyAreOldEnough) {
  build(StoreKind::ollama, {{"a:1b", {{"model.gguf", gguf}}}}, {.partial = true, .orphan = true, .broken = true});
  list();
  GcOptions options;
  options.partial_age_ns = kDay;
  const auto young = plan_gc(context(), inventory, options, newest + 1);
  ASSERT_TRUE(young);
  for (const auto& p : removed(*young)) EXPECT_EQ(fs.stat(p)->kind, mlxbase::os::FileKind::symlink) << p;
  const auto old = plan_gc(context(), inventory, options, newest + 2 * kDay);
  ASSERT_TRUE(old);
  EXPECT_FALSE(old->changes.whole);
  std::size_t expected = 0;
  for (const auto& e : inventory.listings[0].entries) {
    if (e.role == catalog::Role::orphan || e.role == catalog::Role::partial) ++expected;
  }
  EXPECT_GE(removed(*old).size(), expected);
  EXPECT_GT(expected, 0U);
  for (const auto& p : removed(*old)) {
    for (const auto& e : inventory.listings[0].entries) {
      if (e.path == p) {
        EXPECT_NE(e.role, catalog::Role::payload) << p;
      }
    }
  }
  GcOptions none{.orphans = false, .partials = false, .broken_links = false};
  EXPECT_THAT(plan_gc(context(), inventory, none, newest + 2 * kDay)->changes.changes, IsEmpty());
}

TEST_F(Keep, GcLeavesAFileAloneThatAPersonMayHavePutThere) {
  build(StoreKind::lm_studio, {{"org/M", {{"m.gguf", gguf}}}});
  folder.write("home/.lmstudio/models/stray.gguf", other);
  list();
  const auto plan = plan_gc(context(), inventory, {}, newest + 100 * kDay);
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->changes.changes, IsEmpty());
  ASSERT_EQ(plan->refused.size(), 1U);
  EXPECT_THAT(plan->refused[0].reason, HasSubstr("a person may have put it there"));
}

TEST_F(Keep, GcLeavesALinkAloneThatMayLeadToADiskThatIsNotMounted) {
  build(StoreKind::lm_studio, {{"org/M", {{"m.gguf", gguf}}}});
  ASSERT_TRUE(fs.make_symlink("/no/such/volume/x.gguf", path::join(roots[0].path, "org/M/away.gguf")));
  ASSERT_TRUE(fs.make_symlink(folder / "gone.gguf", path::join(roots[0].path, "org/M/gone.gguf")));
  list();
  const auto plan = plan_gc(context(), inventory, {}, newest + 100 * kDay);
  ASSERT_TRUE(plan);
  EXPECT_THAT(removed(*plan), testing::ElementsAre(path::join(roots[0].path, "org/M/gone.gguf")));
}

TEST_F(Keep, AnUnknownModelIsAnsweredWithNearNames) {
  build(StoreKind::hf_hub, {{"org/Model-Long", {{"m.gguf", gguf}}}});
  const auto none = remove("other/Model-Long");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::not_found);
  EXPECT_THAT(none.error().message, HasSubstr("org/Model-Long"));
  EXPECT_TRUE(remove("hf-hub/org/model-long"));
}

}  // namespace
}  // namespace mlxcache::keep
