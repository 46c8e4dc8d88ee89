#include "mlxbase/format/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/bytes.h"

namespace mlxbase::gguf {
namespace {

Header small_model() {
  Header header;
  header.metadata = {{"general.architecture", string_value("llama")},
                     {"general.name", string_value("Tiny")},
                     {"general.file_type", u32_value(15)},
                     {"llama.context_length", u32_value(4096)},
                     {"split.no", {.type = Type::u16, .bits = 0, .text = {}, .element = {}, .count = 0, .elements = {}}},
                     {"split.count", {.type = Type::u16, .bits = 2, .text = {}, .element = {}, .count = 0, .elements = {}}}};
  Value bytes{.type = Type::array, .bits = 0, .text = {}, .element = Type::i32, .count = 2, .elements = std::vector<std::byte>(8, std::byte{7})};
  header.metadata.push_back({"tokenizer.ggml.token_type", std::move(bytes)});
  header.tensors = {{.name = "token_embd.weight", .shape = {256, 3}, .type = 12, .offset = 0, .bytes = 0},
                    {.name = "output_norm.weight", .shape = {5}, .type = 0, .offset = 0, .bytes = 0}};
  EXPECT_TRUE(lay_out(header));
  return header;
}

Code code_of(const Header& header) {
  const auto bytes = encode_header(header);
  const auto read = read_header(ByteSource::of(bytes));
  return read ? Code::engine : read.error().code;  // engine: parsed
}

Code code_of_bytes(std::span<const std::byte> bytes, const Limits& limits = {}) {
  const auto read = read_header(ByteSource::of(bytes), limits);
  return read ? Code::engine : read.error().code;
}

/// magic, version, counts; the rest is up to the caller.
ByteWriter start(std::uint32_t version, std::uint64_t tensors, std::uint64_t keys) {
  ByteWriter out;
  out.put_bytes(as_bytes("GGUF"));
  out.put(version);
  out.put(tensors);
  out.put(keys);
  return out;
}

TEST(GgufHeader, SurvivesTheRoundTrip) {
  Header header = small_model();
  const auto bytes = encode_header(header);
  const auto again = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(again) << again.error().message;
  header.header_bytes = again->header_bytes;
  header.data_start = bytes.size();
  EXPECT_EQ(*again, header);
  EXPECT_EQ(bytes.size() % 32, 0U);
  // 3 rows of one Q4_K block, padded to 32; then 5 floats, not padded.
  EXPECT_EQ(again->expected_file_size(), bytes.size() + 448 + 20);
}

TEST(GgufHeader, RefusesEveryShorterLength) {
  const auto bytes = encode_header(small_model());
  const auto whole = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(whole);
  for (std::size_t n = 0; n < whole->header_bytes; ++n) EXPECT_EQ(code_of_bytes(std::span(bytes).first(n)), Code::corrupt) << n;
}

TEST(GgufHeader, ReadsThroughASmallWindow) {
  Header header = small_model();
  // Longer than the window, and stepped over.
  Value tokens{.type = Type::array, .bits = 0, .text = {}, .element = Type::u8, .count = 300'000, .elements = std::vector<std::byte>(300'000)};
  header.metadata.insert(header.metadata.begin(), {"tokenizer.long", std::move(tokens)});
  header.metadata.push_back({"tokenizer.chat_template", string_value(std::string(200'000, 't'))});
  const auto bytes = encode_header(header);
  const auto again = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->find("tokenizer.long")->elements.empty());
  EXPECT_EQ(again->find("tokenizer.long")->count, 300'000U);
  EXPECT_EQ(again->find("tokenizer.chat_template")->text.size(), 200'000U);
  EXPECT_EQ(facts(*again).architecture, "llama");
}

TEST(GgufHeader, NamesABigEndianFile) {
  ByteWriter out;
  out.put_bytes(as_bytes("GGUF"));
  out.put_bytes(as_bytes(std::string_view("\0\0\0\3\0\0\0\0", 8)));
  const auto header = read_header(ByteSource::of(out.bytes()));
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::unsupported);
  EXPECT_THAT(header.error().message, testing::HasSubstr("big-endian"));
}

TEST(GgufHeader, TakesVersionsTwoAndThreeOnly) {
  EXPECT_EQ(code_of_bytes(start(2, 0, 0).bytes()), Code::engine);
  EXPECT_EQ(code_of_bytes(start(3, 0, 0).bytes()), Code::engine);
  EXPECT_EQ(code_of_bytes(start(1, 0, 0).bytes()), Code::unsupported);
  EXPECT_EQ(code_of_bytes(start(4, 0, 0).bytes()), Code::unsupported);
  EXPECT_EQ(code_of_bytes(start(0, 0, 0).bytes()), Code::corrupt);
}

TEST(GgufHeader, TrustsNoCount) {
  EXPECT_EQ(code_of_bytes(start(3, ~std::uint64_t{0}, 0).bytes()), Code::corrupt);
  EXPECT_EQ(code_of_bytes(start(3, 0, ~std::uint64_t{0}).bytes()), Code::corrupt);
  const auto array = [](Type element, std::uint64_t count) {
    ByteWriter out = start(3, 0, 1);
    out.put<std::uint64_t>(1);
    out.put_bytes(as_bytes("k"));
    out.put(static_cast<std::uint32_t>(Type::array));
    out.put(static_cast<std::uint32_t>(element));
    out.put(count);
    return code_of_bytes(out.bytes());
  };
  EXPECT_EQ(array(Type::string, 0), Code::engine);
  EXPECT_EQ(array(Type::string, ~std::uint64_t{0}), Code::corrupt);
  EXPECT_EQ(array(Type::u64, std::uint64_t{1} << 61U), Code::corrupt);  // times 8 is 0
  EXPECT_EQ(array(Type::array, 0), Code::corrupt);
  EXPECT_EQ(array(static_cast<Type>(13), 0), Code::corrupt);
}

TEST(GgufHeader, TellsTooLargeFromDamaged) {
  Header header = small_model();
  header.metadata.push_back({"x", string_value(std::string(1000, 'x'))});
  const auto bytes = encode_header(header);
  EXPECT_EQ(code_of_bytes(bytes, Limits{.header_bytes = 500}), Code::unsupported);
  EXPECT_EQ(code_of_bytes(bytes, Limits{.string_bytes = 999}), Code::unsupported);
  EXPECT_EQ(code_of_bytes(bytes, Limits{.keys = 3}), Code::unsupported);
  EXPECT_EQ(code_of_bytes(bytes, Limits{.tensors = 1}), Code::unsupported);
}

TEST(GgufHeader, RefusesWhatBreaksTheRules) {
  Header header = small_model();
  header.metadata.push_back({"general.name", u32_value(1)});
  EXPECT_EQ(code_of(header), Code::corrupt) << "a key twice";
  header = small_model();
  header.metadata.push_back({"", u32_value(1)});
  EXPECT_EQ(code_of(header), Code::corrupt) << "an empty key";
  header = small_model();
  header.tensors[1].name = header.tensors[0].name;
  EXPECT_EQ(code_of(header), Code::corrupt) << "a tensor twice";
  header = small_model();
  header.tensors[1].offset += 32;
  EXPECT_EQ(code_of(header), Code::corrupt) << "a gap";
  header = small_model();
  header.tensors[0].name = std::string(64, 'n');
  EXPECT_EQ(code_of(header), Code::corrupt) << "a long name";
  header = small_model();
  header.tensors[0].shape = {255, 3};
  EXPECT_EQ(code_of(header), Code::corrupt) << "not whole blocks";
  header = small_model();
  header.tensors[0].shape = {256, 1, 1, 1, 1};
  EXPECT_EQ(code_of(header), Code::corrupt) << "five dimensions";
  header = small_model();
  header.tensors[0].shape = {std::uint64_t{1} << 62U, 4};
  EXPECT_EQ(code_of(header), Code::corrupt) << "a product that overflows";
  header = small_model();
  header.tensors[0].shape = {256, ~std::uint64_t{0}};
  EXPECT_EQ(code_of(header), Code::corrupt) << "a negative dimension";
  header = small_model();
  header.tensors[0].type = 4;
  EXPECT_EQ(code_of(header), Code::unsupported) << "a type that was removed";
}

TEST(GgufHeader, KeepsItsOwnAlignment) {
  Header header = small_model();
  header.alignment = 64;
  header.metadata.push_back({"general.alignment", u32_value(64)});
  ASSERT_TRUE(lay_out(header));
  const auto bytes = encode_header(header);
  EXPECT_EQ(bytes.size() % 64, 0U);
  const auto again = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->alignment, 64U);
  for (const std::uint32_t bad : {0U, 48U, 0x80000000U}) {
    header = small_model();
    header.metadata.push_back({"general.alignment", u32_value(bad)});
    EXPECT_EQ(code_of(header), Code::corrupt) << bad;
  }
}

TEST(GgufHeader, ComparesTheFilesLength) {
  const auto bytes = encode_header(small_model());
  const auto header = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(header);
  const std::uint64_t whole = header->expected_file_size();
  EXPECT_TRUE(check_file_size(*header, whole));
  EXPECT_TRUE(check_file_size(*header, whole + 12));  // a writer that pads the last one too
  EXPECT_FALSE(check_file_size(*header, whole - 1));
}

TEST(GgufHeader, TellsWhatAPersonWantsToKnow) {
  const auto bytes = encode_header(small_model());
  const auto header = read_header(ByteSource::of(bytes));
  ASSERT_TRUE(header);
  Facts known = facts(*header);
  EXPECT_EQ(known.name, "Tiny");
  EXPECT_EQ(known.quantisation, "Q4_K_M");
  EXPECT_EQ(known.parameters, 768U + 5U);
  EXPECT_EQ(known.context_length, 4096U);
  EXPECT_EQ(known.split_no, 0U);
  EXPECT_EQ(known.split_count, 2U);
  Header untold = *header;
  untold.metadata[2].value = u32_value(9999);
  EXPECT_EQ(facts(untold).quantisation, "Q4_K");
}

}  // namespace
}  // namespace mlxbase::gguf
