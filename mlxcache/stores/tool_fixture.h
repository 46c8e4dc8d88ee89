#pragma once
// For tests of adapters: a home, an environment around it, and ways to ask a listing. Tests only.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/testing/temporary_folder.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores {

class ToolFixture : public testing::Test {
 protected:
  ToolFixture() {
    environment.home = folder / "home";
    environment.working_directory = folder / "elsewhere";
    environment.temp_directory = folder / "tmp";
    environment.root = folder / "system";
    environment.etc = folder / "system/etc";
    environment.uid = static_cast<std::uint32_t>(::getuid());
    ::mkdir(environment.home.c_str(), 0755);
  }
  Context context() { return {fs, environment, nullptr}; }
  std::string home(std::string_view below) const { return mlxbase::path::join(environment.home, below); }
  std::string make_folder(const std::string& path) const {
    EXPECT_TRUE(mlxbase::os::make_dirs(mlxbase::os::real_file_system(), path)) << path;
    return path;
  }
  /// Writes below the home; gives the path.
  std::string put(std::string_view below_home, std::string_view bytes) const { return folder.write("home/" + std::string(below_home), bytes); }

  std::vector<std::string> discover(catalog::StoreKind kind) {
    std::vector<std::string> paths;
    for (const Root& root : adapter_of(kind).discover(context())) paths.push_back(root.path);
    return paths;
  }
  Listing list(catalog::StoreKind kind, const std::string& root) { return adapter_of(kind).list(context(), {kind, root, "test"}); }

  static const Entry* entry(const Listing& listing, std::string_view ending) {
    for (const Entry& e : listing.entries) {
      if (e.path.ends_with(ending)) return &e;
    }
    return nullptr;
  }
  /// The role of the entry whose path ends so; foreign and a failure if there is none.
  static Role role(const Listing& listing, std::string_view ending) {
    const Entry* e = entry(listing, ending);
    EXPECT_NE(e, nullptr) << "no entry " << ending;
    return e == nullptr ? Role::foreign : e->role;
  }
  static const catalog::Model* model(const Listing& listing, std::string_view id) {
    for (const catalog::Model& m : listing.models) {
      if (m.id == id) return &m;
    }
    return nullptr;
  }
  static bool has_problem(const Listing& listing, std::string_view ending) {
    return std::any_of(listing.problems.begin(), listing.problems.end(), [&](const auto& p) { return p.path.ends_with(ending); });
  }

  mlxbase::testing::TemporaryFolder folder;
  mlxbase::os::Environment environment;
  mlxbase::os::FileSystem& fs = mlxbase::os::real_file_system();
};

}  // namespace mlxcache::stores
