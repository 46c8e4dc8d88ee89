#include "mlxbase/format/gguf.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores {

mlxbase::Result<GgufFacts> gguf_facts(const Context& context, const std::string& path) {
  auto file = TRY(context.fs.open_read(path));
  const auto stat = TRY(file->stat());
  const mlxbase::ByteSource bytes{stat.size, [&](std::uint64_t offset, std::span<std::byte> out) { return file->pread(offset, out); }};
  const auto header = TRY(mlxbase::gguf::read_header(bytes));
  const auto facts = mlxbase::gguf::facts(header);
  GgufFacts out;
  out.architecture = facts.architecture;
  out.name = facts.name;
  out.size_label = facts.size_label;
  out.file_type = facts.quantisation;
  out.parameters = facts.parameters;
  out.context_length = facts.context_length.value_or(0);
  out.projector = facts.architecture == "clip" || facts.kind == "mmproj";
  constexpr std::uint64_t kMostSplits = 99'999;  // five digits in the parts' names
  if (facts.split_count && *facts.split_count > 1 && *facts.split_count <= kMostSplits) out.splits = static_cast<std::uint32_t>(*facts.split_count);
  if (const auto* chat = header.find("tokenizer.chat_template"); chat != nullptr) out.chat_template = chat->text;
  return out;
}

}  // namespace mlxcache::stores
