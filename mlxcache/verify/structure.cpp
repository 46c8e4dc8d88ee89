#include "mlxcache/verify/structure.h"

#include <array>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/byte_source.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/safetensors.h"

namespace mlxcache::verify {
namespace {

/// By the first bytes: blobs carry no ending. Only what cannot well be anything else counts.
Container sniff(std::span<const std::byte> start, std::uint64_t size) {
  if (mlxbase::as_text(start).starts_with("GGUF")) return Container::gguf;
  mlxbase::ByteReader in(start);
  const auto length = in.get<std::uint64_t>();
  const std::string_view json = mlxbase::as_text(start.subspan(std::min<std::size_t>(8, start.size())));
  if (length <= mlxbase::safetensors::kMaxHeaderBytes && size >= 8 && length <= size - 8 && (json.starts_with("{\"") || json.starts_with("{}"))) {
    return Container::safetensors;
  }
  return Container::none;
}

}  // namespace

mlxbase::Status check_structure(mlxbase::os::File& file, Container named) {
  const std::uint64_t size = TRY(file.stat()).size;
  std::array<std::byte, 10> start{};
  const std::size_t got = TRY(file.pread(0, start));
  Container container = sniff(std::span(start).first(got), size);
  if (container == Container::none) container = named;
  const mlxbase::ByteSource source{size, [&file](std::uint64_t at, std::span<std::byte> out) { return file.pread(at, out); }};
  if (container == Container::safetensors) {
    return mlxbase::safetensors::check_file_size(TRY(mlxbase::safetensors::read_header(source)), size);
  }
  if (container == Container::gguf) return mlxbase::gguf::check_file_size(TRY(mlxbase::gguf::read_header(source)), size);
  return {};
}

}  // namespace mlxcache::verify
