// The flat cache of -hf downloads before spring 2026. Ids are "owner/repo:TAG"; each model's first file is what the manifest names.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::llama_cpp {
namespace {

namespace path = mlxbase::path;

/// "owner_repo_file", as the tool flattens it.
std::string flat(std::string_view owner, std::string_view repo, std::string_view file) {
  std::string out = std::string(owner) + "_" + std::string(repo) + "_" + std::string(file);
  for (char& c : out) {
    if (c == '/') c = '_';
  }
  return out;
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::llama_cpp, order.place(".cache/llama.cpp", "Library/Caches/llama.cpp"), "sample"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const auto slash = model.id.find('/');
    const auto colon = model.id.find(':');
    if (slash == std::string::npos || colon == std::string::npos || colon < slash || model.files.empty()) {
      return mlxbase::fail(mlxbase::Code::invalid, "an id of llama.cpp is owner/repo:TAG, with at least one file");
    }
    const std::string owner = model.id.substr(0, slash);
    const std::string repo = model.id.substr(slash + 1, colon - slash - 1);
    const std::string tag = model.id.substr(colon + 1);
    for (const File& file : model.files) {
      const std::string where = path::join(root.path, flat(owner, repo, file.name));
      TRY(put(where, file.bytes));
      TRY(put(where + ".etag", "\"" + sha256_hex(file.bytes) + "\""));
    }
    const File& first = model.files.front();
    TRY(put(path::join(root.path, "manifest=" + owner + "=" + repo + "=" + tag + ".json"),
            R"({"ggufFile":{"rfilename":")" + first.name + R"(","size":)" + std::to_string(first.bytes.size()) + R"(,"lfs":{"sha256":")" +
                sha256_hex(first.bytes) + "\"}}}"));
  }
  if (order.extras.partial)
    TRY(put(path::join(root.path, "org_half-GGUF_half-Q8_0.gguf.downloadInProgress"), gguf_bytes(7, 4000).substr(0, 2000)));
  if (order.extras.broken) TRY(link(path::join(order.home, "gone.gguf"), path::join(root.path, "org_gone_gone.gguf")));
  return root;
}

}  // namespace mlxcache::sample::llama_cpp
