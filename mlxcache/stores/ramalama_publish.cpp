// RamaLama: a blob, a link in the snapshot, then the ref that makes it a model. Source: containers/ramalama ramalama/model_store/{store,reffile}.py.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/gguf_choice.h"
#include "mlxcache/stores/kinds.h"
#include "mlxcache/stores/publish_common.h"
#include "mlxcache/stores/ramalama_refs.h"
#include "mlxcache/stores/removal_common.h"

namespace mlxcache::stores::ramalama {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::json::Value;

constexpr std::string_view kVersion = "v1.0.1";

/// One file of the model to be.
struct Planned {
  std::uint32_t file = 0;
  std::string name;
  std::string_view type;
};

class Publisher {
 public:
  Publisher(const Context& context, const Root& root, const ModelSource& source) : context_(context), root_(root), source_(source), builder_(context, root, source) {}

  Result<Publication> run() {
    std::string quantisation;
    if (holds_gguf(source_)) {
      const GgufChoice choice = TRY(choose_gguf(source_));
      for (const std::uint32_t part : choice.parts) files_.push_back({part, name_of(part), "gguf"});
      if (choice.projector) files_.push_back({*choice.projector, name_of(*choice.projector), "mmproj"});
      quantisation = choice.quantisation;
    } else {
      for (const std::uint32_t file : TRY(safetensors_set(context_, root_, source_, "RamaLama"))) {
        const std::string& name = source_.files[file].name;
        files_.push_back({file, name, name.ends_with(".safetensors") ? "safetensor" : "other"});
      }
    }
    settle_name(quantisation);
    return write();
  }

 private:
  std::string name_of(std::uint32_t file) const { return gguf_file_name(source_, file); }

