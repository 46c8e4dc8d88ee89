#pragma once
// A home for tests of single adapters: files are put where the tool would have them, then listed.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/watching_file_system.h"

namespace mlxcache::stores {

class TestHome {
 public:
  TestHome() {
    environment.home = folder / "home";
    environment.working_directory = folder / "work";
    environment.temp_directory = folder / "tmp";
    environment.root = folder / "system";
    environment.etc = folder / "system/etc";
    environment.uid = 1000;
  }
  Context context() { return {fs, environment, nullptr}; }

  /// Below home. Gives the absolute path.
  std::string put(std::string_view name, std::string_view bytes) { return folder.write("home/" + std::string(name), bytes); }
  std::string link(std::string_view name, const std::string& text) {
    const std::string at = folder / ("home/" + std::string(name));
    auto& real = mlxbase::os::real_file_system();
    EXPECT_TRUE(mlxbase::os::make_dirs(real, std::string(mlxbase::path::parent(at))));
    EXPECT_TRUE(real.make_symlink(text, at));
    return at;
  }
  std::string make_dir(std::string_view name) {
    const std::string at = folder / ("home/" + std::string(name));
    EXPECT_TRUE(mlxbase::os::make_dirs(mlxbase::os::real_file_system(), at));
    return at;
  }
  std::string at(std::string_view name) const { return folder / ("home/" + std::string(name)); }
  Listing list(StoreKind kind, std::string_view root) { return adapter_of(kind).list(context(), {kind, at(root), "test"}); }
  std::vector<std::string> discovered(StoreKind kind) {
    std::vector<std::string> paths;
    for (const Root& root : adapter_of(kind).discover(context())) {
      paths.emplace_back(mlxbase::path::is_within(environment.home, root.path) ? mlxbase::path::relative_to(environment.home, root.path)
                                                                               : root.path);
    }
    return paths;
  }

  mlxbase::testing::TemporaryFolder folder;
  mlxbase::os::Environment environment;
  WatchingFileSystem fs;
};

/// The entry whose path ends so; a stand-in of role foreign with the path "(none)" if there is none.
inline const Entry& entry_at(const Listing& listing, std::string_view ending) {
  static const Entry none = [] {
    Entry e;
    e.path = "(none)";
    e.role = Role::foreign;
    return e;
  }();
  const auto it = std::find_if(listing.entries.begin(), listing.entries.end(), [&](const Entry& e) { return e.path.ends_with(ending); });
  EXPECT_NE(it, listing.entries.end()) << "no entry ends with " << ending;
  return it == listing.entries.end() ? none : *it;
}

/// The model of this id (and revision, if given); an empty one if there is none.
inline const catalog::Model& model_at(const Listing& listing, std::string_view id, std::string_view revision = {}) {
  static const catalog::Model none;
  const auto it = std::find_if(listing.models.begin(), listing.models.end(),
                               [&](const catalog::Model& m) { return m.id == id && (revision.empty() || m.revision == revision); });
  EXPECT_NE(it, listing.models.end()) << "no model " << id;
  return it == listing.models.end() ? none : *it;
}

inline bool has_problem(const Listing& listing, std::string_view path_ending) {
  return std::any_of(listing.problems.begin(), listing.problems.end(),
                     [&](const catalog::Problem& p) { return p.path.ends_with(path_ending); });
}

/// Whether the model holds the entry whose path ends so.
inline bool holds(const Listing& listing, const catalog::Model& model, std::string_view ending) {
  return std::any_of(model.entries.begin(), model.entries.end(),
                     [&](std::uint32_t e) { return listing.entries[e].path.ends_with(ending); });
}

}  // namespace mlxcache::stores
