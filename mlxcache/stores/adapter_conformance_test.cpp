// One suite for every row of the table: what the rest of MLXCache relies on, whatever the tool.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/conformance_fixture.h"
#include "mlxcache/stores/walk.h"
#include "mlxcache/stores/watching_file_system.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Algorithm;
using mlxbase::Digest;
using mlxbase::os::Environment;
using mlxbase::os::FileKind;
using mlxbase::os::Platform;
using mlxbase::testing::read_all;
using mlxbase::testing::TemporaryFolder;

constexpr std::string_view kToken = "0123456789abcdef";

class EveryAdapter : public testing::TestWithParam<StoreKind> {
 protected:
  const Adapter& row() const { return adapter_of(GetParam()); }
  const Shape& shape() const { return shapes()[static_cast<std::size_t>(GetParam())]; }
  const std::string& home() const { return home_; }

  Environment environment(Platform platform) const {
    Environment e;
    e.home = home_;
    e.working_directory = folder_ / "elsewhere";
    e.temp_directory = folder_ / "tmp";
    e.root = folder_ / "system";
    e.etc = folder_ / "system/etc";
    e.uid = 1000;
    e.platform = platform;
    return e;
  }
  Root build(const sample::Extras& extras = {}, Platform platform = Platform::linux_os) {
    auto root = sample::build(GetParam(), home_, models_of(shape()), extras, {}, platform);
    EXPECT_TRUE(root) << root.error().message;
    return root.value_or(Root{GetParam(), home_, ""});
  }
  Listing list(const Root& root) {
    const Environment e = environment(Platform::linux_os);
    return row().list({fs_, e, nullptr}, root);
  }

  TemporaryFolder folder_;
  std::string home_ = folder_ / "home";
  WatchingFileSystem fs_;
};

INSTANTIATE_TEST_SUITE_P(Stores, EveryAdapter, testing::ValuesIn(every_kind()), kind_name);

TEST_P(EveryAdapter, FindsItsRootOnLinuxAndOnMacOs) {
  for (const Platform platform : {Platform::linux_os, Platform::macos}) {
    home_ = folder_ / (platform == Platform::macos ? "mac" : "linux");
    const Root built = build({}, platform);
    const Environment e = environment(platform);
    const Context context{fs_, e, nullptr};
    const auto roots = row().discover(context);
    if (GetParam() == StoreKind::loose) {
      EXPECT_TRUE(roots.empty());
      const std::vector<std::string> extra = {built.path};
      const auto all = discover_all(context, extra);
      ASSERT_EQ(all.size(), 1U);
      EXPECT_EQ(all[0].path, built.path);
      EXPECT_EQ(all[0].kind, StoreKind::loose);
      continue;
    }
    ASSERT_EQ(roots.size(), 1U) << (roots.empty() ? built.path : roots[1].path);
    EXPECT_EQ(roots[0].path, built.path);
    EXPECT_EQ(roots[0].kind, GetParam());
    EXPECT_FALSE(roots[0].origin.empty());
    const auto all = discover_all(context, {});
    ASSERT_EQ(all.size(), 1U) << all[1].path;
    EXPECT_EQ(all[0].kind, GetParam());
  }
  EXPECT_TRUE(fs_.changed.empty());
}

TEST_P(EveryAdapter, FindsNothingInAnEmptyHome) {
  ASSERT_EQ(::mkdir(home_.c_str(), 0755), 0);
  for (const Platform platform : {Platform::linux_os, Platform::macos}) {
    const Environment e = environment(platform);
    EXPECT_TRUE(row().discover({fs_, e, nullptr}).empty());
  }
}

TEST_P(EveryAdapter, ListsEveryModelWithItsBytes) {
  const Root root = build();
  const Listing listing = list(root);
  for (const auto& problem : listing.problems) ADD_FAILURE() << problem.path << ": " << problem.error.message;
  EXPECT_EQ(listing.root, root);
  EXPECT_EQ(ids_of(listing), std::set<std::string>(shape().ids.begin(), shape().ids.end()));
  for (const auto& wanted : models_of(shape())) {
    const auto model = std::find_if(listing.models.begin(), listing.models.end(), [&](const auto& m) { return m.id == wanted.id; });
    if (model == listing.models.end()) continue;  // said above
    EXPECT_FALSE(model->incomplete) << model->id;
    for (const auto& file : wanted.files) {
      if (file.name.ends_with(".json")) continue;
      const auto is_it = [&](std::uint32_t e) {
        const Entry& entry = listing.entries[e];
        return entry.role == Role::payload && entry.stat.size == file.bytes.size() && read_all(entry.path) == file.bytes;
      };
      EXPECT_TRUE(std::any_of(model->entries.begin(), model->entries.end(), is_it)) << model->id << " lacks " << file.name;
    }
  }
}

