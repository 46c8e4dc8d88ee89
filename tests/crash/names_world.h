#pragma once
// A small machine with three tools, and changes of names in their stores as values: built, carried out, broken and compared in memory.
#include <map>
#include <string>
#include <vector>

#include "mlxbase/testing/crash_file_system.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxcache/change/change.h"
#include "mlxcache/change/recover.h"
#include "mlxcache/dedup/apply.h"

namespace mlxcache::crash {

/// One thing that a person does, on one kind of volume.
struct Deed {
  const char* name;
  const char* what;        // hub, ollama, remove, registry, adopt
  bool exchange = true;    // the volume swaps names
  bool rename_new = true;  // it renames without replacing
  bool clone = true;
};
inline constexpr Deed kDeeds[] = {
    {"publish_into_the_hub", "hub"},
    {"publish_into_ollama", "ollama"},
    {"publish_where_nothing_clones", "ollama", true, true, false},
    {"remove_a_model", "remove"},
    {"remove_where_names_are_renamed_in_two_steps", "remove", true, false},
    {"rewrite_a_registry", "registry"},
    {"rewrite_a_registry_without_exchange", "registry", false},
    {"adopt_a_download", "adopt"},
};

/// What a name is, as a person would compare it before and after.
struct Name {
  mlxbase::os::FileKind kind{};
  std::uint64_t inode = 0;
  std::string bytes;
  std::vector<std::string> same_inode;
  friend bool operator==(const Name&, const Name&) = default;
};
using Names = std::map<std::string, Name>;

class NamesWorld {
 public:
  explicit NamesWorld(const Deed& deed);

  mlxbase::testing::CrashFileSystem fs;
  Names before;

  change::Plan plan();
  mlxbase::Result<change::Done> carry_out(mlxbase::os::FileSystem& through, const change::Plan& plan, const mlxbase::Cancel* cancel = nullptr);
  mlxbase::Result<change::Undone> undo(mlxbase::os::FileSystem& through);
  mlxbase::Result<change::Recovered> recover(mlxbase::os::FileSystem& through);
  mlxbase::Result<std::vector<change::Trashed>> empty(mlxbase::os::FileSystem& through);

  /// Everything in the stores and the trash, less lock files (tools leave them too).
  Names names();
  /// Recovers as often as it takes, and claims that a second recovery has nothing to do.
  void recovered(const std::string& what);
  /// Bytes that were on the disk before are still there, wherever: nothing was lost.
  void expect_bytes_somewhere(const std::string& what);
  void expect_as_before(const std::string& what);
  /// How names differ from those of before, for people; empty if they do not.
  std::string difference(const Names& wanted);

 private:
  catalog::Fingerprint state(const std::string& path);
  change::Change make(change::Kind kind, catalog::StoreKind store, const std::string& root, const std::string& path);

  Deed deed_;
  mlxbase::os::Environment environment_;
  mlxbase::testing::FakeClock clock_;
};

}  // namespace mlxcache::crash
