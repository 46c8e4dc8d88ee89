#include "mlxcache/vault/vault.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/safetensors.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/testing/fake_clock.h"
#include "mlxbase/testing/memory_file_system.h"
#include "mlxcache/vault/cut.h"
#include "mlxcache/vault/freeze.h"
#include "mlxcache/vault/thaw.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;

TEST(Vault, GivesBackWhatWasPutUnderItsDigest) {
  Bench b;
  const auto bytes = b.floats(64, 256, 1);
  {
    auto vault = b.writer();
    const auto put = vault->put(digest_of(bytes), bytes, {Dtype::bf16, 0, 256});
    ASSERT_TRUE(put) << put.error().message;
    EXPECT_FALSE(put->known);
    EXPECT_EQ(*vault->read(digest_of(bytes)), bytes) << "before it is published";
    EXPECT_TRUE(vault->put(digest_of(bytes), bytes, {})->known);
    ASSERT_TRUE(vault->publish());
  }
  auto vault = b.reader();
  EXPECT_EQ(*vault->read(digest_of(bytes)), bytes);
  EXPECT_THAT(vault->damaged(), testing::IsEmpty());
}

TEST(Vault, HasOneWriterAtATime) {
  Bench b;
  auto first = b.writer();
  const auto second = Vault::open(b.fs, b.dir, Access::write);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::busy);
}

TEST(Vault, ForgetsWhatWasNotPublished) {
  Bench b;
  const auto bytes = b.floats(64, 256, 1);
  { ASSERT_TRUE(b.writer()->put(digest_of(bytes), bytes, {})); }
  EXPECT_FALSE(b.reader()->find(digest_of(bytes)));
  EXPECT_THAT(*b.fs.list(b.dir + "/packs"), testing::IsEmpty()) << "nothing of it stays on the disk";
}

TEST(Vault, RebuildsTheIndexOfAPackFromItsRecords) {
  Bench b;
  const auto one = b.floats(64, 256, 1);
  const auto two = b.floats(64, 256, 2);
  {
    auto vault = b.writer();
    ASSERT_TRUE(vault->put(digest_of(one), one, {}));
    ASSERT_TRUE(vault->put(digest_of(two), two, {}));
    ASSERT_TRUE(vault->publish());
  }
  const std::string pack = b.only_pack();
  auto file = *b.fs.open_write(pack);
  ASSERT_TRUE(file->truncate(file->stat()->size - 10));
  auto vault = b.reader();
  EXPECT_THAT(vault->damaged(), testing::Not(testing::IsEmpty()));
  EXPECT_EQ(*vault->read(digest_of(one)), one);
  EXPECT_EQ(*vault->read(digest_of(two)), two);
}

TEST(Vault, NamesEveryFlippedByteAndReadsEverythingElse) {
  Bench b;
  std::vector<std::vector<std::byte>> objects;
  {
    auto vault = b.writer();
    for (unsigned i = 0; i < 3; ++i) {
      objects.push_back(b.noise(40 + i * 7, i));
      ASSERT_TRUE(vault->put(digest_of(objects.back()), objects.back(), {}));
    }
    ASSERT_TRUE(vault->publish());
  }
  const std::string pack = b.only_pack();
  const std::string whole = *mlxbase::os::read_small_file(b.fs, pack, 1 << 20);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string other = whole;
    other[at] = static_cast<char>(other[at] ^ 0x20);
    {
      auto file = *b.fs.open_write(pack);
      ASSERT_TRUE(file->pwrite(0, mlxbase::as_bytes(other)));
    }
    auto vault = b.reader();
    const auto verified = vault->verify(1, mlxbase::no_progress(), nullptr);
    ASSERT_TRUE(verified) << verified.error().message;
    EXPECT_THAT(verified->damaged, testing::Not(testing::IsEmpty())) << "byte " << at;
    int lost = 0;
    for (const auto& o : objects) {
      const auto read = vault->read(digest_of(o));
      if (read) {
        EXPECT_EQ(*read, o) << "byte " << at;
      } else {
        ++lost;
      }
    }
    EXPECT_LE(lost, 1) << "byte " << at;
  }
}

TEST(Vault, KeepsAFineTuneAsADifference) {
  Bench b;
  auto vault = b.writer();
  const auto base = b.floats(256, 512, 1);
  const auto tuned = b.nudged(base, 2);
  const auto alone = vault->put(digest_of(base), base, {Dtype::bf16, 0, 512});
  ASSERT_TRUE(alone);
  EXPECT_EQ(alone->head.kind, Kind::coded);
  const auto put = vault->put(digest_of(tuned), tuned, {Dtype::bf16, 0, 512});
  ASSERT_TRUE(put) << put.error().message;
  EXPECT_EQ(*vault->read(digest_of(tuned)), tuned);
  EXPECT_EQ(put->head.kind, Kind::delta);
  EXPECT_EQ(put->head.depth, 1);
  EXPECT_THAT(put->head.bases, testing::ElementsAre(digest_of(base)));
  EXPECT_LT(put->head.payload, tuned.size() / 2);
}