TEST_P(EveryAdapter, NamesEveryFileOnce) {
  const Root root = build({.partial = true, .orphan = true, .broken = true});
  const Listing listing = list(root);
  std::map<std::string, int> times;
  for (const Entry& entry : listing.entries) {
    ++times[entry.path];
    EXPECT_TRUE(path::is_within(root.path, entry.path)) << entry.path;
  }
  std::vector<catalog::Problem> problems;
  for (const Found& f : walk(fs_, root.path, problems)) EXPECT_EQ(times[f.path], 1) << f.path;
  EXPECT_TRUE(problems.empty());
}

TEST_P(EveryAdapter, KeepsModelsAndEntriesTrueToOneAnother) {
  const Listing listing = list(build({.partial = true, .orphan = true, .broken = true}));
  std::set<std::uint32_t> in_some;
  for (const auto& model : listing.models) {
    std::set<std::uint32_t> once;
    for (const std::uint32_t e : model.entries) {
      ASSERT_LT(e, listing.entries.size());
      EXPECT_TRUE(once.insert(e).second) << model.id << " names an entry twice";
      in_some.insert(e);
    }
  }
  for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
    const Entry& entry = listing.entries[e];
    ASSERT_LT(entry.model, static_cast<std::int32_t>(listing.models.size()));
    EXPECT_EQ(entry.model >= 0, in_some.contains(e)) << entry.path;
    if (entry.model >= 0) {
      const auto& of = listing.models[static_cast<std::size_t>(entry.model)].entries;
      EXPECT_NE(std::find(of.begin(), of.end(), e), of.end()) << entry.path;
    }
    if (entry.role == Role::orphan) {
      EXPECT_LT(entry.model, 0) << entry.path;
    }
  }
}

TEST_P(EveryAdapter, ListsTheSameTwice) {
  const Root root = build({.partial = true, .orphan = true, .broken = true});
  const Listing one = list(root);
  const Listing two = list(root);
  EXPECT_EQ(one.models, two.models);
  ASSERT_EQ(one.entries.size(), two.entries.size());
  for (std::size_t i = 0; i < one.entries.size(); ++i) {
    EXPECT_EQ(one.entries[i].path, two.entries[i].path);
    EXPECT_EQ(one.entries[i].role, two.entries[i].role);
    EXPECT_EQ(one.entries[i].claim, two.entries[i].claim);
  }
}

TEST_P(EveryAdapter, TellsPartialsOrphansAndBrokenLinksFromPayloads) {
  const Listing plain = list(build());
  home_ = folder_ / "full";
  const Listing full = list(build({.partial = true, .orphan = true, .broken = true}));
  const auto count = [](const Listing& l, Role role) {
    return std::count_if(l.entries.begin(), l.entries.end(), [role](const Entry& e) { return e.role == role; });
  };
  EXPECT_EQ(count(plain, Role::partial), 0);
  EXPECT_EQ(count(plain, Role::orphan), 0);
  EXPECT_EQ(count(plain, Role::broken), 0);
  EXPECT_GE(count(full, Role::partial), 1);
  if (shape().orphans) {
    EXPECT_GE(count(full, Role::orphan), 1);
  }
  EXPECT_EQ(count(full, Role::payload), count(plain, Role::payload));
  for (const Entry& entry : full.entries) {
    const bool dangles = entry.stat.kind == FileKind::symlink && !fs_.stat(entry.path, mlxbase::os::Follow::yes);
    EXPECT_EQ(entry.role == Role::broken, dangles) << entry.path;
  }
}

TEST_P(EveryAdapter, ClaimsTrueDigestsOnly) {
  if (shape().claims_by_name) GTEST_SKIP() << "its digests are constants of the tool";
  const Listing listing = list(build({.partial = true, .orphan = true, .broken = true}));
  for (const Entry& entry : listing.entries) {
    if (!entry.claim) continue;
    ASSERT_EQ(entry.stat.kind, FileKind::regular) << entry.path;
    EXPECT_TRUE(claim_is_true(*entry.claim, read_all(entry.path))) << entry.path << " is not " << entry.claim->to_string();
    EXPECT_NE(entry.role, Role::partial) << entry.path;
  }
}