  /// A model of the hub goes where RamaLama's own pull would put it; any other one where it keeps files that were given by path.
  void settle_name(const std::string& quantisation) {
    if (source_.id.contains('/')) {
      const bool told = !source_.tag.empty() && source_.tag != "latest";
      tag_ = told ? source_.tag : quantisation.empty() ? "latest" : quantisation;
      // RamaLama asks for a quantisation in upper case, whatever was typed.
      std::transform(tag_.begin(), tag_.end(), tag_.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
      if (tag_ == "LATEST") tag_ = "latest";
      place_ = path::join("store/huggingface", source_.id);
      shown_ = "huggingface://" + source_.id + ":" + tag_;
    } else {
      tag_ = "latest";  // of files, the only one
      const std::string name = files_.front().type == "gguf" ? files_.front().name : source_.name;
      place_ = path::join("store/file/mlxcache/import", name);
      shown_ = "file:///mlxcache/import/" + name;
    }
  }

  Result<Publication> write() {
    const std::string hash = blob_of(files_.front());
    Value rows{mlxbase::json::Array{}};
    for (const Planned& file : files_) {
      const std::string blob = blob_of(file);
      TRY(builder_.payload(path::join(place_, "blobs", blob), file.file));
      Value row;
      row.set("hash", blob).set("name", file.name).set("type", std::string(file.type));
      rows.push(std::move(row));
    }
    for (const Planned& file : files_) {
      const std::string snapshot = path::join(place_, "snapshots", hash, file.name);
      std::string text = "../../blobs/" + blob_of(file);
      for (const char c : file.name) {
        if (c == '/') text.insert(0, "../");
      }
      TRY(builder_.link(snapshot, std::move(text)));
    }
    const std::string ref = path::join(place_, "refs", tag_ + ".json");
    const std::string absolute = path::join(root_.path, ref);
    if (const auto there = mlxbase::os::read_small_file(context_.fs, absolute, std::uint64_t{4} << 20U, mlxbase::os::Follow::no)) {
      const auto known = parse_ref(*there);
      if (!known || known->hash != hash) return fail(Code::changed, "RamaLama has another model of the name " + shown_ + " already");
      builder_.note("RamaLama has it already as " + shown_);
      TRY(builder_.text(ref, *there));  // with the template that it has taken out of the file
      return builder_.finish(shown_);
    }
    Value out;
    out.set("files", std::move(rows)).set("hash", hash).set("path", absolute).set("version", std::string(kVersion));
    TRY(builder_.text(ref, mlxbase::json::dump(out, 2)));
    return builder_.finish(shown_);
  }
  std::string blob_of(const Planned& file) const { return "sha256-" + source_.files[file.file].sha256.hex(); }

  const Context& context_;
  const Root& root_;
  const ModelSource& source_;
  PublicationBuilder builder_;
  std::vector<Planned> files_;
  std::string place_, tag_, shown_;
};

/// What the other tags of the same model need.
struct Others {
  std::map<std::string, std::string> blobs;  // file name → ref
  std::set<std::string> snapshots;
  std::string unread;
};
Others other_refs(const Context& context, const Listing& listing, const std::string& place, const std::string& own) {
  Others out;
  const std::string refs = path::join(place, "refs");
  for (const Entry& entry : listing.entries) {
    if (path::parent(entry.path) != refs || entry.path == own || !entry.path.ends_with(".json")) continue;
    const auto text = read_metadata(context, listing.root.path, entry.path);
    const auto ref = text ? parse_ref(*text) : Result<Ref>(fail(text.error()));
    if (!ref) {
      out.unread = entry.path;
      continue;
    }
    out.snapshots.insert(ref->hash);
    for (const RefFile& file : ref->files) out.blobs.emplace(file.hash, path::stem(entry.path));
  }
  return out;
}

}  // namespace

std::optional<Root> default_root(const Context& context) {
  const auto& env = context.environment;
  if (const auto value = env.get_nonempty("RAMALAMA_STORE")) return Root{StoreKind::ramalama, path::normal(env.absolute(env.expand(*value))), "RAMALAMA_STORE"};
  if (env.uid == 0) return Root{StoreKind::ramalama, env.system("/var/lib/ramalama"), "default"};
  return Root{StoreKind::ramalama, path::join(xdg_data(env), "ramalama"), "default"};
}

Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source) {
  TRY(check_source(source));
  return Publisher(context, root, source).run();
}

Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t index) {
  const catalog::Model& model = *TRY(model_of(listing, index));
  const auto scheme = model.id.find("://");
  const auto colon = model.id.rfind(':');
  if (scheme == std::string::npos || colon <= scheme) return fail(Code::unsupported, "not a model that a ref names");
  const std::string below = model.id.substr(scheme + 3, colon - scheme - 3);
  const std::string place = path::join(listing.root.path, "store", model.id.substr(0, scheme), below);
  const std::string ref = path::join(place, "refs", model.id.substr(colon + 1) + ".json");
  const auto parsed = parse_ref(TRY(read_metadata(context, listing.root.path, ref)));
  if (!parsed || parsed->hash != model.revision) return fail(Code::changed, "its ref is another one by now");

  RemovalBuilder builder(context, listing, index);
  builder.take_name(ref);
  // Names first, then what they lead to; the templates that RamaLama took out of the model lie beside both and are nobody else's.
  const auto take_below = [&](std::string_view folder, std::string_view name) -> mlxbase::Status {
    const std::string wanted = path::join(place, folder, name);
    for (const std::uint32_t e : builder.below(path::join(place, folder))) {
      const std::string& file = listing.entries[e].path;
      if (file == wanted || file == wanted + ".partial") TRY(builder.take(e));
    }
    return {};
  };
  const Others others = other_refs(context, listing, place, ref);
  for (const RefFile& file : parsed->files) {
    if (!others.snapshots.contains(parsed->hash)) TRY(take_below("snapshots", path::join(parsed->hash, file.name)));
  }
  for (const RefFile& file : parsed->files) {
    if (const auto needed = others.blobs.find(file.hash); needed != others.blobs.end()) {
      builder.keep(path::join(place, "blobs", file.hash), "needed by " + needed->second);
    } else if (!others.unread.empty()) {
      builder.keep(path::join(place, "blobs", file.hash), "may be needed by " + others.unread + ", which cannot be read");
    } else {
      TRY(take_below("blobs", file.hash));
    }
  }
  return builder.finish();
}

}  // namespace mlxcache::stores::ramalama
