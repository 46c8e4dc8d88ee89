// LocalAI: files below the models folder (it follows no path out of it) and a definition. Source: mudler/LocalAI core/config, core/gallery/models.go.
#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/localai_definition.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::localai {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::uint64_t kLimit = std::uint64_t{4} << 20U;
constexpr std::string_view kGallery = "._gallery_";

bool is_yaml(std::string_view name) { return name.ends_with(".yaml") || name.ends_with(".yml"); }

/// As a quoted scalar: JSON's strings are YAML's.
std::string quoted(std::string_view text) { return mlxbase::json::dump(mlxbase::json::Value(text)); }

/// What one file on top of the models folder defines.
struct DefinitionFile {
  std::string name;  // of the file
  std::vector<std::string> models;
  bool record = false;  // of the gallery
};

Result<std::vector<DefinitionFile>> definition_files(const Context& context, const std::string& root) {
  std::vector<DefinitionFile> out;
  const auto names = context.fs.list(root);
  if (!names) {
    if (names.error().code == Code::not_found) return out;
    return fail(names.error());
  }
  for (const auto& entry : *names) {
    if (!is_yaml(entry.name)) continue;
    DefinitionFile file{entry.name, {}, entry.name.starts_with(kGallery)};
    const auto text = read_metadata(context, root, path::join(root, entry.name), kLimit);
    const auto parsed = text ? parse_definitions(*text) : Result<std::vector<Definition>>(fail(text.error()));
    if (!parsed) continue;  // LocalAI skips what it cannot read
    for (const Definition& d : *parsed) file.models.push_back(d.name.empty() ? std::string(path::stem(entry.name)) : d.name);
    out.push_back(std::move(file));
  }
  return out;
}

}  // namespace

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  if (!holds_gguf(source)) {
    return fail(Code::unsupported, "LocalAI is given GGUF files, and this model is " + describe_formats(source) + ": its other backends take an id on the hub and fetch it themselves");
  }
  const GgufChoice choice = TRY(choose_gguf(source));
  const std::string first = gguf_file_name(source, choice.parts.front());
  const std::string name(path::stem(first));
  const std::string definition = name + ".yaml";
  for (const DefinitionFile& file : TRY(definition_files(context, root.path))) {
    const bool same = std::find(file.models.begin(), file.models.end(), name) != file.models.end();
    if (same && !file.record && file.name != definition) return fail(Code::changed, "LocalAI has a model of the name " + name + " already, in " + file.name);
  }

  PublicationBuilder builder(context, root, source);
  for (const std::uint32_t part : choice.parts) TRY(builder.payload(path::join(name, gguf_file_name(source, part)), part));
  std::string yaml = "name: " + quoted(name) + "\nbackend: llama-cpp\nparameters:\n  model: " + quoted(path::join(name, first)) + "\n";
  if (choice.projector) {
    const std::string projector = path::join(name, gguf_file_name(source, *choice.projector));
    TRY(builder.payload(projector, *choice.projector));
    yaml += "mmproj: " + quoted(projector) + "\n";
  }
  if (source.gguf && !source.gguf->chat_template.empty()) {
    yaml += "template:\n  use_tokenizer_template: true\n";
    builder.note("the chat template is read from the GGUF");
  }
  TRY(builder.text(definition, yaml));
  builder.note("LocalAI shows it after a restart");
  return builder.finish(name);
}

Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  const auto files = TRY(definition_files(context, listing.root.path));
  RemovalBuilder builder(context, listing, index);
  std::vector<std::string> stems;
  for (const DefinitionFile& file : files) {
    if (file.record || std::find(file.models.begin(), file.models.end(), model.id) == file.models.end()) continue;
    if (file.models.size() > 1) return fail(Code::unsupported, file.name + " defines other models, too: take its lines out by hand");
    builder.take_name(path::join(listing.root.path, file.name));
    stems.emplace_back(path::stem(file.name));
  }
  for (const std::string& stem : stems) {
    const std::string record = path::join(listing.root.path, std::string(kGallery) + stem + ".yaml");
    if (context.fs.stat(record)) builder.take_name(record);
  }
  for (const std::uint32_t e : model.entries) {
    const std::string partial = listing.entries[e].path + ".partial";
    for (const Entry& entry : listing.entries) {
      if (entry.path == partial) TRY(refuse_if_written(context, entry));
    }
    TRY(builder.take(e));
  }
  return builder.finish();
}

}  // namespace mlxcache::stores::localai