TEST_P(EveryAdapter, AllowsNoMoreLinksThanIsSafe) {
  const auto within = [](catalog::Links a, catalog::Links b) { return (a & b) == a; };
  EXPECT_TRUE(within(row().links, shape().most));
  if (row().writes_in_place) {
    EXPECT_TRUE(within(row().links, catalog::kReflinkOnly));
  }
  for (const Entry& entry : list(build({.partial = true, .orphan = true, .broken = true})).entries) {
    EXPECT_TRUE(within(entry.links, row().links)) << entry.path;
    if (entry.role != Role::payload && entry.role != Role::orphan) {
      EXPECT_EQ(entry.links, catalog::kNoLinks) << entry.path;
    }
    if (is_onnx(entry.path)) {
      EXPECT_TRUE(within(entry.links, catalog::kReflinkOnly)) << entry.path;
    }
    if (!(entry.links == row().links) && entry.role == Role::payload) {
      EXPECT_FALSE(entry.links_reason.empty()) << entry.path;
    }
  }
}

TEST_P(EveryAdapter, StagesWhereTheToolDoesNotLook) {
  const Root root = build();
  const Listing before = list(root);
  for (const Entry& entry : before.entries) {
    if (entry.role != Role::payload) continue;
    const std::string name = row().staging(root, entry.path, kToken);
    EXPECT_NE(name, row().staging(root, entry.path, "fedcba9876543210")) << "two tokens, one name";
    EXPECT_NE(name, entry.path);
    EXPECT_TRUE(path::is_within(path::parent(root.path), name)) << name;
    EXPECT_LE(path::file_name(name).size(), 255U);
    auto& real = mlxbase::os::real_file_system();
    ASSERT_FALSE(real.stat(name)) << name;
    ASSERT_TRUE(mlxbase::os::make_dirs(real, std::string(path::parent(name))));
    ASSERT_TRUE(real.create(name, 0644).value()->pwrite(0, mlxbase::as_bytes(read_all(entry.path))));
    const Listing after = list(root);
    EXPECT_EQ(ids_of(after), ids_of(before)) << name;
    for (const Entry& e : after.entries) {
      if (e.path == name) {
        EXPECT_TRUE(e.role == Role::partial || e.role == Role::lock || e.role == Role::metadata) << name;
      }
    }
    ASSERT_TRUE(real.unlink(name));
  }
}

TEST_P(EveryAdapter, LocksLieBelowTheRoot) {
  const Root root = build();
  for (const Entry& entry : list(root).entries) {
    for (const LockFile& lock : row().locks(root, entry)) {
      EXPECT_TRUE(path::is_within(root.path, lock.path)) << lock.path;
      EXPECT_NE(lock.path, entry.path);
      EXPECT_TRUE(lock.mode >= 0600 && lock.mode <= 0666) << lock.path;
    }
  }
}

TEST_P(EveryAdapter, SurvivesWhatDoesNotBelong) {
  const Root root = build();
  const Listing clean = list(root);
  const std::string outside = folder_.write("outside/secret.json", "{}");
  std::set<std::string> folders = {root.path};
  for (const Entry& entry : clean.entries) folders.emplace(path::parent(entry.path));
  const std::string closed = path::join(root.path, "closed");
  ASSERT_EQ(::mkdir(closed.c_str(), 0755), 0);
  fs_.unreadable.insert(closed);
  for (const std::string& folder : folders) {
    ASSERT_EQ(::mkfifo(path::join(folder, "pipe.safetensors").c_str(), 0644), 0);
    ASSERT_EQ(::symlink("loop.gguf", path::join(folder, "loop.gguf").c_str()), 0);
    ASSERT_EQ(::symlink(outside.c_str(), path::join(folder, "way-out.json").c_str()), 0);
    ASSERT_EQ(::symlink("/", path::join(folder, "whole-disk").c_str()), 0);
    std::ofstream(path::join(folder, "not utf-8 \xff\xfe\n.bin")) << "x";
    std::ofstream(path::join(folder, std::string(251, 'l') + ".bin")) << "x";
  }
  fs_.opened.clear();
  fs_.looked_into.clear();
  const Listing listing = list(root);
  for (const std::string& id : shape().ids) EXPECT_TRUE(ids_of(listing).contains(id)) << id << " went missing";
  for (const Entry& entry : listing.entries) {
    if (entry.stat.kind != FileKind::regular && entry.stat.kind != FileKind::symlink) {
      EXPECT_EQ(entry.role, Role::foreign) << entry.path;
    }
    if (entry.stat.kind != FileKind::regular) {
      EXPECT_EQ(entry.links, catalog::kNoLinks) << entry.path;
    }
  }
  EXPECT_TRUE(std::any_of(listing.problems.begin(), listing.problems.end(), [&](const auto& p) { return p.path == closed; }))
      << "an unreadable folder is passed over in silence";
  for (const std::string& file : fs_.opened) EXPECT_TRUE(path::is_within(root.path, file)) << file;
  for (const std::string& dir : fs_.looked_into) EXPECT_TRUE(path::is_within(root.path, dir)) << dir;
  EXPECT_TRUE(fs_.changed.empty());
}

