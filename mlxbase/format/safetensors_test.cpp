#include "mlxbase/format/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mlxbase/core/bytes.h"

namespace mlxbase::safetensors {
namespace {

std::vector<std::byte> with_header(std::string_view json) {
  ByteWriter out;
  out.put<std::uint64_t>(json.size());
  out.put_bytes(as_bytes(json));
  return out.take();
}

Header two_tensors() {
  Header header;
  header.metadata = {{"format", "pt"}};
  header.tensors = {{.name = "a", .dtype = Dtype::bf16, .shape = {2, 3}, .begin = 0, .end = 12},
                    {.name = "b", .dtype = Dtype::f32, .shape = {}, .begin = 12, .end = 16}};
  return header;
}

Code code_of(std::string_view json) {
  const auto header = parse_header(with_header(json));
  return header ? Code::engine : header.error().code;  // engine: parsed
}

TEST(SafetensorsHeader, SurvivesTheRoundTrip) {
  Header header = two_tensors();
  const auto bytes = encode_header(header);
  const auto again = parse_header(bytes);
  ASSERT_TRUE(again) << again.error().message;
  header.header_bytes = bytes.size() - 8;
  EXPECT_EQ(*again, header);
  EXPECT_EQ(again->expected_file_size(), bytes.size() + 16);
}

TEST(SafetensorsHeader, RefusesEveryShorterLength) {
  const auto bytes = encode_header(two_tensors());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const auto header = parse_header(std::span(bytes).first(n));
    ASSERT_FALSE(header) << n;
    EXPECT_EQ(header.error().code, Code::corrupt) << n;
  }
}

TEST(SafetensorsHeader, TrustsNoLength) {
  ByteWriter out;
  out.put(~std::uint64_t{0});
  out.put_bytes(as_bytes("{}"));
  EXPECT_FALSE(parse_header(out.bytes()));
  // Through a source no memory is taken for a header that the file cannot hold.
  ByteWriter large;
  large.put<std::uint64_t>(kMaxHeaderBytes);
  large.put_bytes(as_bytes("{}"));
  const auto header = read_header(ByteSource::of(large.bytes()));
  ASSERT_FALSE(header);
  EXPECT_EQ(header.error().code, Code::corrupt);
}

TEST(SafetensorsHeader, WantsTensorsContiguousFromZero) {
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})"), Code::engine);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})"), Code::engine);
}

TEST(SafetensorsHeader, WantsLengthsThatShapeAndDtypeGive) {
  EXPECT_EQ(code_of(R"({"a":{"dtype":"F16","shape":[2],"data_offsets":[0,3]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})"), Code::corrupt);  // half a byte
  EXPECT_EQ(code_of(R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})"), Code::engine);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U64","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"), Code::corrupt);  // overflows to 0
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[0,18446744073709551615],"data_offsets":[0,0]}})"), Code::engine);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})"), Code::corrupt);
}

TEST(SafetensorsHeader, RefusesNamesGivenTwice) {
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), Code::corrupt);
}

TEST(SafetensorsHeader, TellsANewerDtypeFromDamage) {
  EXPECT_EQ(code_of(R"({"a":{"dtype":"F2","shape":[4],"data_offsets":[0,1]}})"), Code::unsupported);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":{"dtype":"U8","shape":[1]}})"), Code::corrupt);
  EXPECT_EQ(code_of(R"({"a":7})"), Code::corrupt);
  EXPECT_EQ(code_of(R"([])"), Code::corrupt);
}

TEST(SafetensorsHeader, PassesOverMembersItDoesNotKnow) {
  EXPECT_EQ(code_of(R"({"__metadata__":null,"a":{"note":{"by":["x",1,null,{}]},"dtype":"U8","shape":[1],"more":-1.5,"data_offsets":[0,1]}})"),
            Code::engine);
  std::string deep = R"({"a":{"note":)";
  deep.append(100'000, '[');
  EXPECT_EQ(code_of(deep), Code::corrupt);
}

TEST(SafetensorsHeader, ComparesTheFilesLength) {
  const auto bytes = encode_header(two_tensors());
  const auto header = parse_header(bytes);
  ASSERT_TRUE(header);
  EXPECT_TRUE(check_file_size(*header, bytes.size() + 16));
  EXPECT_FALSE(check_file_size(*header, bytes.size() + 15));
  const auto longer = check_file_size(*header, bytes.size() + 17);
  ASSERT_FALSE(longer);
  EXPECT_THAT(longer.error().message, testing::HasSubstr("after the last tensor"));
}

TEST(SafetensorsHeader, KnowsPackedWeights) {
  Header header;
  header.metadata = {{"format", "mlx"}};
  header.tensors = {{.name = "x.weight", .dtype = Dtype::u32, .shape = {4, 8}, .begin = 0, .end = 128},
                    {.name = "x.scales", .dtype = Dtype::bf16, .shape = {4, 1}, .begin = 128, .end = 136}};
  const Facts known = facts(header);
  EXPECT_TRUE(known.packed);
  EXPECT_EQ(known.dtype, "U32");
  EXPECT_EQ(known.format, "mlx");
  EXPECT_EQ(known.elements, 36U);
}

}  // namespace
}  // namespace mlxbase::safetensors
