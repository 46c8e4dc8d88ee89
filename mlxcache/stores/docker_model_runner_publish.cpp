// Models put into Docker Model Runner's store and taken out again as its own code does it: blobs, config, manifest, then the line of models.json, which it
// reads anew for every request. Source: docker/model-runner pkg/distribution/internal/{store,partial,bundle}, types.
#include <algorithm>
#include <cctype>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/oci_store.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::docker_model_runner {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Array;
using mlxbase::json::Value;
using mlxbase::os::Follow;

constexpr std::uint64_t kLimit = std::uint64_t{16} << 20U;
constexpr std::string_view kTypes = "application/vnd.docker.ai.";
constexpr std::string_view kIndex = "models.json";

Digest sha256_of(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

/// A repository's name in the grammar of OCI: lower case, single separators between letters and digits.
std::string repository_of(std::string_view text) {
  std::string out;
  for (const char c : lower(text)) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    const bool after_letter = !out.empty() && out.back() != '/' && out.back() != '-' && out.back() != '.' && out.back() != '_';
    if (letter) {
      out += c;
    } else if (after_letter) {
      out += c == '.' || c == '_' || c == '/' ? c : '-';
    }
  }
  while (!out.empty() && (out.back() == '-' || out.back() == '.' || out.back() == '_' || out.back() == '/')) out.pop_back();
  return out.empty() ? "model" : out;
}
std::string tag_of(std::string_view text) {
  constexpr std::size_t kLongest = 128;
  std::string out;
  for (const char c : text) {
    const bool word = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    if (word || (!out.empty() && (c == '.' || c == '-'))) out += c;
  }
  out.resize(std::min(out.size(), kLongest));
  return out.empty() ? "latest" : out;
}

/// A model of the hub by the name under which the runner itself would have it; others of a host that no registry has.
std::string reference_for(const ModelSource& source, const std::string& quantisation) {
  const bool told = !source.tag.empty() && source.tag != "latest";
  const std::string tag = tag_of(told ? source.tag : quantisation);
  if (source.id.contains('/')) return "huggingface.co/" + repository_of(source.id) + ":" + tag;
  return "mlxcache.local/import/" + repository_of(source.name) + ":" + tag;
}

/// models.json as it is, with fields that are not known here.
Result<Value> read_index(const Context& context, const std::string& root) {
  const std::string file = path::join(root, kIndex);
  const auto text = mlxbase::os::read_small_file(context.fs, file, kLimit, Follow::no);
  Value index;
  if (text) {
    index = TRY(mlxbase::json::parse(*text, {.bytes = kLimit, .depth = 32}));
    (void)TRY(parse_models(*text));
  } else if (text.error().code != Code::not_found) {
    return fail(text.error());
  }
  if (index.is_null()) index.set("models", Array{});
  return index;
}

bool has_text(const Value& list, std::string_view text) {
  return std::any_of(list.array().begin(), list.array().end(), [&](const Value& v) { return v.string() == text; });
}

std::string dumped(const Value& index) { return mlxbase::json::dump(index, 2); }

class Publisher {
 public:
  Publisher(const Context& context, const Root& root, const ModelSource& source) : context_(context), root_(root), source_(source), builder_(context, root, source) {}

  Result<Publication> run() {
    TRY(holds_gguf(source_) ? gguf() : safetensors());
    return write();
  }

 private:
  mlxbase::Status gguf() {
    const GgufChoice choice = TRY(choose_gguf(source_));
    for (const std::uint32_t part : choice.parts) TRY(layer(part, "gguf.v3", path::file_name(source_.files[part].name)));
    if (choice.projector) TRY(layer(*choice.projector, "mmproj", path::file_name(source_.files[*choice.projector].name)));
    config_.set("format", "gguf");
    if (!choice.quantisation.empty()) config_.set("quantization", choice.quantisation);
    if (source_.gguf) {
      if (!source_.gguf->size_label.empty()) config_.set("parameters", source_.gguf->size_label);
      if (!source_.gguf->architecture.empty()) config_.set("architecture", source_.gguf->architecture);
    }
    reference_ = reference_for(source_, choice.quantisation);
    return {};
  }
  /// A layer a file, its place in the model beside it (config v0.2).
  mlxbase::Status safetensors() {
    const auto files = TRY(safetensors_set(context_, root_, source_, "Docker Model Runner"));
    for (const std::uint32_t file : files) {
      const std::string& name = source_.files[file].name;
      TRY(layer(file, name.ends_with(".safetensors") ? "safetensors" : "model.file", name));
    }
    config_.set("format", "safetensors");
    version_ = "v0.2";
    reference_ = reference_for(source_, "latest");
    builder_.note("needs a Docker Model Runner that knows layers of single files (config v0.2)");
    return {};
  }

  mlxbase::Status layer(std::uint32_t file, std::string_view type, std::string_view name) {
    const SourceFile& f = source_.files[file];
    if (!has_text(diff_ids_, f.sha256.to_string())) TRY(builder_.payload(path::join("blobs/sha256", f.sha256.hex()), file));
    Value annotations;
    annotations.set("org.cncf.model.filepath", std::string(name));
    Value v = described(std::string(kTypes) + std::string(type), f.sha256, f.size);
    v.set("annotations", std::move(annotations));
    layers_.push(std::move(v));
    diff_ids_.push(f.sha256.to_string());
    return {};
  }
  static Value described(const std::string& type, const Digest& digest, std::uint64_t size) {
    Value v;
    v.set("mediaType", type).set("size", size).set("digest", digest.to_string());
    return v;
  }