TEST(Vault, FindsABaseAmongManyStrangers) {
  Bench b;
  auto vault = b.writer();
  std::vector<Bytes> known;
  for (unsigned i = 0; i < 400; ++i) {
    known.push_back(b.floats(33, 256, 100 + i));
    ASSERT_TRUE(vault->put(digest_of(known.back()), known.back(), {Dtype::bf16, 0, 256}));
  }
  for (const std::size_t i : {std::size_t{3}, std::size_t{170}, std::size_t{399}}) {
    const auto tuned = b.nudged(known[i], 7);
    const auto put = vault->put(digest_of(tuned), tuned, {Dtype::bf16, 0, 256});
    ASSERT_TRUE(put);
    EXPECT_THAT(put->head.bases, testing::ElementsAre(digest_of(known[i]))) << i;
    EXPECT_EQ(*vault->read(digest_of(tuned)), tuned);
  }
}

TEST(Pack, IsWrittenAsTheFormatsPageShows) {
  // The page's example, which another program made from the page.
  constexpr std::string_view kExample =
      "4d4c58435041434b0100000000000000010203040506070800000000a900733b4f424a314c00000001000000b9a08f7bb4b286f6d0721a1915d80655"
      "5ce37bcda5f6522df7b8568cec00290ff2d1d57e0000000000000000000000000d000000000000000d00000000000000000000000000000000000000"
      "000000002b750a9368656c6c6f2c207661756c740a010000002000000000000000b4b286f6d0721a1915d806555ce37bcda5f6522df7b8568cec0029"
      "0ff2d1d57e0000000000000000000000000d000000000000000d000000000000000000000000000000000000000000000001020304050607088d0000"
      "0000000000580000000000000013afaa184d4c584350454e4439ddbe3d";
  const std::uint64_t salt = 0x0807060504030201;
  const std::string_view hello = "hello, vault\n";
  Head head;
  head.digest = digest_of(mlxbase::as_bytes(hello));
  head.size = head.payload = hello.size();
  Bytes pack = encode_pack_header(salt);
  const auto record = encode_record(head, mlxbase::as_bytes(hello), salt);
  pack.insert(pack.end(), record.begin(), record.end());
  for (const std::byte b : mlxbase::as_bytes(hello)) pack.push_back(b);
  const Entry entry{head, kPackHeaderBytes};
  const auto index = encode_index({&entry, 1}, pack.size(), salt);
  pack.insert(pack.end(), index.begin(), index.end());
  std::string hex;
  for (const std::byte b : pack) hex += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  EXPECT_EQ(hex, kExample);
}

TEST(Cut, FindsTheMembersOfAZipArchive) {
  // Two stored members, as numpy.savez writes them, with an array of 64 x 32 in the first.
  Bytes file;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> members;
  const auto put = [&](auto value) {
    mlxbase::ByteWriter w;
    w.put(value);
    file.insert(file.end(), w.bytes().begin(), w.bytes().end());
  };
  const auto put_text = [&](std::string_view t) {
    for (const std::byte b : mlxbase::as_bytes(t)) file.push_back(b);
  };
  std::string npy = "\x93NUMPY";
  npy += '\1';
  npy += '\0';
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 32), }\n";
  npy += static_cast<char>(header.size());
  npy += '\0';
  npy += header + std::string(64 * 32 * 4, 'x');
  const std::pair<std::string, std::string> contents[] = {{"a.npy", npy}, {"data/0", std::string(5000, 'y')}};
  for (const auto& [name, content] : contents) {
    members.emplace_back(file.size(), content.size());
    put(std::uint32_t{0x04034b50});
    file.resize(file.size() + 22);
    put(static_cast<std::uint16_t>(name.size()));
    put(std::uint16_t{0});
    put_text(name);
    put_text(content);
  }
  const std::uint64_t directory = file.size();
  for (std::size_t i = 0; i < 2; ++i) {
    put(std::uint32_t{0x02014b50});
    file.resize(file.size() + 16);
    put(static_cast<std::uint32_t>(members[i].second));
    put(static_cast<std::uint32_t>(members[i].second));
    put(static_cast<std::uint16_t>(contents[i].first.size()));
    file.resize(file.size() + 12);
    put(static_cast<std::uint32_t>(members[i].first));
    put_text(contents[i].first);
  }
  const std::uint64_t end = file.size();
  put(std::uint32_t{0x06054b50});
  file.resize(file.size() + 8);
  put(static_cast<std::uint32_t>(end - directory));
  put(static_cast<std::uint32_t>(directory));
  put(std::uint16_t{0});
  const auto source = mlxbase::ByteSource::of(file);
  const vault::Run whole{0, file.size()};
  const auto cuts = cut_file(source, {&whole, 1});
  ASSERT_TRUE(cuts);
  EXPECT_EQ(cuts->format, "zip");
  EXPECT_THAT(cuts->cuts, testing::Contains(Cut{30 + 5 + 10 + header.size(), 64 * 32 * 4, {Dtype::f32, 0, 32}}));
  EXPECT_THAT(cuts->cuts, testing::Contains(testing::Field(&Cut::length, 5000U)));
  std::uint64_t at = 0;
  for (const Cut& c : cuts->cuts) {
    EXPECT_EQ(c.offset, at);
    at += c.length;
  }
  EXPECT_EQ(at, file.size());
}

