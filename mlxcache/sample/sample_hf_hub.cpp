// Every second repo as huggingface_hub 2.x lays it out (payloads in the shared store), the others as 0.x and 1.x do.
#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"
#include "mlxcache/sample/hub_repo.h"

namespace mlxcache::sample::hf_hub {
namespace {

namespace path = mlxbase::path;

mlxbase::Status put_shared(const std::string& root, const std::string& folder, const std::string& etag, const std::string& bytes) {
  const std::string xet = opaque_hex(bytes);
  const std::string payload = path::join(root, "blobs", xet.substr(0, 2), xet);
  // Equal files of two repos are one payload with two referrers.
  auto& fs = mlxbase::os::real_file_system();
  const std::string line = folder + "/blobs/" + etag + "\n";
  if (fs.stat(payload)) {
    const std::string refs = TRY(mlxbase::os::read_small_file(fs, payload + ".refs", 1U << 20U));
    TRY(fs.unlink(payload + ".refs"));
    TRY(put(payload + ".refs", refs + line));
  } else {
    TRY(put(payload, bytes, 0444));
    TRY(put(payload + ".refs", line));
    TRY(put(payload + ".lock", "", 0666));
  }
  return link("../../blobs/" + xet.substr(0, 2) + "/" + xet, path::join(root, folder, "blobs", etag));
}

}  // namespace

mlxbase::Result<catalog::Root> build(const Order& order) {
  const catalog::Root root{catalog::StoreKind::hf_hub, order.place(".cache/huggingface/hub"), "sample"};
  TRY(put(path::join(root.path, "CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\n"));
  for (std::size_t i = 0; i < order.models.size(); ++i) {
    const Model& model = order.models[i];
    const bool shared = i % 2 == 1;
    if (shared && i == 1) TRY(put(path::join(root.path, "blobs", ".huggingface-shared-blobs"), "1\n"));
    const HubRepo repo = TRY(start_hub_repo(root.path, model));
    for (const File& file : model.files) {
      const std::string etag = etag_of(file);
      if (shared && etag.size() == 64) {
        if (!mlxbase::os::real_file_system().stat(path::join(repo.folder, "blobs", etag))) {
          TRY(put_shared(root.path, std::string(path::file_name(repo.folder)), etag, file.bytes));
        }
        TRY(link_snapshot(repo, file, etag));
      } else {
        TRY(add_to_hub_repo(repo, file));
      }
      TRY(put_once(path::join(root.path, ".locks", path::file_name(repo.folder), etag + ".lock"), "", 0664));
    }
    TRY(finish_hub_repo(repo, order.extras, i == 0, i + 1 == order.models.size()));
  }
  return root;
}

}  // namespace mlxcache::sample::hf_hub