  Result<Publication> write() {
    Value rootfs;
    rootfs.set("type", "rootfs").set("diff_ids", diff_ids_);
    Value config;
    config.set("config", config_).set("descriptor", mlxbase::json::Object{}).set("rootfs", std::move(rootfs));
    const std::string config_text = mlxbase::json::dump(config);
    TRY(builder_.text(path::join("blobs/sha256", sha256_of(config_text).hex()), config_text));
    Value manifest;
    manifest.set("schemaVersion", 2).set("mediaType", "application/vnd.oci.image.manifest.v1+json");
    manifest.set("config", described(std::string(kTypes) + "model.config." + version_ + "+json", sha256_of(config_text), config_text.size()));
    manifest.set("layers", layers_);
    const std::string manifest_text = mlxbase::json::dump(manifest);
    const Digest id = sha256_of(manifest_text);
    TRY(builder_.text(path::join("manifests/sha256", id.hex()), manifest_text));
    if (!context_.fs.stat(path::join(root_.path, "layout.json"))) TRY(builder_.text("layout.json", R"({"version":"1.0.0"})"));
    Value files = diff_ids_;
    files.push(sha256_of(config_text).to_string());
    TRY(enter(id, files));
    return builder_.finish(std::string(shown(reference_)));
  }

  /// The line of models.json: what makes it visible.
  mlxbase::Status enter(const Digest& id, const Value& files) {
    const Value index = TRY(read_index(context_, root_.path));
    Array models;
    bool known = false, changed = false;
    for (const Value& row : index["models"].array()) {
      Value copy = row;
      const bool same = row["id"].string() == id.to_string();
      const bool tagged = has_text(row["tags"], reference_);
      if (tagged && !same) return fail(Code::changed, "Docker Model Runner has another model of the name " + mlxbase::printable(shown(reference_)) + " already");
      if (same && !tagged) {
        Value tags = row["tags"].is_array() ? row["tags"] : Value(Array{});
        tags.push(reference_);
        copy.set("tags", std::move(tags));
        changed = true;
      }
      known = known || same;
      models.push_back(std::move(copy));
    }
    if (!known) {
      Value row;
      row.set("id", id.to_string()).set("tags", Array{Value(reference_)}).set("files", files);
      models.push_back(std::move(row));
      changed = true;
    }
    if (!changed) {  // as it stands, byte for byte
      return builder_.text(std::string(kIndex), TRY(mlxbase::os::read_small_file(context_.fs, path::join(root_.path, kIndex), kLimit, Follow::no)));
    }
    Value out = index;
    out.set("models", std::move(models));
    return builder_.replace_text(std::string(kIndex), dumped(out));
  }

  const Context& context_;
  const Root& root_;
  const ModelSource& source_;
  PublicationBuilder builder_;
  std::string reference_;
  std::string version_ = "v0.1";
  Value config_, layers_{Array{}}, diff_ids_{Array{}};
};

/// models.json without the tag, or without the line if that was its last.
struct Shortened {
  NewName file;
  std::optional<BlobId> gone;
};
Result<Shortened> without(const Context& context, const Listing& listing, const catalog::Model& model) {
  const std::string file = path::join(listing.root.path, kIndex);
  const auto stat = TRY(context.fs.stat(file));
  const Value index = TRY(read_index(context, listing.root.path));
  Shortened out;
  Array models;
  bool found = false;
  for (const Value& row : index["models"].array()) {
    const auto id = BlobId::parse(row["id"].string());
    if (!id || id->hex != model.revision) {
      models.push_back(row);
      continue;
    }
    Array tags;
    for (const Value& tag : row["tags"].array()) {
      if (shown(tag.string()) != model.id) tags.push_back(tag);
    }
    found = tags.size() < row["tags"].array().size() || (tags.empty() && model.id == id->text());
    if (tags.empty()) {
      out.gone = id;
      continue;
    }
    Value copy = row;
    copy.set("tags", std::move(tags));
    models.push_back(std::move(copy));
  }
  if (!found) return fail(Code::changed, "models.json does not name it any more");
  Value shorter = index;
  shorter.set("models", std::move(models));
  out.file.what = NewName::What::text;
  out.file.path = file;
  out.file.content = dumped(shorter);
  out.file.mode = stat.mode;
  out.file.replaces = true;
  out.file.expected = catalog::fingerprint_of(stat);
  return out;
}

}  // namespace

std::optional<Root> default_root(const Context& context) {
  return Root{StoreKind::docker_model_runner, path::join(context.environment.home, ".docker/models"), "default"};
}

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  return Publisher(context, root, source).run();
}

Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  RemovalBuilder builder(context, listing, index);
  const std::string unlisted = "sha256:" + model.revision;
  auto shorter = without(context, listing, model);
  if (!shorter && model.id != unlisted) return fail(shorter.error());
  std::optional<BlobId> gone = shorter ? shorter->gone : BlobId::parse(unlisted);
  if (shorter) builder.rewrite(std::move(shorter->file));
  if (!gone) return builder.finish();  // another tag keeps it

  builder.take_name(path::join(listing.root.path, "manifests", gone->algorithm, gone->hex));
  const std::string bundle = path::join(listing.root.path, "bundles", gone->algorithm, gone->hex);
  for (const std::uint32_t e : builder.below(bundle)) TRY(builder.take(e));
  for (const std::uint32_t e : model.entries) {
    const std::string partial = listing.entries[e].path + ".incomplete";
    for (const Entry& entry : listing.entries) {
      if (entry.path == partial) TRY(refuse_if_written(context, entry));
    }
    TRY(builder.take(e));
  }
  return builder.finish(bundle);
}

}  // namespace mlxcache::stores::docker_model_runner
