#pragma once
// A vault in memory, and files to freeze. For tests only.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxbase/format/safetensors.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/testing/crash_file_system.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxcache/vault/freeze.h"
#include "mlxcache/vault/thaw.h"
#include "mlxcache/vault/vault.h"

namespace mlxcache::vault {

using Bytes = std::vector<std::byte>;

/// All names at or below `dir`, folders before what lies in them.
inline std::vector<std::string> walk(mlxbase::os::FileSystem& fs, const std::string& dir) {
  std::vector<std::string> out{dir};
  auto entries = fs.list(dir);
  if (!entries) return out;
  std::sort(entries->begin(), entries->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& e : *entries) {
    const std::string full = mlxbase::path::join(dir, e.name);
    if (fs.stat(full)->kind == mlxbase::os::FileKind::directory) {
      for (auto& below : walk(fs, full)) out.push_back(std::move(below));
    } else {
      out.push_back(full);
    }
  }
  return out;
}

class Bench {
 public:
  mlxbase::testing::CrashFileSystem memory;
  mlxbase::os::FileSystem& fs = memory;
  mlxbase::testing::FakeClock clock;
  mlxbase::os::Environment environment;
  std::string dir = "/home/vault";
  std::string home = "/home/state";

  Bench() {
    environment.home = "/home";
    (void)fs.make_dir("/home", 0755);
    (void)fs.make_dir("/model", 0755);
  }

  std::unique_ptr<Vault> writer() { return *Vault::open(fs, dir, Access::write); }
  std::unique_ptr<Vault> reader() { return *Vault::open(fs, dir, Access::read); }
  std::string only_pack() { return mlxbase::path::join(dir, "packs", fs.list(dir + "/packs")->front().name); }

  /// BF16 with the spread of weights.
  Bytes floats(std::size_t rows, std::size_t columns, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.02F);
    Bytes out(rows * columns * 2);
    for (std::size_t i = 0; i < rows * columns; ++i) put_bf16(out, i, normal(random));
    return out;
  }
  /// The same weights after a little training.
  Bytes nudged(const Bytes& base, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.0002F);
    Bytes out = base;
    for (std::size_t i = 0; i < base.size() / 2; ++i) put_bf16(out, i, bf16(base, i) + normal(random));
    return out;
  }
  Bytes noise(std::size_t n, unsigned seed) {
    std::mt19937 random(seed + 1000);
    Bytes out(n);
    for (auto& b : out) b = static_cast<std::byte>(random());
    return out;
  }
  static float bf16(const Bytes& b, std::size_t i) {
    std::uint16_t half = 0;
    std::memcpy(&half, b.data() + i * 2, 2);
    const std::uint32_t bits = std::uint32_t{half} << 16U;
    float f = 0;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  static void put_bf16(Bytes& b, std::size_t i, float f) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &f, 4);
    const auto half = static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U);
    std::memcpy(b.data() + i * 2, &half, 2);
  }

  /// Each with 256 columns where that fits, BF16; else bytes.
  static Bytes safetensors(const std::vector<std::pair<std::string, Bytes>>& tensors) {
    mlxbase::safetensors::Header header;
    std::uint64_t at = 0;
    Bytes data;
    for (const auto& [name, bytes] : tensors) {
      mlxbase::safetensors::Tensor t;
      t.name = name;
      if (bytes.size() % 512 == 0) {
        t.dtype = mlxbase::safetensors::Dtype::bf16;
        t.shape = {bytes.size() / 512, 256};
      } else {
        t.dtype = mlxbase::safetensors::Dtype::u8;
        t.shape = {bytes.size()};
      }
      t.begin = at;
      at += bytes.size();
      t.end = at;
      header.tensors.push_back(t);
      data.insert(data.end(), bytes.begin(), bytes.end());
    }
    Bytes out = mlxbase::safetensors::encode_header(header);
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }

  void write(const std::string& path, std::span<const std::byte> bytes) {
    ASSERT_TRUE(mlxbase::os::make_dirs(fs, std::string(mlxbase::path::parent(path))));
    (void)fs.unlink(path);
    auto file = fs.create(path, 0644);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->pwrite(0, bytes));
  }
  Bytes content(const std::string& path) {
    const auto text = mlxbase::os::read_small_file(fs, path, std::uint64_t{1} << 30U);
    if (!text) return {};
    const auto bytes = mlxbase::as_bytes(*text);
    return {bytes.begin(), bytes.end()};
  }

  Subject subject(const std::string& folder) { return {folder, "", "", folder, walk(fs, folder)}; }
  Means means(unsigned workers = 1) { return {fs, clock, mlxbase::no_progress(), nullptr, workers}; }
  change::Machinery machinery() { return {context_, home, clock, mlxbase::no_progress(), nullptr, "test"}; }

  /// Freezes the folder, thaws it to /back, and compares everything that belongs to its names.
  void expect_round_trip(const std::string& folder) {
    FrozenModel model;
    {
      auto vault = writer();
      auto frozen = freeze(*vault, subject(folder), means());
      ASSERT_TRUE(frozen) << frozen.error().message;
      ASSERT_TRUE(vault->add_model(frozen->model));
      ASSERT_TRUE(read_back(*vault, frozen->model, means()));
    }
    auto vault = reader();
    std::vector<Damaged> damaged;
    ASSERT_TRUE(vault->each_model([&](ModelFile& m) -> mlxbase::Status {
      model = m.model;
      return {};
    }, damaged));
    const auto m = machinery();
    const auto thawed = thaw(*vault, model, target_of(model, "/back"), m, 1);
    ASSERT_TRUE(thawed) << thawed.error().message;
    expect_equal(folder, "/back");
  }
  void expect_equal(const std::string& was, const std::string& is) {
    const auto before = walk(fs, was);
    ASSERT_EQ(walk(fs, is).size(), before.size());
    for (const std::string& p : before) {
      if (p == was) continue;
      const std::string q = mlxbase::path::join(is, mlxbase::path::relative_to(was, p));
      const auto now = fs.stat(q);
      ASSERT_TRUE(now) << q;
      const auto then = *fs.stat(p);
      EXPECT_EQ(now->kind, then.kind) << q;
      EXPECT_EQ(now->mode, then.mode) << q;
      EXPECT_EQ(now->mtime_ns, then.mtime_ns) << q;
      if (then.kind == mlxbase::os::FileKind::symlink) {
        EXPECT_EQ(*fs.read_link(q), *fs.read_link(p));
      }
      if (then.kind != mlxbase::os::FileKind::regular) continue;
      EXPECT_EQ(content(q), content(p)) << q;
      EXPECT_EQ(fs.metadata(q)->attributes, fs.metadata(p)->attributes) << q;
    }
  }

 private:
  stores::Context context_{fs, environment, nullptr};
};

}  // namespace mlxcache::vault
