#pragma once
// A whole file system in memory: inodes with several names, symlinks, blocks that files share, locks, leases, and (for
// CrashFileSystem) what of all that would survive a loss of power. Not for two threads at once.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxbase::testing {

/// What the volume of a device can do.
struct VolumeAbilities {
  bool clone = true;
  bool dedupe = true;
  bool exchange = true;
  bool rename_new = true;           // false: a second name and the removal of the first, two steps
  bool hard_links = true;
  bool symlinks = true;
  bool read_only = false;
  bool kernel_leases = true;        // false: writers are not held off, only looked for
  std::uint64_t free_bytes = std::uint64_t{1} << 40U;
  std::uint64_t max_links = 65000;
};

class MemoryFileSystem : public os::FileSystem {
 public:
  static constexpr std::uint64_t kBlock = 4096;

  MemoryFileSystem();
  ~MemoryFileSystem() override;

  /// Abilities of a device (1 is that of "/").
  VolumeAbilities& volume_of(std::uint64_t device = 1) { return volumes_[device]; }
  /// Makes the folder `path` (its parent exists) the root of another device.
  void mount(const std::string& path, std::uint64_t device);
  /// The user this program runs as; only 0 may give files away.
  std::uint32_t uid = 1000;

  // What a test, or the tool that owns the files, does. These fail the test (abort) where they cannot.
  /// Makes the folders above, and the file, or gives the existing inode other bytes.
  void put(const std::string& path, std::string_view content);
  std::string content(const std::string& path);
  bool exists(const std::string& path);
  /// Every name below `dir` (absolute paths, sorted), folders left out.
  std::vector<std::string> names_below(const std::string& dir);
  /// Another program opens the file for writing, writes `content` (of the same length, or longer) and closes it. While a kernel lease is held
  /// it waits in open(): the guard is broken, and the bytes are written when the guard is gone.
  void owner_writes_in_place(const std::string& path, std::string_view content);
  /// Another program has it open for writing from now on, or no longer.
  void owner_holds_for_writing(const std::string& path, bool holds);
  /// Another program puts a new file over the name, as a download does.
  void owner_replaces(const std::string& path, std::string_view content);
  /// Sets an inode's owner.
  void give_to(const std::string& path, std::uint32_t owner);

  Result<os::FileStat> stat(const std::string& path, os::Follow follow) override;
  Result<std::vector<os::DirEntry>> list(const std::string& dir) override;
  Result<std::string> read_link(const std::string& path) override;
  Result<std::string> real_path(const std::string& path) override;
  Result<std::unique_ptr<os::File>> open_read(const std::string& path, os::Follow follow) override;
  Result<std::unique_ptr<os::File>> open_write(const std::string& path) override;
  Result<std::unique_ptr<os::File>> create(const std::string& path, std::uint32_t mode) override;
  Status make_dir(const std::string& path, std::uint32_t mode) override;
  Status remove_dir(const std::string& path) override;
  Status unlink(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status rename_new(const std::string& from, const std::string& to) override;
  Status exchange(const std::string& a, const std::string& b) override;
  Status hard_link(const std::string& from, const std::string& to) override;
  Status make_symlink(const std::string& text, const std::string& path) override;
  Status clone_file(const std::string& from, const std::string& to) override;
  Result<os::DedupeOutcome> dedupe_range(os::File& source, std::uint64_t source_offset, os::File& target, std::uint64_t target_offset,
                                         std::uint64_t length) override;
  Result<os::Metadata> metadata(const std::string& path) override;
  Result<std::vector<std::string>> set_link_metadata(const std::string& path, const os::Metadata& metadata) override;
  Status set_times(const std::string& path, std::int64_t atime_ns, std::int64_t mtime_ns) override;
  Status sync_dir(const std::string& dir) override;
  Result<std::unique_ptr<os::Lock>> try_lock(const std::string& path, std::uint32_t mode) override;
  Result<std::unique_ptr<os::WriteGuard>> guard_against_writers(os::File& file, const std::string& path) override;
  Result<os::VolumeFacts> volume(const std::string& dir, bool probe) override;

 protected:
  struct Inode;
  using Node = std::shared_ptr<Inode>;
  struct Block {
    std::uint64_t physical = 0;
    std::string bytes;  // kBlock of them
  };
  struct Content {
    std::uint64_t size = 0;
    std::vector<std::shared_ptr<const Block>> blocks;  // null is a hole
    std::string read(std::uint64_t offset, std::uint64_t length) const;
  };
  struct Inode {
    os::FileId id;
    os::FileKind kind{};
    os::Metadata metadata;
    std::int64_t ctime_ns = 0;
    std::uint64_t links = 0;
    Content content;
    std::string link_text;
    std::map<std::string, Node> entries;
    // What is on the device for certain, and what may have got there.
    bool synced = false;
    os::Metadata durable_metadata;
    Content durable_content;
    std::map<std::string, Node> durable_entries;
    std::map<std::string, std::vector<Node>> unsynced_entries;  // values a name has had since the last sync (null: none)
    // Other programs.
    int guards = 0;
    bool guard_broken = false;
    bool held_for_writing = false;
    std::vector<std::string> waiting_writes;
    bool locked = false;
  };
  class MemoryFile;
  class MemoryGuard;
  class MemoryLock;

  struct Place {
    Node dir;
    std::string name;
    Node node;  // null if there is none
  };
  Result<Place> find(const std::string& path, os::Follow follow, std::string* real = nullptr, int depth = 0);
  Result<Node> node_at(const std::string& path, os::Follow follow, std::string_view what);
  Result<Place> free_place(const std::string& path, std::string_view what);
  Node make_node(os::FileKind kind, std::uint64_t device, std::uint32_t mode);
  void set_entry(Inode& dir, const std::string& name, Node node);
  Status write(Inode& inode, std::uint64_t offset, std::string_view bytes);
  Status writable(const Inode& inode, std::string_view what);
  os::FileStat stat_of(const Inode& inode) const;
  std::uint64_t users_of(const Block* block) const;
  void for_each_inode(const std::function<void(Inode&)>& body) const;
  std::int64_t tick() { return now_ns_ += 1000; }

  Node root_;
  std::map<std::uint64_t, VolumeAbilities> volumes_;
  std::uint64_t next_inode_ = 100;
  std::uint64_t next_block_ = 1000;
  std::int64_t now_ns_ = 1'700'000'000'000'000'000;
};

}  // namespace mlxbase::testing
