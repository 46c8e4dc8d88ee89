#pragma once
// For this room's tests: a real folder, stores made by hand in it, and a file system that counts what is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/clock.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/testing/hooked_file_system.h"
#include "mlxcache/group/group.h"
#include "mlxcache/group/inodes.h"

namespace mlxcache::group {

/// The machine's clock, moved into the future, so that files just written are not "too fresh to be remembered".
class LaterClock final : public mlxbase::Clock {
 public:
  std::int64_t ahead_ns = std::int64_t{60} * 1'000'000'000;
  std::int64_t wall_ns() override { return mlxbase::system_clock().wall_ns() + ahead_ns; }
  std::int64_t steady_ns() override { return mlxbase::system_clock().steady_ns(); }
};

/// The real disk, as if nothing of it were in the cache (what HookedFileSystem's files say).
class ColdFileSystem final : public mlxbase::testing::HookedFileSystem {
 public:
  ColdFileSystem() : HookedFileSystem(mlxbase::os::real_file_system()) {}
};

/// A file of the real disk, to be told otherwise in some respect by a test.
class RetoldFile : public mlxbase::os::File {
 public:
  explicit RetoldFile(std::unique_ptr<mlxbase::os::File> inner) : inner_(std::move(inner)) {}
  mlxbase::Result<std::size_t> pread(std::uint64_t offset, std::span<std::byte> out) override { return inner_->pread(offset, out); }
  mlxbase::Status pwrite(std::uint64_t, std::span<const std::byte>) override { return refuse(); }
  mlxbase::Status truncate(std::uint64_t) override { return refuse(); }
  mlxbase::Status sync() override { return refuse(); }
  mlxbase::Result<mlxbase::os::FileStat> stat() override { return inner_->stat(); }
  mlxbase::Result<mlxbase::os::Metadata> metadata() override { return inner_->metadata(); }
  mlxbase::Result<std::vector<std::string>> set_metadata(const mlxbase::os::Metadata&) override { return std::vector<std::string>{}; }
  mlxbase::Result<std::vector<mlxbase::os::Extent>> extents() override { return inner_->extents(); }
  mlxbase::Result<mlxbase::os::Sharing> sharing() override { return inner_->sharing(); }
  mlxbase::Result<std::vector<mlxbase::os::Extent>> data_runs() override { return inner_->data_runs(); }

 private:
  static mlxbase::Status refuse() { return mlxbase::fail(mlxbase::Code::invalid, "a search for duplicates writes nothing"); }
  std::unique_ptr<mlxbase::os::File> inner_;
};

/// The real disk, as if all of it were in the cache.
class WarmFileSystem final : public mlxbase::testing::HookedFileSystem {
 public:
  WarmFileSystem() : HookedFileSystem(mlxbase::os::real_file_system()) {}
  mlxbase::Result<std::unique_ptr<mlxbase::os::File>> open_read(const std::string& path, mlxbase::os::Follow follow) override {
    return std::make_unique<WarmFile>(TRY(mlxbase::os::real_file_system().open_read(path, follow)));
  }

 private:
  class WarmFile final : public RetoldFile {
   public:
    using RetoldFile::RetoldFile;
    bool in_cache(std::uint64_t) override { return true; }
  };
};

class GroupFixture : public testing::Test {
 protected:
  GroupFixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mlx-group-XXXXXX").string();
    dir = ::mkdtemp(pattern.data());
  }
  ~GroupFixture() override { std::filesystem::remove_all(dir); }

  /// `size` bytes that follow from `seed`, the same every time.
  static std::string noise(std::size_t size, std::uint64_t seed) {
    std::string out(size, '\0');
    std::uint64_t x = seed * 0x9E3779B97F4A7C15ULL + 1;
    for (auto& c : out) {
      x ^= x << 13U, x ^= x >> 7U, x ^= x << 17U;
      c = static_cast<char>(x);
    }
    return out;
  }
  static mlxbase::Digest sha256_of(const std::string& bytes) { return digest_of(mlxbase::Algorithm::sha256, bytes); }
  static mlxbase::Digest digest_of(mlxbase::Algorithm algorithm, const std::string& bytes) {
    mlxbase::Hasher hasher(algorithm, bytes.size());
    hasher.update(mlxbase::as_bytes(bytes));
    return hasher.finish();
  }

  std::string path(const std::string& name) const { return dir + "/" + name; }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary | std::ios::trunc) << bytes;
  }

  struct Name {
    std::string name;
    std::vector<mlxbase::Digest> claims = {};
    catalog::Role role = catalog::Role::payload;
  };
  /// An inventory with one listing of these names (a name with several claims is listed once a claim).
  catalog::Inventory list(const std::vector<Name>& names) const { return list_stores({names}); }
  catalog::Inventory list_stores(const std::vector<std::vector<Name>>& stores) const {
    catalog::Inventory inventory;
    for (const auto& names : stores) {
      auto& listing = inventory.listings.emplace_back();
      listing.root.path = dir;
      for (const auto& n : names) {
        catalog::Entry entry;
        entry.path = path(n.name);
        entry.stat = mlxbase::os::real_file_system().stat(entry.path).value();
        entry.role = n.role;
        listing.entries.push_back(entry);
        for (std::size_t c = 0; c < n.claims.size(); ++c) {
          if (c > 0) listing.entries.push_back(entry);
          listing.entries.back().claim = n.claims[c];
        }
      }
    }
    build_inodes(inventory);
    return inventory;
  }

  mlxbase::Status find(catalog::Inventory& inventory) { return find(inventory, mlxbase::os::real_file_system()); }
  mlxbase::Status find(catalog::Inventory& inventory, mlxbase::os::FileSystem& fs) {
    return find_groups(fs, catalog, inventory, options, clock, mlxbase::no_progress());
  }

  /// Names of each group, sorted.
  static std::vector<std::vector<std::string>> groups(const catalog::Inventory& inventory) {
    std::vector<std::vector<std::string>> out;
    for (const auto& group : inventory.groups) {
      auto& names = out.emplace_back();
      for (const auto i : group.inodes) names.push_back(std::filesystem::path(inventory.entry(inventory.inodes[i].names.front()).path).filename());
      std::sort(names.begin(), names.end());
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  using Groups = std::vector<std::vector<std::string>>;

  std::string dir;
  LaterClock clock;
  Options options{.workers = 2};
  catalog::Catalog catalog = catalog::Catalog::in_memory().value();
};

}  // namespace mlxcache::group
