#include "mlxcache/doctor/doctor.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>

#include "mlxbase/core/path.h"

namespace mlxcache::doctor {
namespace {

namespace os = mlxbase::os;
namespace path = mlxbase::path;

/// A made-up home and system below a fresh folder.
class Doctor : public ::testing::Test {
 protected:
  Doctor() {
    std::string pattern = ::testing::TempDir() + "doctor-XXXXXX";
    top = ::mkdtemp(pattern.data());
    environment.home = path::join(top, "home");
    environment.root = path::join(top, "system");
    environment.working_directory = environment.home;
    EXPECT_TRUE(os::make_dirs(fs, environment.home));
  }
  ~Doctor() override { remove(top); }
  void remove(const std::string& dir) {
    if (const auto entries = fs.list(dir)) {
      for (const os::DirEntry& e : *entries) {
        const std::string p = path::join(dir, e.name);
        if (e.kind == os::FileKind::directory) {
          remove(p);
        } else {
          EXPECT_TRUE(fs.unlink(p));
        }
      }
    }
    EXPECT_TRUE(fs.remove_dir(dir));
  }
  void dir(const std::string& p) { EXPECT_TRUE(os::make_dirs(fs, path::join(top, p))); }
  void file(const std::string& p, std::string_view text) {
    dir(std::string(path::parent(p)));
    EXPECT_TRUE(os::write_file_atomically(fs, path::join(top, p), text, 0644));
  }
  std::vector<Client> clients() { return find_clients(context); }

  os::FileSystem& fs = os::real_file_system();
  std::string top;
  os::Environment environment;
  stores::Context context{fs, environment, nullptr};
};

TEST(Versions, AreComparedByNumbers) {
  EXPECT_TRUE(is_before("0.36.0", "2.0"));
  EXPECT_TRUE(is_before("1.31", "2.0"));
  EXPECT_TRUE(is_before("2.0.0rc1", "2.0"));
  EXPECT_FALSE(is_before("2.0", "2.0"));
  EXPECT_FALSE(is_before("10.1", "2.0"));
  EXPECT_FALSE(is_before("garbage", "2.0"));
  EXPECT_FALSE(is_before("99999999999999999999999.1", "2.0"));
}

TEST_F(Doctor, FindsOldHubClientsInTheUsualEnvironments) {
  dir("home/project/.venv/lib/python3.11/site-packages/huggingface_hub-0.36.0.dist-info");
  dir("home/.local/share/pipx/venvs/hf/lib/python3.12/site-packages/huggingface_hub-2.4.0.dist-info");
  dir("home/miniconda3/envs/ml/lib/python3.10/site-packages/huggingface_hub-1.0.0.dist-info");
  dir("home/a/b/c/.venv/lib/python3.11/site-packages/huggingface_hub-0.1.0.dist-info");  // too deep: not walked
  const auto found = clients();
  ASSERT_EQ(found.size(), 3U);
  std::map<std::string, bool> unsafe;
  for (const Client& c : found) unsafe[c.version] = !c.hazard.empty();
  EXPECT_EQ(unsafe, (std::map<std::string, bool>{{"0.36.0", true}, {"1.0.0", true}, {"2.4.0", false}}));
}

TEST_F(Doctor, FindsTheActiveEnvironmentOnceThoughItIsInTwoPlaces) {
  dir("home/project/.venv/lib/python3.11/site-packages/huggingface_hub-0.36.0.dist-info");
  environment.variables["VIRTUAL_ENV"] = path::join(top, "home/project/.venv");
  EXPECT_EQ(clients().size(), 1U);
}

TEST_F(Doctor, KnowsJanByPackageBundleAndImage) {
  file("system/var/lib/dpkg/status", "Package: janitor\nStatus: install ok installed\nVersion: 9\n\nPackage: jan\nStatus: install ok installed\nVersion: 0.5.14\n\n");
  file("system/Applications/Jan.app/Contents/Info.plist", "<dict><key>CFBundleShortVersionString</key>\n<string>0.6.1</string></dict>");
  file("home/Downloads/jan-linux-x86_64-0.5.12.AppImage", "");
  std::map<std::string, bool> unsafe;
  for (const Client& c : clients()) unsafe[c.program + c.version] = !c.hazard.empty();
  EXPECT_EQ(unsafe, (std::map<std::string, bool>{{"Jan0.5.14", true}, {"Jan0.6.1", false}, {"Jan0.5.12", true}}));
}

TEST_F(Doctor, ReadsServersFromTheProcessList) {
  EXPECT_FALSE(find_servers(context).known);
  file("system/proc/4711/comm", "ollama\n");
  file("system/proc/12/comm", "bash\n");
  const Servers servers = find_servers(context);
  EXPECT_TRUE(servers.known);
  ASSERT_EQ(servers.running.size(), 1U);
  EXPECT_EQ(servers.running[0].program, "Ollama");
  EXPECT_EQ(servers.running[0].pid, 4711);
}

TEST(WaysOf, SayWhyNot) {
  os::VolumeFacts facts;
  facts.type = "ext4";
  facts.clone = false;
  facts.dedupe = false;
  facts.hard_links = true;
  facts.symlinks = true;
  auto ways = ways_of(facts);
  EXPECT_EQ(ways[0].possible, false);
  EXPECT_NE(ways[0].why.find("ext4 cannot share blocks"), std::string::npos);
  EXPECT_EQ(ways[1].possible, true);
  EXPECT_EQ(ways[1].why, "");
  facts.read_only = true;
  for (const Way& w : ways_of(facts)) EXPECT_EQ(w.possible, false) << w.name;
  os::VolumeFacts unknown;
  unknown.why_not_probed = "permission denied";
  for (const Way& w : ways_of(unknown)) {
    EXPECT_FALSE(w.possible.has_value());
    EXPECT_EQ(w.why, "permission denied");
  }
}

TEST_F(Doctor, NamesAStoreThatCouldNotBeRead) {
  dir("home/store");
  catalog::Inventory inventory;
  catalog::Listing listing;
  listing.root = {catalog::StoreKind::loose, path::join(top, "home/store"), "--root"};
  listing.problems.push_back({path::join(top, "home/store/x"), {mlxbase::Code::permission, "permission denied", 0}});
  inventory.listings.push_back(listing);
  inventory.totals.emplace_back();
  const Report report = examine(context, inventory);
  ASSERT_EQ(report.volumes.size(), 1U);
  ASSERT_FALSE(report.findings.empty());
  EXPECT_EQ(report.findings[0].weight, Weight::hazard);
  EXPECT_NE(report.findings[0].advice.find("owns this store"), std::string::npos);
  EXPECT_TRUE(fs.list(listing.root.path)->empty()) << "probing leaves nothing behind";
}

}  // namespace
}  // namespace mlxcache::doctor
