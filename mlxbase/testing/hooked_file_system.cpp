#include "mlxbase/testing/hooked_file_system.h"

#include <fmt/format.h>

namespace mlxbase::testing {

using os::Follow;

class HookedFileSystem::HookedFile final : public os::File {
 public:
  HookedFile(HookedFileSystem& fs, std::unique_ptr<os::File> inner, std::string path) : fs_(fs), inner_(std::move(inner)), path_(std::move(path)) {}
  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override {
    TRY(fs_.before("pread", path_, false));
    return inner_->pread(offset, out);
  }
  Status pwrite(std::uint64_t offset, std::span<const std::byte> in) override {
    TRY(fs_.before("pwrite", path_, true));
    return inner_->pwrite(offset, in);
  }
  Status truncate(std::uint64_t size) override {
    TRY(fs_.before("truncate", path_, true));
    return inner_->truncate(size);
  }
  Status allocate(std::uint64_t size) override {
    TRY(fs_.before("allocate", path_, true));
    return inner_->allocate(size);
  }
  Status sync() override {
    TRY(fs_.before("sync", path_, false));
    return inner_->sync();
  }
  Result<os::FileStat> stat() override {
    TRY(fs_.before("fstat", path_, false));
    return inner_->stat();
  }
  Result<os::Metadata> metadata() override {
    TRY(fs_.before("fmetadata", path_, false));
    return inner_->metadata();
  }
  Result<std::vector<std::string>> set_metadata(const os::Metadata& metadata) override {
    TRY(fs_.before("set_metadata", path_, true));
    return inner_->set_metadata(metadata);
  }
  Result<std::vector<os::Extent>> extents() override {
    TRY(fs_.before("extents", path_, false));
    return inner_->extents();
  }
  Result<os::Sharing> sharing() override {
    TRY(fs_.before("sharing", path_, false));
    return inner_->sharing();
  }
  Result<std::vector<os::Extent>> data_runs() override {
    TRY(fs_.before("data_runs", path_, false));
    return inner_->data_runs();
  }
  void advise_sequential() override { inner_->advise_sequential(); }
  void advise_done(std::uint64_t offset, std::uint64_t length) override { inner_->advise_done(offset, length); }
  int descriptor() const override { return inner_->descriptor(); }

  os::File& inner() { return *inner_; }
  const std::string& path() const { return path_; }

