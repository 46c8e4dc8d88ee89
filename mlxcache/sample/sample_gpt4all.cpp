// GPT4All: one flat folder, in which the app also keeps chats and descriptions of remote models.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::gpt4all {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::gpt4all, order.place(".local/share/nomic.ai/GPT4All", "Library/Application Support/nomic.ai/GPT4All"), "default"};
  for (const Model& model : order.models) {
    if (model.files.size() != 1) return mlxbase::fail(mlxbase::Code::invalid, "a model of GPT4All is one file");
    TRY(put(path::join(root.path, model.id + std::string(path::extension(model.files[0].name))), model.files[0].bytes));
  }
  TRY(put(path::join(root.path, "gpt4all-remote.rmodel"), R"({"apiKey":"not for other eyes","modelName":"remote"})"));
  TRY(put(path::join(root.path, "gpt4all-chat-1.chat"), "chat"));
  if (order.extras.partial) TRY(put(path::join(root.path, "incomplete-second.Q4_0.gguf"), gguf_bytes(0x69a1, 8 << 10).substr(0, 3000)));
  if (order.extras.broken) TRY(link("/nowhere/gone.gguf", path::join(root.path, "gone.gguf")));
  return root;
}

}  // namespace mlxcache::sample::gpt4all