/// Every file of metadata in turn becomes something else.
void spoil(const Listing& clean, const std::function<void(const std::string&)>& how) {
  for (const Entry& entry : clean.entries) {
    if (entry.role != Role::metadata || entry.stat.kind != FileKind::regular) continue;
    ASSERT_EQ(::unlink(entry.path.c_str()), 0);
    how(entry.path);
  }
}

TEST_P(EveryAdapter, ReadsNoMetadataOfAGigabyte) {
  const Root root = build();
  const Listing clean = list(root);
  spoil(clean, [](const std::string& file) {
    std::ofstream(file) << "{";
    ASSERT_EQ(::truncate(file.c_str(), off_t{1} << 30), 0);
  });
  const Listing listing = list(root);
  std::size_t regular = 0;
  for (const Entry& entry : listing.entries) regular += entry.stat.kind == FileKind::regular ? 1 : 0;
  EXPECT_GT(regular + 1, clean.entries.size() / 2);
}

TEST_P(EveryAdapter, FollowsNoMetadataOutOfTheRoot) {
  const Root root = build();
  const Listing clean = list(root);
  const std::string outside = folder_.write("outside/secret", "{\"a\":1}");
  spoil(clean, [&](const std::string& file) { ASSERT_EQ(::symlink(outside.c_str(), file.c_str()), 0); });
  fs_.opened.clear();
  list(root);
  for (const std::string& file : fs_.opened) EXPECT_TRUE(path::is_within(root.path, file)) << file;
}

TEST_P(EveryAdapter, SurvivesMetadataOfAnyBytes) {
  const std::vector<std::string> bytes = {
      "",
      "\0\0\0\0",
      "{",
      "[]",
      "null",
      std::string(100'000, '['),
      "{\"files\":{\"../../../etc/passwd\":{\"size\":-1}}}",
      "\xff\xfe\xfd",
      R"({"layers":[{"digest":"sha256:../../../../etc/passwd","size":18446744073709551615}],"weight_map":{"a":"../../x"},"models":[1,{"id":7}]})"};
  int n = 0;
  for (const std::string& content : bytes) {
    home_ = folder_ / ("spoiled" + std::to_string(n++));
    const Root root = build();
    spoil(list(root), [&](const std::string& file) { std::ofstream(file, std::ios::binary) << content; });
    for (const Entry& entry : list(root).entries) EXPECT_TRUE(path::is_within(root.path, entry.path)) << entry.path;
  }
}

TEST_P(EveryAdapter, ReportsARootThatIsGone) {
  const Listing listing = list({GetParam(), folder_ / "nowhere", "test"});
  EXPECT_TRUE(listing.entries.empty());
  EXPECT_TRUE(listing.models.empty());
  ASSERT_FALSE(listing.problems.empty());
  EXPECT_EQ(listing.problems[0].error.code, mlxbase::Code::not_found);
}

TEST_P(EveryAdapter, StopsWhenAsked) {
  const Root root = build();
  mlxbase::Cancel cancel;
  cancel.request();
  const Environment e = environment(Platform::linux_os);
  EXPECT_TRUE(row().list({fs_, e, &cancel}, root).entries.empty());
}

TEST(AdapterTable, IsInTheOrderOfTheKindsAndNamesEachOnce) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < adapters().size(); ++i) {
    const Adapter& row = adapters()[i];
    EXPECT_EQ(static_cast<std::size_t>(row.kind), i);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(find_adapter(row.name), &row);
    EXPECT_EQ(shapes()[i].kind, row.kind);
  }
  EXPECT_EQ(find_adapter("no such tool"), nullptr);
}

}  // namespace
}  // namespace mlxcache::stores