 private:
  HookedFileSystem& fs_;
  std::unique_ptr<os::File> inner_;
  std::string path_;
};

Status HookedFileSystem::before(std::string_view name, const std::string& path, bool changes, const std::string& other) {
  const Call call{calls_++, name, path, other, changes};
  return hook_ ? hook_(call) : Status{};
}

Result<std::unique_ptr<os::File>> HookedFileSystem::wrap(Result<std::unique_ptr<os::File>> file, const std::string& path) {
  if (!file) return file;
  return std::make_unique<HookedFile>(*this, std::move(*file), path);
}

Result<os::FileStat> HookedFileSystem::stat(const std::string& path, Follow follow) {
  TRY(before("stat", path, false));
  return inner_.stat(path, follow);
}
Result<std::vector<os::DirEntry>> HookedFileSystem::list(const std::string& dir) {
  TRY(before("list", dir, false));
  return inner_.list(dir);
}
Result<std::string> HookedFileSystem::read_link(const std::string& path) {
  TRY(before("read_link", path, false));
  return inner_.read_link(path);
}
Result<std::string> HookedFileSystem::real_path(const std::string& path) {
  TRY(before("real_path", path, false));
  return inner_.real_path(path);
}
Result<std::unique_ptr<os::File>> HookedFileSystem::open_read(const std::string& path, Follow follow) {
  TRY(before("open_read", path, false));
  return wrap(inner_.open_read(path, follow), path);
}
Result<std::unique_ptr<os::File>> HookedFileSystem::open_write(const std::string& path) {
  TRY(before("open_write", path, false));
  return wrap(inner_.open_write(path), path);
}
Result<std::unique_ptr<os::File>> HookedFileSystem::create(const std::string& path, std::uint32_t mode) {
  TRY(before("create", path, true));
  return wrap(inner_.create(path, mode), path);
}
Status HookedFileSystem::make_dir(const std::string& path, std::uint32_t mode) {
  TRY(before("make_dir", path, true));
  return inner_.make_dir(path, mode);
}
Status HookedFileSystem::remove_dir(const std::string& path) {
  TRY(before("remove_dir", path, true));
  return inner_.remove_dir(path);
}
Status HookedFileSystem::unlink(const std::string& path) {
  TRY(before("unlink", path, true));
  return inner_.unlink(path);
}
Status HookedFileSystem::rename(const std::string& from, const std::string& to) {
  TRY(before("rename", from, true, to));
  return inner_.rename(from, to);
}
Status HookedFileSystem::rename_new(const std::string& from, const std::string& to) {
  TRY(before("rename_new", from, true, to));
  return inner_.rename_new(from, to);
}
Status HookedFileSystem::exchange(const std::string& a, const std::string& b) {
  TRY(before("exchange", a, true, b));
  return inner_.exchange(a, b);
}
Status HookedFileSystem::hard_link(const std::string& from, const std::string& to) {
  TRY(before("hard_link", from, true, to));
  return inner_.hard_link(from, to);
}
Status HookedFileSystem::make_symlink(const std::string& text, const std::string& path) {
  TRY(before("make_symlink", path, true, text));
  return inner_.make_symlink(text, path);
}
Status HookedFileSystem::clone_file(const std::string& from, const std::string& to) {
  TRY(before("clone_file", from, true, to));
  return inner_.clone_file(from, to);
}
Result<os::DedupeOutcome> HookedFileSystem::dedupe_range(os::File& source, std::uint64_t source_offset, os::File& target, std::uint64_t target_offset,
                                                         std::uint64_t length) {
  auto& from = static_cast<HookedFile&>(source);
  auto& to = static_cast<HookedFile&>(target);
  TRY(before("dedupe_range", from.path(), true, to.path()));
  return inner_.dedupe_range(from.inner(), source_offset, to.inner(), target_offset, length);
}
Result<os::Metadata> HookedFileSystem::metadata(const std::string& path) {
  TRY(before("metadata", path, false));
  return inner_.metadata(path);
}
Result<std::vector<std::string>> HookedFileSystem::set_link_metadata(const std::string& path, const os::Metadata& metadata) {
  TRY(before("set_link_metadata", path, true));
  return inner_.set_link_metadata(path, metadata);
}
Status HookedFileSystem::set_times(const std::string& path, std::int64_t atime_ns, std::int64_t mtime_ns) {
  TRY(before("set_times", path, true));
  return inner_.set_times(path, atime_ns, mtime_ns);
}
Status HookedFileSystem::sync_dir(const std::string& dir) {
  TRY(before("sync_dir", dir, false));
  return inner_.sync_dir(dir);
}
Result<std::unique_ptr<os::Lock>> HookedFileSystem::try_lock(const std::string& path, std::uint32_t mode) {
  TRY(before("try_lock", path, true));
  return inner_.try_lock(path, mode);
}
Result<std::unique_ptr<os::WriteGuard>> HookedFileSystem::guard_against_writers(os::File& file, const std::string& path) {
  TRY(before("guard_against_writers", path, false));
  return inner_.guard_against_writers(static_cast<HookedFile&>(file).inner(), path);
}
Result<os::VolumeFacts> HookedFileSystem::volume(const std::string& dir, bool probe) {
  TRY(before("volume", dir, probe));
  return inner_.volume(dir, probe);
}

RefusingFileSystem::RefusingFileSystem(os::FileSystem& inner, std::uint64_t nth, int os_errno, bool for_good) : HookedFileSystem(inner) {
  set_hook([this, nth, os_errno, for_good](const Call& call) -> Status {
    if (call.index != nth && !(for_good && call.index > nth)) return {};
    refused_ = true;
    return fail(errno_error(os_errno, fmt::format("{} {}", call.name, call.path)));
  });
}

RecordingFileSystem::RecordingFileSystem(os::FileSystem& inner) : HookedFileSystem(inner) {
  set_hook([this](const Call& call) -> Status {
    if (call.changes) changes_.push_back(call.other.empty() ? fmt::format("{} {}", call.name, call.path) : fmt::format("{} {} {}", call.name, call.path, call.other));
    return {};
  });
}

}  // namespace mlxbase::testing
