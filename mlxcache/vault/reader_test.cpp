// Byte ranges and tensors of frozen files, against the files themselves.
#include "mlxcache/vault/reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "mlxbase/format/gguf.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

using mlxbase::Code;

std::shared_ptr<const FrozenModel> freeze_folder(Bench& b, const std::string& folder) {
  auto vault = b.writer();
  auto frozen = freeze(*vault, b.subject(folder), b.means());
  EXPECT_TRUE(frozen) << frozen.error().message;
  EXPECT_TRUE(vault->add_model(frozen->model));
  return std::make_shared<const FrozenModel>(std::move(frozen->model));
}

std::size_t name_of(const FrozenModel& model, const std::string& path) {
  for (std::size_t i = 0; i < model.names.size(); ++i) {
    if (model.names[i].path == path) return i;
  }
  ADD_FAILURE() << path;
  return 0;
}

/// Ranges of all lengths at all places, the whole, and both ends.
void expect_ranges(const FrozenFile& file, const Bytes& bytes, unsigned seed, int times = 60) {
  ASSERT_EQ(file.size(), bytes.size());
  std::mt19937_64 random(seed);
  for (int i = 0; i < times; ++i) {
    std::uint64_t at = bytes.empty() ? 0 : random() % bytes.size();
    std::uint64_t n = random() % (std::uint64_t{1} << (random() % 20));
    if (i == 0) at = 0, n = bytes.size();
    if (i == 1) at = bytes.size(), n = 10;
    if (i == 2) at = bytes.empty() ? 0 : bytes.size() - 1, n = 10;
    Bytes out(static_cast<std::size_t>(n), std::byte{0xa5});
    const auto got = file.read(at, out);
    ASSERT_TRUE(got) << got.error().message;
    ASSERT_EQ(*got, std::min<std::uint64_t>(n, bytes.size() - at));
    ASSERT_TRUE(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(*got), bytes.begin() + static_cast<std::ptrdiff_t>(at))) << "at " << at << ", " << n << " bytes";
  }
}

