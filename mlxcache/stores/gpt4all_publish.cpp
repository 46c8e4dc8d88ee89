// A GGUF given to GPT4All: one file in its folder; and taken out again.
#include "mlxbase/core/path.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::gpt4all {

namespace path = mlxbase::path;

mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  const GgufChoice choice = TRY(choose_whole_gguf(source, "GPT4All"));
  const std::string name = gguf_file_name(source, choice.parts.front());
  PublicationBuilder out(context, root, source);
  TRY(out.payload(name, choice.parts.front()));
  if (choice.projector) out.note("GPT4All would list the projector as a model, so it was left out: images are not understood");
  return out.finish(std::string(path::stem(name)));
}

mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model) {
  const catalog::Model* const of = TRY(model_of(listing, model));
  std::vector<std::uint32_t> partials;
  for (const std::uint32_t mine : of->entries) {
    const std::string& file = listing.entries[mine].path;
    const std::string running = path::join(path::parent(file), "incomplete-" + std::string(path::file_name(file)));
    for (std::uint32_t e = 0; e < listing.entries.size(); ++e) {
      if (listing.entries[e].path == running || listing.entries[e].path == file + ".part") partials.push_back(e);
    }
  }
  return remove_plain(context, listing, model, partials);
}

}  // namespace mlxcache::stores::gpt4all
