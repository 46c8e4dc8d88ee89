#pragma once
// The disk as it will be: names that a plan removes are gone, files that it rewrites have their new text. So what the second removal of a
// plan has to do is asked of the state that the first one leaves. Nothing is ever written.
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxcache::keep {

class PlannedView final : public mlxbase::os::FileSystem {
 public:
  explicit PlannedView(mlxbase::os::FileSystem& real) : real_(real) {}

  void remove(const std::string& path) { removed_.insert(path); }
  void rewrite(const std::string& path, std::string content) { rewritten_[path] = std::move(content); }

  mlxbase::Result<mlxbase::os::FileStat> stat(const std::string& path, mlxbase::os::Follow follow) override;
  mlxbase::Result<std::vector<mlxbase::os::DirEntry>> list(const std::string& dir) override;
  mlxbase::Result<std::string> read_link(const std::string& path) override;
  mlxbase::Result<std::string> real_path(const std::string& path) override;
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_read(const std::string& path, mlxbase::os::Follow follow) override;
  mlxbase::Result<mlxbase::os::Metadata> metadata(const std::string& path) override { return real_.metadata(path); }
  mlxbase::Result<mlxbase::os::VolumeFacts> volume(const std::string& dir, bool /*probe*/) override { return real_.volume(dir, false); }

  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_write(const std::string&) override { return refuse(); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> create(const std::string&, std::uint32_t) override { return refuse(); }
  mlxbase::Status make_dir(const std::string&, std::uint32_t) override { return refuse(); }
  mlxbase::Status remove_dir(const std::string&) override { return refuse(); }
  mlxbase::Status unlink(const std::string&) override { return refuse(); }
  mlxbase::Status rename(const std::string&, const std::string&) override { return refuse(); }
  mlxbase::Status exchange(const std::string&, const std::string&) override { return refuse(); }
  mlxbase::Status hard_link(const std::string&, const std::string&) override { return refuse(); }
  mlxbase::Status make_symlink(const std::string&, const std::string&) override { return refuse(); }
  mlxbase::Status clone_file(const std::string&, const std::string&) override { return refuse(); }
  mlxbase::Result<mlxbase::os::DedupeOutcome> dedupe_range(mlxbase::os::File&, std::uint64_t, mlxbase::os::File&, std::uint64_t, std::uint64_t) override {
    return refuse();
  }
  mlxbase::Result<std::vector<std::string>> set_link_metadata(const std::string&, const mlxbase::os::Metadata&) override { return refuse(); }
  mlxbase::Status set_times(const std::string&, std::int64_t, std::int64_t) override { return refuse(); }
  mlxbase::Status sync_dir(const std::string&) override { return refuse(); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::Lock>> try_lock(const std::string& path, std::uint32_t mode) override { return real_.try_lock(path, mode); }
  mlxbase::Result<std::unique_ptr<mlxbase::os::WriteGuard>> guard_against_writers(mlxbase::os::File& file, const std::string& path) override {
    return real_.guard_against_writers(file, path);
  }

 private:
  static std::unexpected<mlxbase::Error> refuse() { return mlxbase::fail(mlxbase::Code::unsupported, "a plan only looks"); }
  bool is_removed(const std::string& path) const;
  mlxbase::Status missing(const std::string& path) const;

  mlxbase::os::FileSystem& real_;
  std::set<std::string> removed_;
  std::map<std::string, std::string> rewritten_;
};

}  // namespace mlxcache::keep
