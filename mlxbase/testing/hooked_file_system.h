#pragma once
// Asks before every call, of the file system and of the files it opened. What the tests for failures, kills, races and
// records are made of; wrappers stack.
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxbase::testing {

struct Call {
  std::uint64_t index = 0;   // counts from 0
  std::string_view name;     // "rename", "pwrite", …
  std::string path;
  std::string other;         // the second path, where there are two
  bool changes = false;      // may change the disk
};

class HookedFileSystem : public os::FileSystem {
 public:
  /// Returns the failure that the call shall have instead of being made.
  using Hook = std::function<Status(const Call&)>;
  explicit HookedFileSystem(os::FileSystem& inner, Hook hook = {}) : inner_(inner), hook_(std::move(hook)) {}
  void set_hook(Hook hook) { hook_ = std::move(hook); }
  std::uint64_t calls() const { return calls_; }

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

 private:
  class HookedFile;
  Status before(std::string_view name, const std::string& path, bool changes, const std::string& other = {});
  Result<std::unique_ptr<os::File>> wrap(Result<std::unique_ptr<os::File>> file, const std::string& path);

  os::FileSystem& inner_;
  Hook hook_;
  std::atomic<std::uint64_t> calls_{0};  // verify and scan read with several threads
};

/// The n-th call fails with an errno; with `for_good` every later one too, as if the program had ended there.
class RefusingFileSystem final : public HookedFileSystem {
 public:
  RefusingFileSystem(os::FileSystem& inner, std::uint64_t nth, int os_errno, bool for_good = false);
  bool refused() const { return refused_; }

 private:
  bool refused_ = false;
};

/// Keeps the calls that may change the disk, as "rename /a /b", so that a test can claim that there were none.
class RecordingFileSystem final : public HookedFileSystem {
 public:
  explicit RecordingFileSystem(os::FileSystem& inner);
  const std::vector<std::string>& changes() const { return changes_; }

 private:
  std::vector<std::string> changes_;
};

}  // namespace mlxbase::testing
