// Models put into a folder that the person named, and taken out of one.
#include <set>

#include "mlxbase/core/path.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::loose {

namespace path = mlxbase::path;

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const auto ggufs = gguf_files(source);
  PublicationBuilder out(context, root, source);
  std::set<std::string> names;
  for (std::uint32_t i = 0; i < source.files.size(); ++i) {
    const std::string& name = source.files[i].name;
    // Content-addressed stores have no endings, and here an ending says all.
    const bool nameless = format_of(name).empty() && ggufs.size() == 1 && ggufs.front() == i;
    const std::string own = nameless ? gguf_file_name(source, i) : name;
    names.insert(own);
    TRY(out.payload(path::join(source.name, own), i));
  }
  // A GGUF is a model by itself; other weights of one folder are one model.
  if (ggufs.empty()) TRY(refuse_other_weights(context, path::join(root.path, source.name), names));
  return out.finish(source.name);
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  return remove_plain(context, listing, model);
}

}  // namespace mlxcache::stores::loose