/// The cuts are all of the file, and one of them is this.
void expect_cut(const Bytes& file, std::string_view format, const Cut& wanted) {
  const auto source = mlxbase::ByteSource::of(file);
  const vault::Run whole{0, file.size()};
  const auto cuts = cut_file(source, {&whole, 1});
  ASSERT_TRUE(cuts);
  EXPECT_EQ(cuts->format, format);
  EXPECT_THAT(cuts->cuts, testing::Contains(wanted));
  std::uint64_t at = 0;
  for (const Cut& c : cuts->cuts) {
    EXPECT_EQ(c.offset, at);
    at += c.length;
  }
  EXPECT_EQ(at, file.size());
}

TEST(Cut, FindsTheWeightsOfAnOnnxGraph) {
  const auto varint = [](std::uint64_t v) {
    std::string out;
    for (; v >= 128; v >>= 7U) out += static_cast<char>(v | 128U);
    return out + static_cast<char>(v);
  };
  const auto run = [&](unsigned number, const std::string& bytes) { return varint(number << 3U | 2U) + varint(bytes.size()) + bytes; };
  const std::string weights(64 * 100 * 2, 'w');
  const std::string tensor = run(1, varint(64) + varint(100)) + varint(2U << 3U) + varint(10) + run(8, "layer.weight") + run(9, weights);
  const std::string graph = run(1, std::string(200, 'n')) + run(2, "graph") + run(5, tensor) + run(5, run(9, "short")) + run(11, "input");
  const std::string file = varint(1U << 3U) + varint(8) + run(2, "pytorch") + run(8, "") + run(7, graph);
  const Bytes bytes(mlxbase::as_bytes(file).begin(), mlxbase::as_bytes(file).end());
  expect_cut(bytes, "onnx", {file.find(weights), weights.size(), {Dtype::f16, 0, 100}});
  for (std::size_t n = 0; n < 400; ++n) {  // cut short anywhere: as any other file
    const Bytes shorter(bytes.begin(), bytes.end() - 1 - static_cast<std::ptrdiff_t>(n));
    const auto source = mlxbase::ByteSource::of(shorter);
    EXPECT_FALSE(cut_onnx(source)) << n;
  }
}

