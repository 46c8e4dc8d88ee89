// Files that tools choke on: every dtype with bits that are no numbers, tensors of no or odd length, headers in any order or none at all, very many tensors,
// files of more than 4 GiB. All come back bit for bit, whole and in ranges.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mlxcache/vault/reader.h"
#include "mlxcache/vault/vault_fixture.h"

namespace mlxcache::vault {
namespace {

class Awkward : public testing::Test {
 protected:
  Bench b;

  static Bytes safetensors(std::string header, std::span<const std::byte> data, bool pad = true) {
    while (pad && header.size() % 8 != 0) header += ' ';
    Bytes out(8);
    const std::uint64_t length = header.size();
    std::memcpy(out.data(), &length, 8);
    for (const std::byte c : mlxbase::as_bytes(header)) out.push_back(c);
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }
  /// Thawed, and read by a reader in pieces of an odd length.
  void expect_exact(const std::string& folder) {
    b.expect_round_trip(folder);
    auto vault = b.reader();
    Reader reader(*vault);
    std::vector<Damaged> damaged;
    std::shared_ptr<const FrozenModel> model;
    ASSERT_TRUE(vault->each_model([&](ModelFile& m) -> mlxbase::Status {
      model = std::make_shared<const FrozenModel>(std::move(m.model));
      return {};
    }, damaged));
    for (std::size_t i = 0; i < model->names.size(); ++i) {
      const auto file = reader.open(model, i);
      if (!file) continue;
      const Bytes was = b.content(folder + "/" + model->names[i].path);
      Bytes is(was.size());
      for (std::size_t at = 0; at < is.size(); at += 99'991) {
        const std::size_t n = std::min<std::size_t>(99'991, is.size() - at);
        const auto got = file->read(at, std::span(is).subspan(at, n));
        ASSERT_TRUE(got) << got.error().message;
        ASSERT_EQ(*got, n);
      }
      EXPECT_EQ(is, was) << model->names[i].path;
    }
  }
};

/// Elements of `width` bytes with `exponent` bits below the sign: NaNs with every payload, infinities, zeros of both signs, denormals, and numbers between.
Bytes odd_numbers(std::size_t elements, unsigned width, unsigned exponent, unsigned seed) {
  std::mt19937_64 random(seed);
  const unsigned bits = width * 8;
  const std::uint64_t all = bits == 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
  const unsigned mantissa = bits - 1 - exponent;
  const std::uint64_t top = ((std::uint64_t{1} << exponent) - 1) << mantissa;
  const std::uint64_t low = (std::uint64_t{1} << mantissa) - 1;
  Bytes out(elements * width);
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint64_t v = random() & all;
    switch (random() % 8) {
      case 0: v |= top; break;                        // NaN, quiet or signalling, with a payload
      case 1: v = (v & ~low) | top; break;            // infinity
      case 2: v &= ~top; break;                       // denormal
      case 3: v &= ~(top | low); break;               // zero, of either sign
      default: v = (v & ~top) | (top / 2 & ~low); break;  // about one
    }
    std::memcpy(out.data() + i * width, &v, width);
  }
  return out;
}

TEST_F(Awkward, EveryDtypeWithBitsThatAreNoNumbers) {
  struct Kind {
    const char* name;
    unsigned width, exponent;
  };
  constexpr Kind kKinds[] = {{"F64", 8, 11}, {"F32", 4, 8},  {"F16", 2, 5}, {"BF16", 2, 8}, {"F8_E4M3", 1, 4}, {"F8_E5M2", 1, 5}, {"F8_E8M0", 1, 7}, {"C64", 8, 8},
                             {"I64", 8, 3},  {"U64", 8, 3},  {"I32", 4, 3}, {"U32", 4, 3},  {"I16", 2, 3},     {"U16", 2, 3},     {"I8", 1, 3},      {"U8", 1, 3},
                             {"BOOL", 1, 6}, {"F4", 1, 2},   {"X99", 1, 4}};
  unsigned seed = 1;
  for (const Kind& k : kKinds) {
    // Long enough to be sketched, of odd lengths, in a file whose data begins at an odd place; one that differs little from it; and the short ones.
    const Bytes one = odd_numbers(20'011, k.width, k.exponent, ++seed);
    Bytes two = one;
    for (std::size_t i = 0; i < two.size(); i += 97) two[i] ^= std::byte{1};
    const Bytes three = odd_numbers(3, k.width, k.exponent, seed);
    std::string header = R"({"__metadata__":{"format":"pt"})";
    Bytes data;
    const auto add = [&](const std::string& name, const std::string& shape, const Bytes& bytes) {
      header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, k.name, shape, data.size(), data.size() + bytes.size());
      data.insert(data.end(), bytes.begin(), bytes.end());
    };
    add("none", "[0]", {});
    add("three", "[3]", three);
    add("nothing", "[7,0,2]", {});
    add("one", "[20011]", one);
    add("scalar", "[]", Bytes(three.begin(), three.begin() + k.width));
    add("two", "[20011]", two);
    b.write(fmt::format("/model/{}.safetensors", k.name), safetensors(header + "}", data, false));
  }
  expect_exact("/model");
}

TEST_F(Awkward, HeadersInAnyOrderOrThatAreNone) {
  const Bytes a = b.floats(40, 256, 1), c = b.noise(5001, 2);
  Bytes data = a;
  data.insert(data.end(), c.begin(), c.end());
  const auto tensor = [](const char* name, const char* dtype, const std::string& shape, std::size_t begin, std::size_t end) {
    return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype, shape, begin, end);
  };
  const std::size_t middle = a.size(), all = data.size();
  const std::pair<const char*, std::string> kHeaders[] = {
      {"unsorted", tensor("z", "U8", "[5001]", middle, all) + "," + tensor("a", "BF16", "[40,256]", 0, middle)},
      {"overlapping", tensor("a", "BF16", "[40,256]", 0, middle) + "," + tensor("b", "U8", "[5001]", middle - 1000, all - 1000)},
      {"twice", tensor("a", "BF16", "[40,256]", 0, middle) + "," + tensor("b", "BF16", "[40,256]", 0, middle) + "," + tensor("c", "U8", "[5001]", middle, all)},
      {"same_name", tensor("a", "BF16", "[40,256]", 0, middle) + "," + tensor("a", "U8", "[5001]", middle, all)},
      {"gap", tensor("a", "BF16", "[39,256]", 0, middle - 512) + "," + tensor("b", "U8", "[5001]", middle, all)},
      {"beyond", tensor("a", "BF16", "[40,256]", 0, middle) + "," + tensor("b", "U8", "[9001]", middle, all + 4000)},
      {"wrong_shape", tensor("a", "BF16", "[41,256]", 0, middle) + "," + tensor("b", "U8", "[5001]", middle, all)},
      {"backwards", tensor("a", "BF16", "[40,256]", middle, 0) + "," + tensor("b", "U8", "[5001]", middle, all)},
      {"huge", tensor("a", "BF16", "[18446744073709551615,18446744073709551615]", 0, middle) + "," + tensor("b", "U8", "[5001]", middle, all)},
      {"negative", tensor("a", "BF16", "[-1]", 0, middle) + "," + tensor("b", "U8", "[5001]", middle, all)},
      {"words", "hello"},
      {"nothing", ""},
  };
  for (const auto& [name, header] : kHeaders) b.write(fmt::format("/model/{}.safetensors", name), safetensors("{" + header + "}", data));
  Bytes file = safetensors("{" + kHeaders[0].second + "}", data);
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{file.size()}, UINT64_MAX, std::uint64_t{1} << 40U}) {
    std::memcpy(file.data(), &length, 8);
    b.write(fmt::format("/model/length_{}.safetensors", length), file);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{9}, std::size_t{1024}, std::size_t{1025}, std::size_t{4095}}) {
    b.write(fmt::format("/model/size_{}", size), b.noise(size, static_cast<unsigned>(size)));
  }
  expect_exact("/model");
}

