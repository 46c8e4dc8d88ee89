#include "mlxcache/codec/stream.h"

#include <algorithm>
#include <cstring>

#include "mlxcache/codec/tables.h"

namespace mlxcache::codec {
namespace {
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

std::uint32_t load_u32(const std::byte* p) {
  std::uint32_t v = 0;
  for (unsigned i = 0; i < 4; ++i) v |= std::to_integer<std::uint32_t>(p[i]) << (8 * i);
  return v;
}
}  // namespace

void StreamWriter::start(std::size_t elements, unsigned most_bits) {
  const std::size_t room = elements * ((most_bits + 15) / 16) * 2 + 64;
  if (size_ < room) {
    room_ = std::make_unique_for_overwrite<std::uint8_t[]>(room);
    size_ = room;
  }
  std::fill_n(state_.lane, kLanes, kLeastState);
  state_.at = room_.get() + size_;
}

void StreamWriter::finish(std::vector<std::byte>& out) {
  const auto words = static_cast<std::size_t>(room_.get() + size_ - state_.at);
  mlxbase::ByteWriter head;
  head.put(static_cast<std::uint32_t>(words));
  for (const std::uint32_t x : state_.lane) head.put(x);
  out.insert(out.end(), head.bytes().begin(), head.bytes().end());
  const auto* from = reinterpret_cast<const std::byte*>(state_.at);
  out.insert(out.end(), from, from + words);
}

Result<StreamReader> StreamReader::open(mlxbase::ByteReader& bytes) {
  const auto words = bytes.get<std::uint32_t>();
  const auto states = bytes.get_bytes(4 * kLanes);
  const auto body = bytes.get_bytes(words);
  if (!bytes.ok() || words % 2 != 0) return fail(Code::corrupt, "coded tensor: a stream is cut short");
  StreamReader r;
  for (unsigned i = 0; i < kLanes; ++i) {
    r.state_.lane[i] = load_u32(states.data() + 4 * i);
    if (r.state_.lane[i] < kLeastState || r.state_.lane[i] >> 31 != 0) return fail(Code::corrupt, "coded tensor: a stream starts in a state that cannot be");
  }
  r.state_.at = reinterpret_cast<const std::uint8_t*>(body.data());
  r.state_.end = r.state_.at + body.size();
  return r;
}

Status StreamReader::finish() const {
  bool whole = !state_.bad && state_.at == state_.end;
  for (const std::uint32_t x : state_.lane) whole = whole && x == kLeastState;
  if (!whole) return fail(Code::corrupt, "coded tensor: a damaged stream");
  return {};
}

void write_packed(mlxbase::ByteWriter& out, std::span<const std::uint8_t> bytes) {
  Counts counts{};
  const Kernels& k = scalar_kernels();
  k.count(bytes.data(), nullptr, bytes.size(), counts.data());
  mlxbase::ByteWriter tables;
  const Frequencies f = normalise(counts);
  write_tables(tables, {&f, 1});
  StreamWriter writer;
  writer.start(bytes.size(), kTableBits);
  k.encode(writer.state(), encode_table({&f, 1}).view(), nullptr, bytes.size(), bytes.data());
  std::vector<std::byte> stream;
  writer.finish(stream);
  const bool shorter = tables.bytes().size() + stream.size() < bytes.size();
  out.put(static_cast<std::uint8_t>(shorter ? 1 : 0));
  out.put_bytes(shorter ? std::span<const std::byte>(tables.bytes()) : std::as_bytes(bytes));
  if (shorter) out.put_bytes(stream);
}

Result<std::vector<std::uint8_t>> read_packed(mlxbase::ByteReader& in, std::size_t n) {
  const auto packed = in.get<std::uint8_t>();
  if (packed > 1) return fail(Code::corrupt, "coded tensor: damaged side information");
  if (packed == 0) {
    const auto bytes = in.get_bytes(n);
    if (!in.ok()) return fail(Code::corrupt, "coded tensor: side information is cut short");
    std::vector<std::uint8_t> out(n);
    if (n > 0) std::memcpy(out.data(), bytes.data(), n);
    return out;
  }
  const auto tables = TRY(read_tables(in));
  if (tables.size() != 1) return fail(Code::corrupt, "coded tensor: damaged side information");
  auto reader = TRY(StreamReader::open(in));
  std::vector<std::uint8_t> out(n);
  scalar_kernels().decode(reader.state(), decode_entries(tables).data(), nullptr, n, out.data());
  TRY(reader.finish());
  return out;
}

}  // namespace mlxcache::codec
