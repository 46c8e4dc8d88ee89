#pragma once
// A small home with copies in three stores, as values: built, changed, broken and compared in memory.
#include <map>
#include <string>
#include <vector>

#include "mlxbase/testing/crash_file_system.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/dedup/apply.h"

namespace mlxcache::crash {

namespace os = mlxbase::os;

inline constexpr const char* kHome = "/home/me/.mlxcache";
inline const std::string kSource = "/stores/a/model.bin";

/// One way of sharing on one kind of volume.
struct Way {
  const char* name;
  dedup::Method method;
  bool dedupe = true;    // the volume shares in place
  bool exchange = true;  // the volume swaps names
};
inline constexpr Way kWays[] = {
    {"dedupe", dedup::Method::dedupe},
    {"dedupe_falls_back_to_clone", dedup::Method::dedupe, false, true},
    {"clone", dedup::Method::clone},
    {"hard_link", dedup::Method::hard_link},
    {"symlink", dedup::Method::symlink},
    {"clone_without_exchange", dedup::Method::clone, true, false},
    {"hard_link_without_exchange", dedup::Method::hard_link, true, false},
};

/// What a name is, as a person would compare it before and after.
struct Seen {
  os::FileKind kind{};
  std::string bytes;
  os::Metadata metadata;
  std::vector<std::string> same_inode;  // all names of its inode
  friend bool operator==(const Seen&, const Seen&) = default;
};
using Picture = std::map<std::string, Seen>;

class World {
 public:
  explicit World(const Way& way);

  mlxbase::testing::CrashFileSystem fs;
  std::string bytes;                    // of every copy
  std::vector<std::string> targets;
  Picture original;

  dedup::Plan plan();
  mlxbase::Result<dedup::Applied> apply(os::FileSystem& through, const dedup::Plan& plan, const mlxbase::Cancel* cancel = nullptr);
  mlxbase::Result<dedup::Undone> undo(os::FileSystem& through);
  mlxbase::Result<dedup::Recovered> recover(os::FileSystem& through);

  /// Everything in the stores, without our own state.
  Picture picture();
  /// Names in the stores that were not there at first.
  std::vector<std::string> strangers();

  /// After recovery: every path opens with its bytes, nothing of ours lies about, and undo gives the very picture from before.
  /// Fails the running test with `what` otherwise.
  void expect_whole(const std::string& what);
  /// `parted`: an earlier undo said that names of one inode could only be given copies of their own.
  void expect_undo_restores(const std::string& what, bool parted = false);

 private:
  Way way_;
  os::Environment environment_;
  mlxbase::testing::FakeClock clock_;
};

}  // namespace mlxcache::crash