TEST_F(Awkward, AHundredThousandTensors) {
  constexpr std::size_t kTensors = 100'000;
  std::string header = "{";
  header.reserve(kTensors * 100);
  for (std::size_t i = 0; i < kTensors; ++i) {
    header += fmt::format(R"({}"layers.{}.experts.{}.scale":{{"dtype":"F32","shape":[5],"data_offsets":[{},{}]}})", i == 0 ? "" : ",", i / 100, i % 100, i * 20, i * 20 + 20);
  }
  b.write("/model/many.safetensors", safetensors(header + "}", b.noise(kTensors * 20, 1)));
  // Longer ones each get a part of their own.
  header = "{";
  constexpr std::size_t kLonger = 1500;
  for (std::size_t i = 0; i < kLonger; ++i) header += fmt::format(R"({}"w.{}":{{"dtype":"I8","shape":[4097],"data_offsets":[{},{}]}})", i == 0 ? "" : ",", i, i * 4097, i * 4097 + 4097);
  b.write("/model/longer.safetensors", safetensors(header + "}", b.noise(kLonger * 4097, 2)));
  expect_exact("/model");
  auto vault = b.reader();
  EXPECT_GE(vault->heads().size(), kLonger);
  EXPECT_LT(vault->heads().size(), kLonger + 100);
}

