// Frozen models as a tree of files: where each appears, and what changes below it.
#include "mlxcache/vault/tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::FileTree;

class Shown : public testing::Test {
 protected:
  Bench b;

  std::string freeze_as(const std::string& name, const std::string& store, std::int64_t at_ns) {
    auto vault = b.writer();
    Subject s = b.subject("/model");
    if (!name.empty()) s.name = name;
    s.store = store;
    auto frozen = freeze(*vault, s, b.means());
    EXPECT_TRUE(frozen) << frozen.error().message;
    frozen->model.frozen_at_ns = at_ns;
    return *vault->add_model(frozen->model);
  }
  /// Every path, folders with a slash behind.
  static std::vector<std::string> paths(FileTree& tree, std::uint64_t at = FileTree::kTop, const std::string& above = {}) {
    std::vector<std::string> out;
    std::map<std::string, FileTree::Name> names;
    EXPECT_TRUE(tree.list(at, 0, [&](const FileTree::Name& n) {
      names.emplace(n.name, n);
      return true;
    }));
    for (const auto& [name, n] : names) {
      EXPECT_EQ(*tree.find(at, name), n.node);
      const bool folder = n.kind == FileKind::directory;
      if (folder) {
        EXPECT_EQ(*tree.parent(n.node), at);
      }
      out.push_back(above + name + (folder ? "/" : ""));
      if (folder) {
        for (auto& below : paths(tree, n.node, above + name + "/")) out.push_back(std::move(below));
      }
    }
    return out;
  }
  static std::uint64_t at(FileTree& tree, const std::string& path) {
    std::uint64_t node = FileTree::kTop;
    for (std::size_t from = 0; from < path.size();) {
      const std::size_t end = std::min(path.find('/', from), path.size());
      const auto found = tree.find(node, path.substr(from, end - from));
      EXPECT_TRUE(found) << path;
      if (!found) return 0;
      node = *found;
      from = end + 1;
    }
    return node;
  }
};

TEST_F(Shown, AFolderLiesBelowFoldersAndAModelBelowItsStore) {
  b.write("/model/sub/a.bin", b.noise(5000, 1));
  b.write("/model/config.json", mlxbase::as_bytes("{}"));
  ASSERT_TRUE(b.fs.make_symlink("sub/a.bin", "/model/link"));
  freeze_as("", "", 1);
  freeze_as("org/Name", "hf-hub", 2);
  auto vault = b.reader();
  Reader reader(*vault);
  auto tree = *FrozenTree::make(*vault, reader);
  EXPECT_THAT(paths(*tree), testing::ElementsAre("folders/", "folders/model/", "folders/model/config.json", "folders/model/link", "folders/model/sub/", "folders/model/sub/a.bin",
                                                 "hf-hub/", "hf-hub/org/", "hf-hub/org/Name/", "hf-hub/org/Name/config.json", "hf-hub/org/Name/link", "hf-hub/org/Name/sub/",
                                                 "hf-hub/org/Name/sub/a.bin"));
  const std::uint64_t file = at(*tree, "hf-hub/org/Name/sub/a.bin");
  Bytes out(9000);
  ASSERT_EQ(*tree->read(file, 100, out), 4900U);
  out.resize(4900);
  const Bytes whole = b.noise(5000, 1);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), whole.begin() + 100));
  EXPECT_EQ(tree->node(file)->size, 5000U);
  EXPECT_EQ(*tree->read_link(at(*tree, "folders/model/link")), "sub/a.bin");
  EXPECT_FALSE(tree->read_link(file));
  EXPECT_FALSE(tree->read(FileTree::kTop, 0, out));
  EXPECT_EQ(tree->node(1'000'000).error().code, Code::not_found);
  EXPECT_EQ(tree->find(file, "x").error().code, Code::not_found);
}

TEST_F(Shown, TheNewestOfOneNameHasItAndNoModelHidesAnother) {
  b.write("/model/a.bin", b.noise(5000, 1));
  const auto old = freeze_as("a", "s", 1);
  freeze_as("a", "s", 2);
  freeze_as("a/b", "s", 3);  // below another model's name
  freeze_as("c", "s", 4);
  freeze_as("c/d", "s", 3);
  freeze_as("../../etc", "s", 5);
  auto vault = b.reader();
  Reader reader(*vault);
  auto tree = *FrozenTree::make(*vault, reader);
  EXPECT_EQ(tree->models(), 6U);
  const auto all = paths(*tree);
  EXPECT_THAT(all, testing::Contains("s/a@" + old + "/a.bin"));
  EXPECT_THAT(all, testing::Contains("s/a/b/a.bin"));
  EXPECT_THAT(all, testing::Contains("s/c/a.bin"));
  EXPECT_THAT(all, testing::Contains("s/c--d/a.bin"));
  EXPECT_THAT(all, testing::Contains("s/_/_/etc/a.bin"));
  EXPECT_EQ(std::count_if(all.begin(), all.end(), [](const std::string& p) { return p.ends_with("a.bin"); }), 6);
}

TEST_F(Shown, ModelsComeAndGoAndNodesStay) {
  b.write("/model/a.bin", b.noise(5000, 1));
  const auto id = freeze_as("old", "s", 1);
  auto vault = b.reader();
  Reader reader(*vault, 0);
  auto tree = *FrozenTree::make(*vault, reader);
  const std::uint64_t file = at(*tree, "s/old/a.bin");
  b.write("/model/a.bin", b.noise(6000, 2));
  freeze_as("new", "s", 2);
  {
    auto writer = b.writer();
    ASSERT_TRUE(writer->remove_model(id));
    ASSERT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
  }
  EXPECT_THAT(paths(*tree), testing::ElementsAre("s/", "s/new/", "s/new/a.bin"));
  Bytes out(6000);
  ASSERT_TRUE(tree->read(at(*tree, "s/new/a.bin"), 0, out));
  EXPECT_EQ(out, b.noise(6000, 2));
  out.resize(5000);
  ASSERT_TRUE(tree->read(file, 0, out)) << "who had it open goes on";
  EXPECT_EQ(out, b.noise(5000, 1));
}

TEST_F(Shown, PacksThatWereReplacedAreLetGo) {
  b.write("/model/a.bin", b.noise(5000, 1));
  b.write("/model/b.bin", b.noise(9000, 2));
  const auto both = freeze_as("both", "s", 1);
  ASSERT_TRUE(b.fs.unlink("/model/b.bin"));
  freeze_as("one", "s", 2);
  const std::string old = b.only_pack();
  int reads = 0;
  mlxbase::testing::HookedFileSystem fs(b.memory, [&](const mlxbase::testing::Call& call) -> mlxbase::Status {
    reads += call.name == "pread" && call.path == old ? 1 : 0;
    return {};
  });
  auto vault = *Vault::open(fs, b.dir, Access::read);
  Reader reader(*vault, 0);
  auto tree = *FrozenTree::make(*vault, reader);
  { ASSERT_TRUE(b.writer()->remove_model(both)); }
  ASSERT_THAT(paths(*tree), testing::Contains("s/one/a.bin"));
  { ASSERT_TRUE(b.writer()->collect(true, mlxbase::no_progress(), nullptr)); }  // the folder of models stays as it is
  ASSERT_FALSE(b.fs.stat(old));
  const std::uint64_t file = at(*tree, "s/one/a.bin");
  reads = 0;
  Bytes out(5000);
  ASSERT_TRUE(tree->read(file, 0, out));
  EXPECT_EQ(out, b.noise(5000, 1));
  EXPECT_EQ(reads, 0);
}

}  // namespace
}  // namespace mlxcache::vault