TEST(Cut, FindsTheVariablesOfACtranslate2Model) {
  std::string file;
  const auto put = [&](auto value) {
    mlxbase::ByteWriter w;
    w.put(value);
    file += mlxbase::as_text(w.bytes());
  };
  const auto put_string = [&](std::string_view text) {
    put(static_cast<std::uint16_t>(text.size() + 1));
    file += text;
    file += '\0';
  };
  put(std::uint32_t{6});
  put_string("WhisperSpec");
  put(std::uint32_t{3});
  put(std::uint32_t{2});
  put_string("decoder/scale");
  put(std::uint8_t{0});
  put(std::uint8_t{0});
  put(std::uint32_t{4});
  file += "ffff";
  put_string("encoder/weight");
  put(std::uint8_t{2});
  put(std::uint32_t{50});
  put(std::uint32_t{200});
  put(std::uint8_t{1});
  put(std::uint32_t{10'000});
  const std::size_t at = file.size();
  file += std::string(10'000, 'w');
  put(std::uint32_t{0});
  const Bytes bytes(mlxbase::as_bytes(file).begin(), mlxbase::as_bytes(file).end());
  expect_cut(bytes, "ctranslate2", {at, 10'000, {Dtype::i8, 0, 200}});
  for (std::size_t n = 4; n < at + 9'000; n += n < at ? 1 : 700) {
    const Bytes shorter(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    const auto source = mlxbase::ByteSource::of(shorter);
    EXPECT_FALSE(cut_ctranslate2(source)) << n;
  }
}

TEST(Cut, AtTheSameRowsInEveryPrecision) {
  const auto cut = [](mlxbase::safetensors::Dtype dtype, std::uint64_t width) {
    mlxbase::safetensors::Header h;
    h.tensors.push_back({"w", dtype, {3000, 1024}, 0, 3000 * 1024 * width});
    const auto front = mlxbase::safetensors::encode_header(h);
    const auto source = mlxbase::ByteSource::of_prefix(front, front.size() + 3000 * 1024 * width);
    const vault::Run whole{0, source.size};
    std::vector<std::uint64_t> rows;
    const auto cuts = *cut_file(source, {&whole, 1});
    for (const Cut& c : cuts.cuts) {
      if (c.layout.columns == 1024) rows.push_back(c.length / width / 1024);
    }
    return rows;
  };
  EXPECT_THAT(cut(mlxbase::safetensors::Dtype::f32, 4), testing::ElementsAre(2048, 952));
  EXPECT_THAT(cut(mlxbase::safetensors::Dtype::bf16, 2), testing::ElementsAre(2048, 952));
}

TEST(Freeze, BringsBackASafetensorsFileExactly) {
  Bench b;
  b.write("/model/model.safetensors", b.safetensors({{"a", b.floats(64, 256, 1)}, {"b", b.floats(32, 256, 2)}, {"odd", b.noise(4097, 3)}}));
  b.write("/model/config.json", mlxbase::as_bytes("{\"a\": 1}"));
  b.expect_round_trip("/model");
}

TEST(Freeze, BringsBackFilesThatOnlyPretend) {
  Bench b;
  auto file = b.safetensors({{"a", b.floats(64, 256, 1)}});
  auto longer = file;
  longer.push_back(std::byte{1});
  auto shorter = file;
  shorter.pop_back();
  auto header = file;
  header[3] = std::byte{0x7f};
  b.write("/model/longer.safetensors", longer);
  b.write("/model/shorter.safetensors", shorter);
  b.write("/model/header.safetensors", header);
  b.write("/model/empty.safetensors", {});
  b.write("/model/eight.safetensors", std::vector<std::byte>(8));
  b.write("/model/zeros.bin", std::vector<std::byte>(100'000));
  b.write("/model/noise.bin", b.noise(700'001, 4));
  b.expect_round_trip("/model");
}

TEST(Freeze, BringsBackLinksHolesModesTimesAndAttributes) {
  Bench b;
  b.write("/model/blobs/x", b.noise(20'000, 1));
  ASSERT_TRUE(b.fs.make_dir("/model/snap", 0755));
  ASSERT_TRUE(b.fs.make_symlink("../blobs/x", "/model/snap/model.bin"));
  ASSERT_TRUE(b.fs.make_symlink("/nowhere", "/model/snap/broken"));
  ASSERT_TRUE(b.fs.hard_link("/model/blobs/x", "/model/second"));
  {
    auto file = *b.fs.create("/model/sparse", 0640);
    ASSERT_TRUE(file->truncate(1'000'000));
    ASSERT_TRUE(file->pwrite(500'000, b.noise(5000, 2)));
    auto m = *file->metadata();
    m.mtime_ns = 1'600'000'000'123'456'789;
    m.attributes = {{"user.origin", "https://example.org"}};
    ASSERT_TRUE(file->set_metadata(m));
  }
  b.expect_round_trip("/model");
  EXPECT_EQ(b.fs.stat("/back/second")->id, b.fs.stat("/back/blobs/x")->id);
  EXPECT_EQ(*b.fs.read_link("/back/snap/model.bin"), "../blobs/x");
  EXPECT_LT(b.fs.stat("/back/sparse")->allocated_bytes, 100'000U);
}

TEST(Freeze, StoresEqualTensorsOnce) {
  Bench b;
  const auto a = b.floats(512, 512, 1);
  b.write("/model/one.safetensors", b.safetensors({{"a", a}}));
  b.write("/model/two.safetensors", b.safetensors({{"other_name", a}, {"z", b.floats(16, 256, 9)}}));
  auto vault = b.writer();
  const auto frozen = freeze(*vault, b.subject("/model"), b.means());
  ASSERT_TRUE(frozen) << frozen.error().message;
  EXPECT_EQ(frozen->tally.bytes[static_cast<std::size_t>(Reason::shared)], a.size());
}

TEST(Thaw, LeavesAFileOfAnotherContentAlone) {
  Bench b;
  b.write("/model/a.bin", b.noise(20'000, 1));
  auto vault = b.writer();
  const auto frozen = freeze(*vault, b.subject("/model"), b.means());
  ASSERT_TRUE(frozen);
  b.write("/model/a.bin", b.noise(20'000, 2));
  const auto machinery = b.machinery();
  const auto thawed = thaw(*vault, frozen->model, target_of(frozen->model, ""), machinery, 1);
  ASSERT_FALSE(thawed);
  EXPECT_EQ(thawed.error().code, Code::changed);
  EXPECT_EQ(b.content("/model/a.bin"), b.noise(20'000, 2));
}

}  // namespace
}  // namespace mlxcache::vault
