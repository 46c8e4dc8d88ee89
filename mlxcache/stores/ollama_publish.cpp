// A GGUF made visible in Ollama by blobs and a manifest, without `ollama create` (which rewrites it), and models taken out again as the server does it.
// Facts: docs/design/stores.md, Ollama.
#include <algorithm>
#include <set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/ollama_manifest.h"
#include "mlxcache/stores/ollama_template.h"
#include "mlxcache/stores/publish_common.h"

namespace mlxcache::stores::ollama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Value;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::string_view kMediaType = "application/vnd.ollama.image.";
constexpr std::string_view kHub = "hf.co";

Digest sha256_of(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

bool fold_equal(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

/// The server takes names of another case for the same: the one that is there counts.
std::string spelling(const Context& context, const std::string& dir, const std::string& name) {
  const auto names = context.fs.list(dir);
  if (!names) return name;
  std::string other = name;
  for (const auto& entry : *names) {
    if (entry.name == name) return name;
    if (fold_equal(entry.name, name)) other = entry.name;
  }
  return other;
}

/// Makes one segment of Ollama's grammar of a plain name.
std::string as_part(std::string_view text, std::string_view otherwise) {
  constexpr std::size_t kLongest = 80;
  std::string out;
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (out.empty() && !letter) continue;
    out += letter || c == '-' || c == '.' ? c : '-';
  }
  out.resize(std::min(out.size(), kLongest));
  return out.empty() ? std::string(otherwise) : out;
}

/// A model of the hub gets the name under which Ollama itself would pull it; any other one of a host that no registry has, so that no pull overwrites it.
Name name_for(const ModelSource& source, const std::string& quantisation) {
  const bool told = !source.tag.empty() && source.tag != "latest";
  const std::string tag = as_part(told ? source.tag : quantisation, "latest");
  const auto slash = source.id.find('/');
  if (slash != std::string::npos) {
    const auto name = name_of_manifest_path(path::join(kHub, source.id, tag));
    if (name) return *name;
  }
  return Name{"mlxcache.local", "import", as_part(source.name, "model"), tag};
}

/// As `ollama list` has it: "1.2B", "134.52M".
std::string parameter_count(std::uint64_t count) {
  constexpr std::uint64_t kMillion = 1'000'000;
  constexpr std::uint64_t kBillion = 1'000 * kMillion;
  if (count < kMillion) return std::to_string(count / 1000) + "K";
  const bool billions = count >= kBillion;
  const std::uint64_t unit = billions ? kBillion : kMillion;
  const std::uint64_t parts = billions ? 10 : 100;  // one or two decimals
  const std::uint64_t rounded = (count / (unit / parts / 10) + 5) / 10;
  std::string out = std::to_string(rounded / parts);
  if (count % unit != 0) {
    std::string decimals = std::to_string(rounded % parts);
    decimals.insert(0, (billions ? 1 : 2) - decimals.size(), '0');
    out += "." + decimals;
  }
  return out + (billions ? "B" : "M");
}

/// The text of tokenizer.ggml.eos_token_id; empty if it cannot be told.
std::string end_of_text(const Context& context, const std::string& file) {
  const auto open = context.fs.open_read(file);
  const auto stat = context.fs.stat(file);
  if (!open || !stat) return {};
  const mlxbase::ByteSource source{stat->size, [&](std::uint64_t offset, std::span<std::byte> out) { return (*open)->pread(offset, out); }};
  mlxbase::gguf::Limits limits;
  limits.kept_array_bytes = std::size_t{64} << 20U;  // vocabularies have up to 5 MB
  const auto header = mlxbase::gguf::read_header(source, limits);
  if (!header) return {};
  const auto* id = header->find("tokenizer.ggml.eos_token_id");
  const auto* tokens = header->find("tokenizer.ggml.tokens");
  if (id == nullptr || tokens == nullptr || tokens->element != mlxbase::gguf::Type::string) return {};
  const std::uint64_t wanted = id->if_unsigned().value_or(tokens->count);
  mlxbase::ByteReader reader(tokens->elements);
  for (std::uint64_t i = 0; i < tokens->count && reader.ok(); ++i) {
    const auto token = reader.get_bytes(reader.get<std::uint64_t>());
    if (i == wanted && reader.ok()) return std::string(mlxbase::as_text(token));
  }
  return {};
}

class Publisher {
 public:
  Publisher(const Context& context, const Root& root, const ModelSource& source)
      : context_(context), root_(root), source_(source), builder_(context, root, source), owner_(owner_of_store()) {}

  /// A registry's model goes exactly where its own pull would put it.
  Result<Publication> of_registry() {
    const auto name = parse_name(source_.registry_name);
    if (!name) return fail(Code::invalid, "'" + mlxbase::printable(source_.registry_name) + "' is no model's name for Ollama");
    const auto manifest = TRY(parse_manifest(source_.registry_manifest));
    settle_name(*name);
    std::vector<Layer> layers = manifest.layers;
    if (manifest.config) layers.push_back(*manifest.config);
    for (const Layer& layer : layers) {
      const auto file = std::find_if(source_.files.begin(), source_.files.end(), [&](const SourceFile& f) { return f.sha256 == layer.digest; });
      if (file == source_.files.end()) return fail(Code::corrupt, "its manifest names a layer that it does not have: " + layer.digest.to_string());
      if (file->size != layer.size) return fail(Code::corrupt, "a layer has not the size that its manifest names: " + layer.digest.to_string());
      TRY(payload(static_cast<std::uint32_t>(file - source_.files.begin())));
    }
    const auto there = TRY(existing());
    if (there && *there != source_.registry_manifest) {
      builder_.note("it takes the place of another version of " + name_.shortest() + ", whose layers stay until they are cleaned up");
      TRY(builder_.replace_text(manifest_, source_.registry_manifest));
    } else {
      TRY(builder_.text(manifest_, source_.registry_manifest));
    }
    return finish();
  }

  Result<Publication> of_gguf() {
    const GgufChoice choice = TRY(choose_whole_gguf(source_, "Ollama"));
    const SourceFile& weights = source_.files[choice.parts.front()];
    settle_name(name_for(source_, choice.quantisation));
    TRY(payload(choice.parts.front()));
    layer("model", weights);
    if (choice.projector) {
      TRY(payload(*choice.projector));
      layer("projector", source_.files[*choice.projector]);
    }
    const auto there = TRY(existing());
    if (there && has_weights(*there, weights.sha256)) {
      builder_.note("Ollama has it already as " + name_.shortest());
      TRY(builder_.text(manifest_, *there));
      return finish();
    }
    if (there) return fail(Code::changed, "Ollama has another model of the name " + name_.shortest() + " already");
    TRY(prompting(weights));
    const std::string config = mlxbase::json::dump(config_of(choice));
    TRY(text_blob(config));
    Value manifest;
    manifest.set("schemaVersion", 2).set("mediaType", "application/vnd.docker.distribution.manifest.v2+json");
    manifest.set("config", described("application/vnd.docker.container.image.v1+json", sha256_of(config), config.size()));
    manifest.set("layers", layers_);
    TRY(builder_.text(manifest_, mlxbase::json::dump(manifest)));
    return finish();
  }

 private:
  void settle_name(const Name& name) {
    name_ = name;
    manifest_ = "manifests";
    for (std::string* part : {&name_.host, &name_.space, &name_.model, &name_.tag}) {
      *part = spelling(context_, path::join(root_.path, manifest_), *part);
      manifest_ = path::join(manifest_, *part);
    }
  }

  std::uint32_t owner_of_store() const {
    std::string dir = root_.path;
    auto stat = context_.fs.stat(dir, Follow::yes);
    while (!stat && dir.size() > 1) {
      dir = std::string(path::parent(dir));
      stat = context_.fs.stat(dir, Follow::yes);
    }
    return stat ? stat->uid : context_.environment.uid;
  }
  bool is_foreign() const { return owner_ != context_.environment.uid; }
  /// The server sets the times of layers that it uses again, which only their owner may; and a link into somebody else's home may be closed to it.
  void narrow(NewName& name) const {
    if (is_foreign()) name.links = name.links & catalog::kReflinkOnly;
    const auto stat = context_.fs.stat(source_.files[name.file].path);
    if (stat && stat->uid != owner_) name.links.hard_link = false;
  }

  mlxbase::Status payload(std::uint32_t index) {
    const SourceFile& file = source_.files[index];
    const std::string blob = path::join("blobs", blob_name(file.sha256));
    if (!blobs_.insert(blob).second) return {};
    return builder_.payload(blob, index);
  }
  mlxbase::Status text_blob(const std::string& content) {
    const std::string blob = path::join("blobs", blob_name(sha256_of(content)));
    if (!blobs_.insert(blob).second) return {};
    return builder_.text(blob, content);
  }
  static Value described(std::string_view media_type, const Digest& digest, std::uint64_t size) {
    Value v;
    v.set("mediaType", std::string(media_type)).set("digest", digest.to_string()).set("size", size);
    return v;
  }
  void layer(std::string_view type, const SourceFile& file) { layers_.push(described(std::string(kMediaType) + std::string(type), file.sha256, file.size)); }
  mlxbase::Status text_layer(std::string_view type, const std::string& content) {
    layers_.push(described(std::string(kMediaType) + std::string(type), sha256_of(content), content.size()));
    return text_blob(content);
  }

  /// The manifest that has the name now.
  Result<std::optional<std::string>> existing() const {
    auto text = mlxbase::os::read_small_file(context_.fs, path::join(root_.path, manifest_), kManifestLimit, Follow::no);
    if (text) return std::optional<std::string>(std::move(*text));
    if (text.error().code == Code::not_found) return std::optional<std::string>();
    return fail(text.error());
  }
  /// Whether a manifest is of these very weights: pulled or created by Ollama, or published before with another template.
  static bool has_weights(std::string_view text, const Digest& weights) {
    const auto manifest = parse_manifest(text);
    return manifest && std::any_of(manifest->layers.begin(), manifest->layers.end(), [&](const Layer& l) { return l.type == "model" && l.digest == weights; });
  }

  /// Template and stops from the model's own chat template.
  mlxbase::Status prompting(const SourceFile& weights) {
    const std::string jinja = source_.gguf ? source_.gguf->chat_template : std::string();
    if (jinja.empty()) {
      builder_.note("the model has no chat template: Ollama prompts it raw");
      return {};
    }
    const auto found = chat_template_of(jinja, jinja.contains("eos_token") ? end_of_text(context_, weights.path) : std::string());
    if (!found) {
      builder_.note("its chat template is of no family known here: an Ollama that reads it from the GGUF uses it, an older one prompts raw");
      return {};
    }
    TRY(text_layer("template", found->go));
    Value stops{mlxbase::json::Array{}};
    for (const std::string& stop : found->stops) stops.push(stop);
    Value params;
    params.set("stop", std::move(stops));
    builder_.note("the chat template was taken from the GGUF (" + std::string(found->family) + ")");
    return text_layer("params", mlxbase::json::dump(params));
  }

  Value config_of(const GgufChoice& choice) const {
    const GgufFacts facts = source_.gguf.value_or(GgufFacts{});
    const std::string family = facts.architecture.empty() ? "unknown" : facts.architecture;
    Value families{mlxbase::json::Array{}};
    families.push(family);
    if (choice.projector) families.push("clip");
    Value config;
    config.set("model_format", "gguf").set("model_family", family).set("model_families", std::move(families));
    config.set("model_type", facts.parameters > 0 ? parameter_count(facts.parameters) : facts.size_label);
    config.set("file_type", choice.quantisation.empty() ? "unknown" : choice.quantisation);
    config.set("architecture", "amd64").set("os", "linux");
    return config;
  }

  Result<Publication> finish() {
    if (is_foreign()) builder_.note("the server runs as another user, who must be able to read the new files");
    Publication out = builder_.finish(name_.shortest());
    for (NewName& name : out.names) {
      if (name.what == NewName::What::payload) narrow(name);
    }
    return out;
  }

  const Context& context_;
  const Root& root_;
  const ModelSource& source_;
  PublicationBuilder builder_;
  std::uint32_t owner_;
  Name name_;
  std::string manifest_;  // below the root
  std::set<std::string, std::less<>> blobs_;
  Value layers_{mlxbase::json::Array{}};
};

}  // namespace

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  Publisher publisher(context, root, source);
  if (!source.registry_manifest.empty()) return publisher.of_registry();
  if (!holds_gguf(source)) {
    return fail(Code::unsupported, "it is " + describe_formats(source) + ": Ollama loads GGUF files, and keeps safetensors in pieces of its own, one a tensor, which can share nothing");
  }
  return publisher.of_gguf();
}

}  // namespace mlxcache::stores::ollama
