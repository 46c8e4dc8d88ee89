#include "mlxcache/sample/hub_repo.h"

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample {

namespace path = mlxbase::path;

std::string etag_of(const File& file) {
  const std::string_view ending = path::extension(file.name);
  const bool text = ending == ".json" || ending == ".txt" || ending == ".md" || ending == ".jinja";
  return text ? git_sha1_hex(file.bytes) : sha256_hex(file.bytes);
}

mlxbase::Status put_once(const std::string& where, std::string_view bytes, std::uint32_t mode) {
  if (mlxbase::os::real_file_system().stat(where)) return {};
  return put(where, bytes, mode);
}

mlxbase::Result<HubRepo> start_hub_repo(const std::string& root, const Model& model) {
  std::string folder = "models--" + model.id;
  if (const auto slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  if (!path::is_safe_segment(folder)) return mlxbase::fail(mlxbase::Code::invalid, "not a repo's id");
  std::string all = model.id;
  for (const File& file : model.files) {
    if (!path::is_safe_relative(file.name)) return mlxbase::fail(mlxbase::Code::invalid, "not a file's name");
    all += "\n" + file.name + " " + etag_of(file);
  }
  return HubRepo{path::join(root, folder), opaque_hex(all).substr(0, 40)};
}

mlxbase::Status link_snapshot(const HubRepo& repo, const File& file, const std::string& etag) {
  std::string up = "../../";
  for (const char c : file.name) {
    if (c == '/') up += "../";
  }
  return link(up + "blobs/" + etag, path::join(repo.folder, "snapshots", repo.commit, file.name));
}

mlxbase::Status add_to_hub_repo(const HubRepo& repo, const File& file) {
  const std::string etag = etag_of(file);
  TRY(put_once(path::join(repo.folder, "blobs", etag), file.bytes));
  return link_snapshot(repo, file, etag);
}

mlxbase::Status finish_hub_repo(const HubRepo& repo, const Extras& extras, bool first, bool last) {
  TRY(put(path::join(repo.folder, "refs", "main"), repo.commit));
  const std::string blobs = path::join(repo.folder, "blobs");
  if (extras.partial && first) {
    const std::string half = safetensors_bytes(0x9a27, 5000);
    TRY(put(path::join(blobs, opaque_hex(half) + ".0badcafe.incomplete"), half.substr(0, 3000)));
  }
  if (extras.orphan && first) {
    const std::string left = safetensors_bytes(0x0f4a, 6000);
    TRY(put(path::join(blobs, sha256_hex(left)), left));
  }
  if (extras.broken && last) {
    TRY(link("../../blobs/" + opaque_hex("gone"), path::join(repo.folder, "snapshots", repo.commit, "gone.safetensors")));
  }
  return {};
}

}  // namespace mlxcache::sample
