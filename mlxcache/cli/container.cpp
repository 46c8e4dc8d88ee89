#include "mlxcache/cli/container.h"

#include <fmt/format.h>

#include <array>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/units.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/safetensors.h"

namespace mlxcache::cli {
namespace {

namespace gguf = mlxbase::gguf;
namespace safetensors = mlxbase::safetensors;
using mlxbase::format_exact;

void add(ContainerFacts& facts, std::string name, std::string value) {
  if (!value.empty() && value != "0") facts.facts.emplace_back(std::move(name), std::move(value));
}

ContainerFacts gguf_facts(const mlxbase::ByteSource& source) {
  ContainerFacts out{.container = "gguf", .facts = {}, .problem = {}};
  auto header = gguf::read_header(source);
  if (!header) {
    out.problem = header.error().message;
    return out;
  }
  if (auto whole = gguf::check_file_size(*header, source.size); !whole) out.problem = whole.error().message;
  const gguf::Facts f = gguf::facts(*header);
  add(out, "architecture", f.architecture);
  add(out, "name", f.name);
  add(out, "quantisation", f.quantisation);
  add(out, "tensors", format_exact(f.tensors));
  add(out, "parameters", format_exact(f.parameters));
  if (f.context_length) add(out, "context_length", format_exact(*f.context_length));
  if (f.blocks) add(out, "blocks", format_exact(*f.blocks));
  if (f.split_count && *f.split_count > 1) add(out, "split", fmt::format("{} of {}", f.split_no.value_or(0) + 1, *f.split_count));
  return out;
}

ContainerFacts safetensors_facts(const mlxbase::ByteSource& source) {
  ContainerFacts out{.container = "safetensors", .facts = {}, .problem = {}};
  auto header = safetensors::read_header(source);
  if (!header) {
    out.problem = header.error().message;
    return out;
  }
  if (auto whole = safetensors::check_file_size(*header, source.size); !whole) out.problem = whole.error().message;
  const safetensors::Facts f = safetensors::facts(*header);
  add(out, "dtype", f.dtype);
  add(out, "tensors", format_exact(f.tensors));
  add(out, f.packed ? "stored_words" : "parameters", format_exact(f.elements));
  add(out, "format", f.format);
  return out;
}

}  // namespace

std::optional<ContainerFacts> container_facts(mlxbase::os::FileSystem& fs, const std::string& path) {
  const auto stat = fs.stat(path, mlxbase::os::Follow::yes);
  if (!stat || stat->kind != mlxbase::os::FileKind::regular || stat->dataless || stat->size < 9) return std::nullopt;
  auto file = fs.open_read(path, mlxbase::os::Follow::yes);
  if (!file) return std::nullopt;
  std::array<std::byte, 9> head{};
  const auto got = (*file)->pread(0, head);
  if (!got || *got < head.size()) return std::nullopt;
  const mlxbase::ByteSource source{stat->size, [&](std::uint64_t offset, std::span<std::byte> out) { return (*file)->pread(offset, out); }};
  const std::string_view text = mlxbase::as_text(head);
  if (text.starts_with("GGUF")) return gguf_facts(source);
  mlxbase::ByteReader reader(head);
  const auto length = reader.get<std::uint64_t>();
  if (text[8] == '{' && length <= safetensors::kMaxHeaderBytes && length <= stat->size) return safetensors_facts(source);
  return std::nullopt;
}

}  // namespace mlxcache::cli
