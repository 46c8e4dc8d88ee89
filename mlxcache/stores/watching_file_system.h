#pragma once
// For tests of adapters: reads go to the real disk and are remembered, changes are refused and counted.
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxcache::stores {

class WatchingFileSystem final : public mlxbase::os::FileSystem {
  using P = const std::string&;
  template <class T>
  using Result = mlxbase::Result<T>;
  using Status = mlxbase::Status;

 public:
  std::set<std::string> opened;       // files whose bytes were asked for, by their real paths
  std::set<std::string> looked_into;  // folders that were listed
  std::vector<std::string> changed;   // what somebody tried to change
  std::set<std::string> unreadable;   // folders and files that refuse

  Result<mlxbase::os::FileStat> stat(P path, mlxbase::os::Follow follow) override { return real_.stat(path, follow); }
  Result<std::vector<mlxbase::os::DirEntry>> list(P dir) override {
    remember(looked_into, real_name(dir));
    if (unreadable.contains(dir)) return mlxbase::fail(mlxbase::Code::permission, "refused by the test", 13);
    return real_.list(dir);
  }
  Result<std::string> read_link(P path) override { return real_.read_link(path); }
  Result<std::string> real_path(P path) override { return real_.real_path(path); }
  Result<std::unique_ptr<mlxbase::os::File>> open_read(P path, mlxbase::os::Follow follow) override {
    remember(opened, real_name(path));
    if (unreadable.contains(path)) return mlxbase::fail(mlxbase::Code::permission, "refused by the test", 13);
    return real_.open_read(path, follow);
  }
  Result<std::unique_ptr<mlxbase::os::File>> open_write(P path) override { return refuse(path); }
  Result<std::unique_ptr<mlxbase::os::File>> create(P path, std::uint32_t) override { return refuse(path); }
  Status make_dir(P path, std::uint32_t) override { return refuse(path); }
  Status remove_dir(P path) override { return refuse(path); }
  Status unlink(P path) override { return refuse(path); }
  Status rename(P from, P) override { return refuse(from); }
  Status exchange(P a, P) override { return refuse(a); }
  Status hard_link(P, P to) override { return refuse(to); }
  Status make_symlink(P, P path) override { return refuse(path); }
  Status clone_file(P, P to) override { return refuse(to); }
  Result<mlxbase::os::DedupeOutcome> dedupe_range(mlxbase::os::File&, std::uint64_t, mlxbase::os::File&, std::uint64_t,
                                                  std::uint64_t) override {
    return refuse("a range");
  }
  Result<mlxbase::os::Metadata> metadata(P path) override { return real_.metadata(path); }
  Result<std::vector<std::string>> set_link_metadata(P path, const mlxbase::os::Metadata&) override { return refuse(path); }
  Status set_times(P path, std::int64_t, std::int64_t) override { return refuse(path); }
  Status sync_dir(P dir) override { return refuse(dir); }
  Result<std::unique_ptr<mlxbase::os::Lock>> try_lock(P path, std::uint32_t) override { return refuse(path); }
  Result<std::unique_ptr<mlxbase::os::WriteGuard>> guard_against_writers(mlxbase::os::File&, P path) override { return refuse(path); }
  Result<mlxbase::os::VolumeFacts> volume(P dir, bool probe) override { return real_.volume(dir, probe); }

 private:
  std::string real_name(P path) {
    const auto real = real_.real_path(path);
    return real ? *real : path;
  }
  void remember(std::set<std::string>& where, P what) {
    const std::lock_guard lock(mutex_);
    where.insert(what);
  }
  std::unexpected<mlxbase::Error> refuse(P path) {
    const std::lock_guard lock(mutex_);
    changed.push_back(path);
    return mlxbase::fail(mlxbase::Code::permission, "adapters only read");
  }

  std::mutex mutex_;
  mlxbase::os::FileSystem& real_ = mlxbase::os::real_file_system();
};

}  // namespace mlxcache::stores
