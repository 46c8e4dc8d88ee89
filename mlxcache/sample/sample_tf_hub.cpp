// TensorFlow Hub: a folder named by the SHA-1 of the module's address, and what it was beside it.
#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample::tf_hub {
namespace {

namespace path = mlxbase::path;

std::string folder_of(std::string_view address) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha1);
  hasher.update(mlxbase::as_bytes(address));
  return hasher.finish().hex();
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  // The default lies in the system's temporary folder; a home can only have the usual place of those who set the variable.
  const catalog::Root root{catalog::StoreKind::tf_hub, order.place(".cache/tfhub_modules"), "usual place"};
  for (const Model& model : order.models) {
    const std::string folder = path::join(root.path, folder_of(model.id));
    for (const File& file : model.files) TRY(put(path::join(folder, file.name), file.bytes));
    TRY(put(folder + ".descriptor.txt", "Module: " + model.id + "\nDownload Time: 2025-05-01 10:00:00.000000\nDownloader Hostname: example (PID:1)\n"));
  }
  if (order.extras.partial) {
    const std::string unpacking = path::join(root.path, folder_of("second") + ".6e2f1d0c4b5a4e7f8a9b0c1d2e3f4a5b.tmp");
    TRY(put(path::join(unpacking, "variables/variables.data-00000-of-00001"), "half"));
    TRY(put(path::join(root.path, folder_of("second") + ".lock"), "example.1.6e2f1d0c4b5a4e7f8a9b0c1d2e3f4a5b"));
  }
  if (order.extras.broken) TRY(link("/nowhere/saved_model.pb", path::join(root.path, folder_of("gone"), "saved_model.pb")));
  return root;
}

}  // namespace mlxcache::sample::tf_hub
