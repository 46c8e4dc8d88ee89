#pragma once
// Handles of MemoryFileSystem. Private to this room.
#include <cstdio>
#include <cstdlib>

#include "mlxbase/testing/memory_file_system.h"

namespace mlxbase::testing {

/// The value, or the end of the test program: for steps that cannot fail unless the test is wrong.
template <class T>
T value_or_die(Result<T> result) {
  if (!result) std::fprintf(stderr, "MemoryFileSystem: %s\n", result.error().message.c_str()), std::abort();
  return std::move(*result);
}
#define TRY_OR_DIE(...) ::mlxbase::testing::value_or_die(__VA_ARGS__)

class MemoryFileSystem::MemoryFile final : public os::File {
 public:
  MemoryFile(MemoryFileSystem& fs, Node node, bool for_writing) : fs_(fs), node_(std::move(node)), for_writing_(for_writing) {}
  Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override;
  Status pwrite(std::uint64_t offset, std::span<const std::byte> in) override;
  Status truncate(std::uint64_t size) override;
  Status sync() override;
  Result<os::FileStat> stat() override;
  Result<os::Metadata> metadata() override;
  Result<std::vector<std::string>> set_metadata(const os::Metadata& metadata) override;
  Result<std::vector<os::Extent>> extents() override;
  Result<os::Sharing> sharing() override;
  Result<std::vector<os::Extent>> data_runs() override;
  const Node& node() const { return node_; }

 private:
  MemoryFileSystem& fs_;
  Node node_;
  bool for_writing_;
};

class MemoryFileSystem::MemoryGuard final : public os::WriteGuard {
 public:
  MemoryGuard(MemoryFileSystem& fs, Node node) : fs_(fs), node_(std::move(node)) { ++node_->guards; }
  MemoryGuard(const MemoryGuard&) = delete;
  MemoryGuard& operator=(const MemoryGuard&) = delete;
  ~MemoryGuard() override;
  bool broken() override { return held_by_kernel() ? node_->guard_broken : node_->held_for_writing; }
  bool held_by_kernel() const override { return fs_.volumes_[node_->id.device].kernel_leases; }

 private:
  MemoryFileSystem& fs_;
  Node node_;
};

class MemoryFileSystem::MemoryLock final : public os::Lock {
 public:
  explicit MemoryLock(Node node) : node_(std::move(node)) { node_->locked = true; }
  MemoryLock(const MemoryLock&) = delete;
  MemoryLock& operator=(const MemoryLock&) = delete;
  ~MemoryLock() override { node_->locked = false; }

 private:
  Node node_;
};

}  // namespace mlxbase::testing
