#include "world.h"

#include <gtest/gtest.h>

#include "mlxbase/testing/temporary_folder.h"

namespace mlxcache::crash {

using catalog::StoreKind;
using dedup::Action;

World::World(const Way& way) : way_(way) {
  fs.volume_of().dedupe = way.dedupe;
  fs.volume_of().exchange = way.exchange;
  bytes = mlxbase::testing::noise(3 * 4096 - 100, 42);
  fs.put("/home/me/keep", "");
  fs.put(kSource, bytes);
  targets = {"/stores/b/model.bin", "/stores/b/one.bin", "/stores/b/sub/two.bin", "/lm/models/pub/model/m.gguf"};
  fs.put(targets[0], bytes);
  fs.put(targets[1], bytes);
  EXPECT_TRUE(os::make_dirs(fs, "/stores/b/sub"));
  EXPECT_TRUE(fs.hard_link(targets[1], targets[2]));
  fs.put(targets[3], bytes);
  // Metadata that a careless replacement would lose.
  auto file = fs.open_read(targets[0], os::Follow::no).value();
  auto m = file->metadata().value();
  m.mode = 0604;
  m.mtime_ns = 1'500'000'000'123'456'789;
  m.attributes = {{"system.posix_acl_access", std::string("\2\0\0\0", 4)}, {"user.xdg.origin.url", "https://example.org/m"}};
  EXPECT_TRUE(file->set_metadata(m));
  fs.settle();
  original = picture();
}

dedup::Plan World::plan() {
  dedup::Plan p;
  const catalog::Root a{StoreKind::loose, "/stores/a", "--root"};
  const catalog::Root b{StoreKind::loose, "/stores/b", "--root"};
  const catalog::Root lm{StoreKind::lm_studio, "/lm/models", "default"};
  for (const auto& target : targets) {
    // One inode is shared in place once, whatever its names.
    if (way_.method == dedup::Method::dedupe && way_.dedupe && target == targets[2]) continue;
    Action action;
    action.method = way_.method;
    action.source = kSource;
    action.target = target;
    action.source_root = a;
    action.target_root = target.starts_with("/lm") ? lm : b;
    action.source_state = catalog::fingerprint_of(fs.stat(kSource, os::Follow::no).value());
    action.target_state = catalog::fingerprint_of(fs.stat(target, os::Follow::no).value());
    action.size = action.bytes = bytes.size();
    p.bytes_freed += action.bytes;
    p.actions.push_back(action);
  }
  return p;
}

mlxbase::Result<dedup::Applied> World::apply(os::FileSystem& through, const dedup::Plan& p, const mlxbase::Cancel* cancel) {
  const stores::Context context{through, environment_, cancel};
  const std::string home = kHome;
  return dedup::apply({context, home, clock_, mlxbase::no_progress(), cancel, "dedup --apply"}, p);
}
mlxbase::Result<dedup::Undone> World::undo(os::FileSystem& through) {
  const stores::Context context{through, environment_, nullptr};
  const std::string home = kHome;
  return dedup::undo({context, home, clock_, mlxbase::no_progress(), nullptr, {}}, "");
}
mlxbase::Result<dedup::Recovered> World::recover(os::FileSystem& through) {
  const stores::Context context{through, environment_, nullptr};
  const std::string home = kHome;
  return dedup::recover({context, home, clock_, mlxbase::no_progress(), nullptr, {}});
}

Picture World::picture() {
  Picture out;
  std::map<os::FileId, std::vector<std::string>> names;
  std::vector<std::string> all;
  for (const char* root : {"/stores", "/lm"}) {
    const auto below = fs.names_below(root);
    all.insert(all.end(), below.begin(), below.end());
  }
  for (const auto& name : all) names[fs.stat(name, os::Follow::no).value().id].push_back(name);
  for (const auto& name : all) {
    const auto s = fs.stat(name, os::Follow::no).value();
    const bool readable = fs.stat(name, os::Follow::yes).has_value();
    out[name] = {s.kind, readable ? fs.content(name) : "(dangling)", fs.metadata(name).value(), names[s.id]};
  }
  return out;
}

std::vector<std::string> World::strangers() {
  std::vector<std::string> out;
  for (const auto& [name, seen] : picture()) {
    if (!original.contains(name)) out.push_back(name);
  }
  if (fs.exists("/lm/.mlxcache-staging")) out.emplace_back("/lm/.mlxcache-staging");
  return out;
}

void World::expect_whole(const std::string& what) {
  const auto now = picture();
  for (const auto& [name, seen] : original) {
    const auto it = now.find(name);
    if (it == now.end()) {
      ADD_FAILURE() << what << ": " << name << " is gone";
    } else {
      EXPECT_TRUE(it->second.bytes == seen.bytes) << what << ": " << name << " has other bytes";
    }
  }
  for (const auto& name : strangers()) ADD_FAILURE() << what << ": " << name << " was left behind";
}

void World::expect_undo_restores(const std::string& what, bool parted) {
  for (int attempt = 0; attempt < 4; ++attempt) {
    const auto undone = undo(fs);
    if (!undone) {
      EXPECT_EQ(undone.error().code, mlxbase::Code::not_found) << what << ": " << undone.error().message;
      break;
    }
    for (const auto& r : undone->refused) ADD_FAILURE() << what << ": undo refused " << r.path << ": " << r.reason;
    for (const auto& n : undone->notes) ADD_FAILURE() << what << ": undo says of " << n.path << ": " << n.reason;
  }
  const auto now = picture();
  for (const auto& [name, seen] : original) {
    const auto it = now.find(name);
    if (it == now.end()) {
      ADD_FAILURE() << what << ": " << name << " is gone after undo";
      continue;
    }
    EXPECT_EQ(it->second.kind, seen.kind) << what << ": " << name;
    EXPECT_TRUE(it->second.bytes == seen.bytes) << what << ": " << name << " has other bytes after undo";
    EXPECT_EQ(it->second.metadata, seen.metadata) << what << ": metadata of " << name;
    if (!parted) {
      EXPECT_EQ(it->second.same_inode, seen.same_inode) << what << ": links of " << name;
    }
  }
  for (const auto& name : strangers()) ADD_FAILURE() << what << ": " << name << " was left behind by undo";
  // Nothing is shared any more.
  const auto source = fs.open_read(kSource, os::Follow::no).value();
  const auto sharing = source->sharing().value();
  EXPECT_EQ(sharing.shared_bytes, 0U) << what << ": the source still shares blocks";
}

}  // namespace mlxcache::crash
