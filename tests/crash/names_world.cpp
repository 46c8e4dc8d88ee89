#include "names_world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "mlxbase/testing/temporary_folder.h"

namespace mlxcache::crash {

using catalog::StoreKind;
using change::Change;
using change::How;
using change::Kind;
using mlxbase::os::Follow;
namespace os = mlxbase::os;

namespace {

const std::string kState = "/home/me/.mlxcache";
const std::string kSource = "/loose/model.gguf";
const std::string kHub = "/hub/root";
const std::string kOllama = "/ollama/models";
const std::string kBlob = "sha256-" + std::string(64, 'a');
const std::string kHubBlob(64, 'a');

Change text(Change c, const std::string& content) {
  c.ways = {How::text};
  c.content = content;
  return c;
}

}  // namespace

NamesWorld::NamesWorld(const Deed& deed) : deed_(deed) {
  fs.volume_of().exchange = deed.exchange;
  fs.volume_of().rename_new = deed.rename_new;
  fs.volume_of().clone = deed.clone;
  fs.put("/home/me/keep", "");
  fs.put(kSource, mlxbase::testing::noise(2 * 4096 + 17, 42));
  fs.put(kHub + "/models--other--one/blobs/" + kHubBlob, mlxbase::testing::noise(5000, 1));
  fs.put(kOllama + "/blobs/sha256-" + std::string(64, 'b'), mlxbase::testing::noise(5000, 2));
  fs.put(kOllama + "/blobs/sha256-" + std::string(64, 'c'), "config");
  fs.put(kOllama + "/manifests/registry.ollama.ai/library/tiny/latest", "manifest");
  fs.put("/lm/models/pub/name/m.gguf", mlxbase::testing::noise(6000, 3));
  fs.put("/lm/models/registry.json", "{\"models\": [\"m\"]}");
  EXPECT_TRUE(os::make_dirs(fs, "/lm/models/pub/name/sub"));
  EXPECT_TRUE(fs.make_symlink("m.gguf", "/lm/models/pub/name/link.gguf"));
  fs.put(kHub + "/.mlxcache-download/abc.part", mlxbase::testing::noise(7000, 4));
  fs.settle();
  before = names();
}

catalog::Fingerprint NamesWorld::state(const std::string& path) { return catalog::fingerprint_of(fs.stat(path, Follow::no).value()); }

Change NamesWorld::make(Kind kind, StoreKind store, const std::string& root, const std::string& path) {
  Change c;
  c.kind = kind;
  c.root = {store, root, "default"};
  c.path = root + "/" + path;
  return c;
}

change::Plan NamesWorld::plan() {
  change::Plan p;
  const std::string what = deed_.what;
  const auto from = [&](Change c, std::vector<How> ways, const std::string& source) {
    c.ways = std::move(ways);
    c.source = source;
    c.source_state = state(source);
    return c;
  };
  const auto hub = [&](const std::string& path) { return make(Kind::place, StoreKind::hf_hub, kHub, "models--org--name/" + path); };
  const auto link = [&](const std::string& path, const std::string& to) {
    auto c = hub(path);
    c.ways = {How::link_text};
    c.content = to;
    return c;
  };
  const auto gone = [&](StoreKind store, const std::string& root, const std::string& path) {
    auto c = make(Kind::remove, store, root, path);
    if (fs.stat(c.path, Follow::no)->kind != os::FileKind::directory) c.expected = state(c.path);
    return c;
  };
  const std::string commit(40, '1');
  if (what == "hub") {
    p.changes.push_back(from(hub("blobs/" + kHubBlob), {How::clone}, kSource));
    p.changes.push_back(text(hub("blobs/" + std::string(40, 'd')), "{\"config\": 1}"));
    p.changes.push_back(link("snapshots/" + commit + "/model.gguf", "../../blobs/" + kHubBlob));
    p.changes.push_back(link("snapshots/" + commit + "/config.json", "../../blobs/" + std::string(40, 'd')));
    p.changes.push_back(text(hub("refs/main"), commit));
  } else if (what == "ollama") {
    p.changes.push_back(from(make(Kind::place, StoreKind::ollama, kOllama, "blobs/" + kBlob), {How::clone, How::hard_link}, kSource));
    p.changes.push_back(text(make(Kind::place, StoreKind::ollama, kOllama, "blobs/sha256-" + std::string(64, 'e')), "params"));
    p.changes.push_back(text(make(Kind::place, StoreKind::ollama, kOllama, "manifests/registry.ollama.ai/library/name/q4"), "{}"));
  } else if (what == "remove") {
    p.changes.push_back(gone(StoreKind::ollama, kOllama, "manifests/registry.ollama.ai/library/tiny/latest"));
    p.changes.push_back(gone(StoreKind::ollama, kOllama, "manifests/registry.ollama.ai/library/tiny"));
    p.changes.push_back(gone(StoreKind::ollama, kOllama, "blobs/sha256-" + std::string(64, 'b')));
    p.changes.push_back(gone(StoreKind::ollama, kOllama, "blobs/sha256-" + std::string(64, 'c')));
    for (const char* path : {"pub/name/link.gguf", "pub/name/m.gguf", "pub/name/sub", "pub/name", "pub"}) p.changes.push_back(gone(StoreKind::lm_studio, "/lm/models", path));
  } else if (what == "registry") {
    auto c = make(Kind::replace, StoreKind::loose, "/lm/models", "registry.json");
    c.content = "{\"models\": []}";
    c.expected = state(c.path);
    p.changes.push_back(c);
    p.changes.push_back(gone(StoreKind::loose, "/lm/models", "pub/name/m.gguf"));
  } else {
    p.changes.push_back(from(hub("blobs/" + kHubBlob), {How::adopt}, kHub + "/.mlxcache-download/abc.part"));
    p.changes.push_back(link("snapshots/" + commit + "/model.gguf", "../../blobs/" + kHubBlob));
    p.changes.push_back(text(hub("refs/main"), commit));
  }
  return p;
}

mlxbase::Result<change::Done> NamesWorld::carry_out(os::FileSystem& through, const change::Plan& p, const mlxbase::Cancel* cancel) {
  const stores::Context context{through, environment_, cancel};
  return change::carry_out({context, kState, clock_, mlxbase::no_progress(), cancel, "publish"}, p);
}
mlxbase::Result<change::Undone> NamesWorld::undo(os::FileSystem& through) {
  const stores::Context context{through, environment_, nullptr};
  return dedup::undo({context, kState, clock_, mlxbase::no_progress(), nullptr, {}}, "");
}
mlxbase::Result<change::Recovered> NamesWorld::recover(os::FileSystem& through) {
  const stores::Context context{through, environment_, nullptr};
  return change::recover({context, kState, clock_, mlxbase::no_progress(), nullptr, {}});
}
mlxbase::Result<std::vector<change::Trashed>> NamesWorld::empty(os::FileSystem& through) {
  const stores::Context context{through, environment_, nullptr};
  return change::empty_trash({context, kState, clock_, mlxbase::no_progress(), nullptr, {}}, {}, INT64_MAX);
}

Names NamesWorld::names() {
  Names out;
  std::map<std::uint64_t, std::vector<std::string>> of_inode;
  const std::function<void(const std::string&)> visit = [&](const std::string& dir) {
    const auto entries = fs.list(dir);
    if (!entries) return;
    for (const auto& e : *entries) {
      const std::string path = dir + "/" + e.name;
      if (e.name == ".locks" || e.name.ends_with(".lock")) continue;
      const auto s = fs.stat(path, Follow::no).value();
      Name name{.kind = e.kind, .inode = s.id.inode, .bytes = {}, .same_inode = {}};
      if (e.kind == os::FileKind::directory) {
        name.inode = 0;  // a folder that comes back is another one
        visit(path);
      } else {
        name.bytes = e.kind == os::FileKind::symlink ? fs.read_link(path).value() : fs.content(path);
        of_inode[s.id.inode].push_back(path);
      }
      out[path] = std::move(name);
    }
  };
  for (const char* root : {"/loose", "/hub", "/ollama", "/lm"}) visit(root);
  for (auto& [path, name] : out) {
    if (name.inode != 0) name.same_inode = of_inode.at(name.inode);
  }
  return out;
}

std::string NamesWorld::difference(const Names& wanted) {
  std::string out;
  const auto now = names();
  for (const auto& [path, name] : wanted) {
    const auto it = now.find(path);
    if (it == now.end()) {
      out += path + " is gone; ";
    } else if (!(it->second == name)) {
      out += path + " is another; ";
    }
  }
  for (const auto& [path, name] : now) {
    if (!wanted.contains(path)) out += path + " is new; ";
  }
  return out;
}

void NamesWorld::recovered(const std::string& what) {
  const auto r = recover(fs);
  ASSERT_TRUE(r) << what << ": " << r.error().message;
  for (const auto& l : r->left) ADD_FAILURE() << what << ": recover left " << l.path << ": " << l.reason;
  const auto again = recover(fs);
  ASSERT_TRUE(again) << what;
  EXPECT_TRUE(again->transactions.empty()) << what << ": a second recovery found something to do";
}

void NamesWorld::expect_bytes_somewhere(const std::string& what) {
  std::set<std::string> now;
  for (const auto& [path, name] : names()) now.insert(name.bytes);
  for (const auto& [path, name] : before) {
    if (name.kind == os::FileKind::regular) {
      EXPECT_TRUE(now.contains(name.bytes)) << what << ": the bytes of " << path << " are nowhere";
    }
  }
}

void NamesWorld::expect_as_before(const std::string& what) { EXPECT_EQ(difference(before), "") << what; }

}  // namespace mlxcache::crash
