#include "mlxcache/keep/planned_view.h"

#include <algorithm>
#include <cstring>

#include "mlxbase/core/path.h"

namespace mlxcache::keep {
namespace {

namespace os = mlxbase::os;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

/// A text as if it were in the file already.
class RewrittenFile final : public os::File {
 public:
  RewrittenFile(std::unique_ptr<os::File> old, std::string content) : old_(std::move(old)), content_(std::move(content)) {}
  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override {
    if (offset >= content_.size()) return std::size_t{0};
    const std::size_t n = std::min<std::size_t>(out.size(), content_.size() - static_cast<std::size_t>(offset));
    if (n > 0) std::memcpy(out.data(), content_.data() + offset, n);
    return n;
  }
  Status pwrite(std::uint64_t, std::span<const std::byte>) override { return refuse(); }
  Status truncate(std::uint64_t) override { return refuse(); }
  Status sync() override { return refuse(); }
  Result<os::FileStat> stat() override {
    auto stat = TRY(old_->stat());
    stat.size = content_.size();
    return stat;
  }
  Result<os::Metadata> metadata() override { return old_->metadata(); }
  Result<std::vector<std::string>> set_metadata(const os::Metadata&) override { return refuse(); }
  Result<std::vector<os::Extent>> extents() override { return refuse(); }
  Result<os::Sharing> sharing() override { return refuse(); }
  Result<std::vector<os::Extent>> data_runs() override { return refuse(); }

 private:
  static std::unexpected<mlxbase::Error> refuse() { return fail(Code::unsupported, "a plan only looks"); }
  std::unique_ptr<os::File> old_;
  std::string content_;
};

}  // namespace

bool PlannedView::is_removed(const std::string& p) const {
  if (removed_.empty()) return false;
  // A name below a folder that goes is gone too.
  for (std::string at = path::normal(p); at.size() > 1; at = std::string(path::parent(at))) {
    if (removed_.contains(at)) return true;
  }
  return false;
}

Status PlannedView::missing(const std::string& p) const {
  if (is_removed(p)) return fail(Code::not_found, p + ": no such file");
  return {};
}

Result<os::FileStat> PlannedView::stat(const std::string& p, os::Follow follow) {
  TRY(missing(p));
  auto stat = TRY(real_.stat(p, follow));
  if (follow == os::Follow::yes && !removed_.empty()) {
    if (auto real = real_.real_path(p)) TRY(missing(*real));
  }
  if (const auto text = rewritten_.find(p); text != rewritten_.end()) stat.size = text->second.size();
  return stat;
}

Result<std::vector<os::DirEntry>> PlannedView::list(const std::string& dir) {
  TRY(missing(dir));
  auto entries = TRY(real_.list(dir));
  std::erase_if(entries, [&](const os::DirEntry& e) { return removed_.contains(path::join(dir, e.name)); });
  return entries;
}

Result<std::string> PlannedView::read_link(const std::string& p) {
  TRY(missing(p));
  return real_.read_link(p);
}

Result<std::string> PlannedView::real_path(const std::string& p) {
  TRY(missing(p));
  auto real = TRY(real_.real_path(p));
  TRY(missing(real));
  return real;
}

Result<std::unique_ptr<os::File>> PlannedView::open_read(const std::string& p, os::Follow follow) {
  TRY(missing(p));
  auto file = TRY(real_.open_read(p, follow));
  if (follow == os::Follow::yes && !removed_.empty()) {
    if (auto real = real_.real_path(p)) TRY(missing(*real));
  }
  if (const auto text = rewritten_.find(p); text != rewritten_.end()) return std::make_unique<RewrittenFile>(std::move(file), text->second);
  return file;
}

}  // namespace mlxcache::keep