TEST(Reader, GivesAnyRangeOfAnyDtype) {
  Bench b;
  auto vault = b.writer();
  Reader reader(*vault);
  std::mt19937 random(7);
  for (unsigned d = 0; d <= static_cast<unsigned>(Dtype::boolean); ++d) {
    const auto dtype = static_cast<Dtype>(d);
    const std::size_t width = codec::width_of(static_cast<codec::Dtype>(d));
    for (const std::uint8_t phase : {std::uint8_t{0}, static_cast<std::uint8_t>(width - 1)}) {
      // Elements whose upper bytes repeat, so that the codec has something to do; a bit more than two blocks.
      Bytes bytes = b.noise(600'000 + d * 3 + phase, d);
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (width == 1 || (i + width - phase) % width >= width / 2) bytes[i] = std::byte{static_cast<unsigned char>(0x38 + random() % 3)};
      }
      const Digest digest = digest_of(bytes);
      const auto put = vault->put(digest, bytes, {dtype, phase, 256});
      ASSERT_TRUE(put) << put.error().message;
      for (int i = 0; i < 12; ++i) {
        const std::size_t at = random() % bytes.size();
        Bytes out(random() % std::min<std::size_t>(bytes.size() - at + 1, i % 2 == 0 ? 3000 : 400'000));
        const auto read = reader.read(digest, at, out);
        ASSERT_TRUE(read) << read.error().message;
        ASSERT_TRUE(std::equal(out.begin(), out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at))) << "dtype " << d << " phase " << int{phase} << " at " << at;
      }
      Bytes beyond(2);
      EXPECT_EQ(reader.read(digest, bytes.size() - 1, beyond).error().code, Code::invalid);
    }
  }
}

TEST(Reader, GivesAnyRangeOfADifferenceToADifference) {
  Bench b;
  auto vault = b.writer();
  const auto base = b.floats(1024, 512, 1);
  const auto tuned = b.nudged(base, 2);
  auto again = b.nudged(tuned, 3);
  Digest last;
  std::uint8_t deepest = 0;
  for (const Bytes* bytes : std::initializer_list<const Bytes*>{&base, &tuned, &again}) {
    last = digest_of(*bytes);
    deepest = std::max(deepest, vault->put(last, *bytes, {Dtype::bf16, 0, 512})->head.depth);
  }
  ASSERT_GE(deepest, 1);
  Reader reader(*vault, 1'500'000);  // five blocks: the bases do not all fit
  std::mt19937_64 random(5);
  for (int i = 0; i < 40; ++i) {
    for (const Bytes* bytes : std::initializer_list<const Bytes*>{&again, &tuned, &base}) {
      const std::size_t at = random() % bytes->size();
      Bytes out(std::min<std::size_t>(bytes->size() - at, random() % 70'000));
      const auto read = reader.read(digest_of(*bytes), at, out);
      ASSERT_TRUE(read) << read.error().message;
      ASSERT_TRUE(std::equal(out.begin(), out.end(), bytes->begin() + static_cast<std::ptrdiff_t>(at)));
    }
  }
  EXPECT_LE(reader.counts().kept_bytes, 1'500'000U);
}

TEST(Reader, DecodesOnlyTheBlocksThatARangeTouchesAndEachOnce) {
  Bench b;
  auto vault = b.writer();
  const auto bytes = b.floats(4096, 1024, 1);  // 8 MiB, 32 blocks
  ASSERT_TRUE(vault->put(digest_of(bytes), bytes, {Dtype::bf16, 0, 1024}));
  Reader reader(*vault);
  Bytes out(1000);
  ASSERT_TRUE(reader.read(digest_of(bytes), 3'000'000, out));
  EXPECT_EQ(reader.counts().decoded_blocks, 1U);
  ASSERT_TRUE(reader.read(digest_of(bytes), 3'000'500, out));
  EXPECT_EQ(reader.counts().decoded_blocks, 1U);
  EXPECT_EQ(reader.counts().opened_objects, 1U);
}

TEST(Reader, ReadsFilesOfEveryKindOfSegment) {
  Bench b;
  const auto base = b.floats(512, 256, 1);
  b.write("/model/base.safetensors", b.safetensors({{"a", base}, {"zeros", Bytes(300'000)}, {"odd", b.noise(4097, 3)}}));
  b.write("/model/tuned.safetensors", b.safetensors({{"a", b.nudged(base, 2)}}));
  b.write("/model/config.json", mlxbase::as_bytes("{}"));
  b.write("/model/empty", {});
  {
    auto file = *b.fs.create("/model/sparse", 0640);
    ASSERT_TRUE(file->truncate(1'000'000));
    ASSERT_TRUE(file->pwrite(500'000, b.noise(5000, 2)));
  }
  ASSERT_TRUE(b.fs.hard_link("/model/config.json", "/model/again.json"));
  const auto model = freeze_folder(b, "/model");
  auto vault = b.reader();
  Reader reader(*vault);
  for (const char* name : {"base.safetensors", "tuned.safetensors", "config.json", "again.json", "empty", "sparse"}) {
    const auto file = reader.open(model, name_of(*model, name));
    ASSERT_TRUE(file) << name;
    expect_ranges(*file, b.content(std::string("/model/") + name), 11);
    ASSERT_FALSE(testing::Test::HasFailure()) << name;
  }
  EXPECT_EQ(reader.open(model, 0).error().code, Code::invalid) << "the root is a folder";
  const auto sparse = *reader.open(model, name_of(*model, "sparse"));
  const std::uint64_t data = sparse.seek(0, true);
  EXPECT_LE(data, 500'000U);
  EXPECT_GT(data, 400'000U);
  EXPECT_EQ(sparse.seek(0, false), 0U);
  EXPECT_GE(sparse.seek(data, false), 505'000U);
  EXPECT_EQ(sparse.seek(900'000, true), 1'000'000U);
}

TEST(Reader, GivesSingleTensors) {
  Bench b;
  const auto one = b.floats(64, 256, 1), two = b.floats(32, 256, 2);
  b.write("/model/m.safetensors", b.safetensors({{"one", one}, {"two", two}}));
  mlxbase::gguf::Header header;
  header.metadata.push_back({"general.architecture", mlxbase::gguf::string_value("llama")});
  header.tensors.push_back({"w", {256, 64}, 0, 0, 0});
  ASSERT_TRUE(mlxbase::gguf::lay_out(header));
  auto gguf = mlxbase::gguf::encode_header(header);
  const auto weights = b.noise(256 * 64 * 4, 5);
  gguf.insert(gguf.end(), weights.begin(), weights.end());
  b.write("/model/m.gguf", gguf);
  b.write("/model/notes.txt", mlxbase::as_bytes("nothing but words, and enough of them to be no header"));
  const auto model = freeze_folder(b, "/model");
  auto vault = b.reader();
  Reader reader(*vault);
  const auto safetensors = *reader.open(model, name_of(*model, "m.safetensors"));
  EXPECT_EQ(*read_tensor(safetensors, "two"), two);
  EXPECT_EQ(*read_tensor(safetensors, "one"), one);
  EXPECT_EQ(read_tensor(safetensors, "three").error().code, Code::not_found);
  const auto places = *list_tensors(safetensors);
  ASSERT_EQ(places.size(), 2U);
  EXPECT_EQ(places[0].dtype, "BF16");
  EXPECT_THAT(places[0].shape, testing::ElementsAre(64, 256));
  const auto other = *reader.open(model, name_of(*model, "m.gguf"));
  EXPECT_EQ(*read_tensor(other, "w"), weights);
  EXPECT_THAT(list_tensors(other)->front().shape, testing::ElementsAre(64, 256));
  EXPECT_EQ(list_tensors(*reader.open(model, name_of(*model, "notes.txt"))).error().code, Code::unsupported);
}

TEST(Reader, ServesSeveralThreads) {
  Bench b;
  auto vault = b.writer();
  std::vector<Bytes> all{b.floats(1024, 512, 1)};
  for (unsigned i = 0; i < 3; ++i) all.push_back(b.nudged(all[i], 10 + i));
  for (const Bytes& bytes : all) ASSERT_TRUE(vault->put(digest_of(bytes), bytes, {Dtype::bf16, 0, 512}));
  std::vector<Digest> digests;
  for (const Bytes& bytes : all) digests.push_back(digest_of(bytes));
  Reader reader(*vault, 1'000'000);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 60; ++i) {
        const std::size_t which = random() % all.size();
        const std::size_t at = random() % (all[which].size() - 5000);
        Bytes out(5000);
        if (!reader.read(digests[which], at, out) || !std::equal(out.begin(), out.end(), all[which].begin() + static_cast<std::ptrdiff_t>(at))) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Reader, NamesWhatIsDamagedAndReadsEverythingElse) {
  Bench b;
  const auto base = b.floats(1024, 512, 1);  // 1 MiB
  b.write("/model/a.safetensors", b.safetensors({{"a", base}}));
  b.write("/model/b.safetensors", b.safetensors({{"a", b.nudged(base, 2)}}));
  b.write("/model/c.bin", b.noise(3'000'000, 3));
  const auto model = freeze_folder(b, "/model");
  const std::string pack = b.only_pack();
  const Bytes whole = b.content(pack);
  std::mt19937_64 random(3);
  int failed = 0;
  for (int round = 0; round < 40; ++round) {
    const std::size_t at = random() % whole.size();
    {
      auto file = *b.fs.open_write(pack);
      const std::byte other = whole[at] ^ std::byte{0x40};
      ASSERT_TRUE(file->pwrite(at, {&other, 1}));
    }
    auto vault = b.reader();
    Reader reader(*vault);
    for (const char* name : {"a.safetensors", "b.safetensors", "c.bin"}) {
      const auto file = *reader.open(model, name_of(*model, name));
      const Bytes bytes = b.content(std::string("/model/") + name);
      for (std::size_t from = 0; from < bytes.size(); from += 100'000) {
        Bytes out(std::min<std::size_t>(100'000, bytes.size() - from));
        const auto got = file.read(from, out);
        if (!got) {
          ++failed;
          EXPECT_THAT(got.error().message, testing::HasSubstr(name));
          EXPECT_TRUE(got.error().code == Code::corrupt || got.error().code == Code::not_found) << got.error().message;
        } else {
          ASSERT_TRUE(std::equal(out.begin(), out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(from))) << "byte " << at << ": wrong bytes were given";
        }
      }
    }
    auto file = *b.fs.open_write(pack);
    ASSERT_TRUE(file->pwrite(at, {&whole[at], 1}));
  }
  EXPECT_GT(failed, 20);
  EXPECT_LT(failed, 40 * 20) << "a damaged byte costs a block and what is coded against it, no more";
}

TEST(Reader, GoesOnWhileWhatItReadsIsCollected) {
  Bench b;
  b.write("/model/a.safetensors", b.safetensors({{"a", b.floats(512, 256, 1)}}));
  b.write("/other/o.bin", b.noise(200'000, 4));
  const auto other = freeze_folder(b, "/other");
  const auto model = freeze_folder(b, "/model");
  auto vault = b.reader();
  vault->hold_packs();
  Reader reader(*vault, 0);
  {
    auto writer = b.writer();
    std::vector<std::string> ids;
    std::vector<Damaged> damaged;
    ASSERT_TRUE(writer->each_model([&](ModelFile& m) -> mlxbase::Status {
      ids.push_back(m.id);
      return {};
    }, damaged));
    for (const std::string& id : ids) ASSERT_TRUE(writer->remove_model(id));
    ASSERT_TRUE(writer->collect(true, mlxbase::no_progress(), nullptr));
  }
  ASSERT_THAT(*b.fs.list(b.dir + "/packs"), testing::IsEmpty());
  expect_ranges(*reader.open(model, name_of(*model, "a.safetensors")), b.content("/model/a.safetensors"), 1, 20);
  expect_ranges(*reader.open(other, name_of(*other, "o.bin")), b.content("/other/o.bin"), 2, 20);
}

}  // namespace
}  // namespace mlxcache::vault
