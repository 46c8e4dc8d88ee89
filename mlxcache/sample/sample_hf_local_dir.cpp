// As Swift's HubApi and `hf download --local-dir` leave it: plain files, and a sidecar for each.
#include <string>

#include "mlxbase/core/path.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"
#include "mlxcache/sample/hub_repo.h"

namespace mlxcache::sample::hf_local_dir {

namespace path = mlxbase::path;

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::hf_local_dir, order.place("Documents/huggingface/models"), "sample"};
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    if (!path::is_safe_relative(model.id)) return mlxbase::fail(mlxbase::Code::invalid, "not a repo's id");
    const std::string folder = path::join(root.path, model.id);
    const std::string downloads = path::join(folder, ".cache/huggingface/download");
    const std::string commit = opaque_hex(model.id).substr(0, 40);
    TRY(put(path::join(folder, ".cache/huggingface/.gitignore"), "*"));
    for (const File& file : model.files) {
      const std::string where = path::join(folder, file.name);
      TRY(put(where, file.bytes));
      const auto stat = TRY(mlxbase::os::real_file_system().stat(where));
      const std::string time = std::to_string(stat.mtime_ns / 1'000'000'000 + 1) + ".0";  // the client writes it after the file
      TRY(put(path::join(downloads, file.name + ".metadata"), commit + "\n" + etag_of(file) + "\n" + time + "\n"));
      TRY(put(path::join(downloads, file.name + ".lock"), "", 0664));
    }
    if (i == 0 && order.extras.partial) {
      TRY(put(path::join(downloads, "6QHPvKEJkYMzjX4lkSVbWQ==." + opaque_hex("partial") + ".0badcafe.incomplete"), std::string(3000, 'p')));
    }
    if (i + 1 == order.models.size() && order.extras.broken) TRY(link("/nowhere/gone.safetensors", path::join(folder, "gone.safetensors")));
  }
  return root;
}

}  // namespace mlxcache::sample::hf_local_dir