TEST_F(Awkward, ATensorOfMoreThan4GiB) {
  constexpr std::uint64_t kBytes = (std::uint64_t{4} << 30U) + (std::uint64_t{3} << 20U);
  const std::string header = fmt::format(R"({{"a":{{"dtype":"BF16","shape":[{},1024],"data_offsets":[0,{}]}}}})", kBytes / 2048, kBytes);
  const Bytes front = safetensors(header, {});
  const Bytes middle = b.floats(100, 1024, 1), end = b.floats(10, 1024, 2);
  const std::uint64_t middle_at = front.size() + (std::uint64_t{2} << 30U) - 4096, end_at = front.size() + kBytes - end.size();
  ASSERT_TRUE(b.fs.make_dir("/model/big", 0755));
  {
    auto file = *b.fs.create("/model/big/m.safetensors", 0644);
    ASSERT_TRUE(file->truncate(front.size() + kBytes));
    ASSERT_TRUE(file->pwrite(0, front));
    ASSERT_TRUE(file->pwrite(middle_at, middle));
    ASSERT_TRUE(file->pwrite(end_at, end));
  }
  std::shared_ptr<const FrozenModel> model;
  {
    auto vault = b.writer();
    auto frozen = freeze(*vault, b.subject("/model/big"), b.means());
    ASSERT_TRUE(frozen) << frozen.error().message;
    ASSERT_TRUE(vault->add_model(frozen->model));
    EXPECT_LT(frozen->tally.all_stored(), 1'000'000U);
    model = std::make_shared<const FrozenModel>(std::move(frozen->model));
  }
  auto vault = b.reader();
  Reader reader(*vault);
  const auto file = reader.open(model, 1);
  ASSERT_TRUE(file);
  const auto at = [&](std::uint64_t offset, const Bytes& wanted) {
    Bytes out(wanted.size());
    const auto got = file->read(offset, out);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(out, wanted) << offset;
  };
  at(0, front);
  at(middle_at, middle);
  at(end_at, end);
  at((std::uint64_t{4} << 30U) - 50, Bytes(100));
  const auto tensors = list_tensors(*file);
  ASSERT_TRUE(tensors);
  EXPECT_EQ(tensors->front().length, kBytes);
  const auto m = b.machinery();
  const auto thawed = thaw(*vault, *model, target_of(*model, "/back"), m, 1);
  ASSERT_TRUE(thawed) << thawed.error().message;
  EXPECT_EQ(b.fs.stat("/back/m.safetensors")->size, front.size() + kBytes);
  EXPECT_LT(b.fs.stat("/back/m.safetensors")->allocated_bytes, 1'000'000U);
}

}  // namespace
}  // namespace mlxcache::vault
