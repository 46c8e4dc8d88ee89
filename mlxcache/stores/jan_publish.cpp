// Jan: a model.yml that names the files, also outside of its folder. What stays where it is gets named; downloads of ours, which will not stay, and sets of
// splits, which lie side by side by name, are put into the model's own folder. Source: janhq/jan extensions/llamacpp-extension/src/index.ts.
#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/jan_model.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::jan {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::string_view kModels = "llamacpp/models";
constexpr std::string_view kFile = "model.yml";

/// As a plain or quoted scalar that YAML reads back as this text: JSON's strings are YAML's.
std::string quoted(std::string_view text) { return mlxbase::json::dump(mlxbase::json::Value(text)); }

std::string id_of(const ModelSource& source, std::uint32_t model) {
  const std::string stem(path::stem(gguf_file_name(source, model)));
  const auto slash = source.id.find('/');
  return slash == std::string::npos ? stem : source.id.substr(0, slash) + "/" + stem;
}

/// Whether the bytes can be named where they are.
bool stays(const Context& context, const SourceFile& file) {
  if (file.moves) return false;
  const auto stat = context.fs.stat(file.path);
  return stat && stat->kind == mlxbase::os::FileKind::regular;
}

}  // namespace

std::optional<Root> default_root(const Context& context) {
  const auto& env = context.environment;
  const std::string app_data = env.platform == mlxbase::os::Platform::macos ? path::join(env.home, "Library/Application Support") : xdg_data(env);
  // Where the app has run: it makes its own folder at the first start, and would not take over one that it finds.
  const std::string product = path::join(app_data, "Jan");
  if (!context.fs.stat(product, mlxbase::os::Follow::yes)) return std::nullopt;
  return Root{StoreKind::jan, path::join(product, "data"), "default"};
}

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  if (!holds_gguf(source)) return fail(Code::unsupported, "Jan loads GGUF files, and this model is " + describe_formats(source));
  const GgufChoice choice = TRY(choose_gguf(source));
  const std::string id = id_of(source, choice.parts.front());
  if (!is_model_id(id)) return fail(Code::invalid, "'" + id + "' is no model's id for Jan");
  const std::string folder = path::join(kModels, id);

  PublicationBuilder builder(context, root, source);
  std::string yaml = "name: " + quoted(path::file_name(id)) + "\nembedding: false\n";
  std::uint64_t size = 0;
  const auto add = [&](std::string_view key, std::uint32_t index, bool in_folder) -> mlxbase::Status {
    const SourceFile& file = source.files[index];
    std::string where = file.path;
    if (in_folder) {
      where = path::join(folder, gguf_file_name(source, index));
      TRY(builder.payload(where, index));
    }
    const std::string name(key);
    yaml += name + "_path: " + quoted(where) + "\n" + name + "_sha256: " + quoted(file.sha256.hex()) + "\n" + name + "_size_bytes: " + std::to_string(file.size) + "\n";
    size += file.size;
    return {};
  };
  const bool split = choice.parts.size() > 1 || (source.gguf && source.gguf->splits > 1);
  bool referred = false;
  for (const std::uint32_t part : choice.parts) {
    if (part == choice.parts.front()) {
      referred = !split && stays(context, source.files[part]);
      TRY(add("model", part, !referred));
    } else {
      TRY(builder.payload(path::join(folder, gguf_file_name(source, part)), part));
      size += source.files[part].size;
    }
  }
  if (choice.projector) TRY(add("mmproj", *choice.projector, !stays(context, source.files[*choice.projector])));
  yaml += "size_bytes: " + std::to_string(size) + "\n";

  const std::string file = path::join(folder, kFile);
  const auto there = mlxbase::os::read_small_file(context.fs, path::join(root.path, file), std::uint64_t{1} << 20U, mlxbase::os::Follow::no);
  if (there) {
    const auto known = parse_model_yaml(*there);
    const bool same = known && !known->files.empty() && known->files.front().sha256 == source.files[choice.parts.front()].sha256;
    if (!same) return fail(Code::changed, "Jan has another model of the name " + id + " already");
    builder.note("Jan has it already as " + id);
    TRY(builder.text(file, *there));
    return builder.finish(id);
  }
  TRY(builder.text(file, yaml));
  if (referred) builder.note("Jan reads it where it is: if it is deleted there, Jan has it no more");
  return builder.finish(id);
}

Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  RemovalBuilder builder(context, listing, index);
  std::string folder;
  bool named = false;
  for (const std::string_view models : {kModels, std::string_view("models"), std::string_view("mlx/models")}) {
    folder = path::join(listing.root.path, models, model.id);
    // Today's name, or the one that cortex gave it.
    for (const std::string& file : {path::join(folder, kFile), folder + ".yml"}) {
      if (named || !context.fs.stat(file)) continue;
      builder.take_name(file);
      named = true;
    }
    if (named) break;
  }
  if (!named && model.entries.empty()) return fail(Code::changed, "its model.yml is not there any more");
  for (const std::uint32_t e : model.entries) TRY(builder.take(e));
  if (!named) folder = std::string(path::parent(listing.entries[model.entries.front()].path));
  for (const std::uint32_t e : builder.below(folder)) {
    const Entry& entry = listing.entries[e];
    if (path::parent(entry.path) == folder && (entry.role == Role::metadata || entry.role == Role::partial)) TRY(builder.take(e));
  }
  return builder.finish();
}

}  // namespace mlxcache::stores::jan
