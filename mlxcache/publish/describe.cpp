// From a model in an inventory to everything a target may want to know of it.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/gguf.h"
#include "mlxcache/publish/files.h"
#include "mlxcache/publish/publish.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/ollama_manifest.h"
#include "mlxcache/stores/walk.h"
#include "mlxcache/verify/measure.h"
#include "mlxcache/verify/memory.h"

namespace mlxcache::publish {
namespace {

namespace path = mlxbase::path;
using catalog::Listing;
using catalog::StoreKind;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Error;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
using stores::ModelSource;
using stores::SourceFile;

constexpr std::uint64_t kLfsFrom = std::uint64_t{10} << 20U;  // the hub takes no larger file outside LFS
constexpr std::uint64_t kTreeLimit = std::uint64_t{32} << 20U;
constexpr std::size_t kMostName = 96;

/// Letters, digits, "_", ".", "-"; what is not becomes "-".
std::string plain_name(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (fine || (!out.empty() && out.back() != '-')) out.push_back(fine ? c : '-');
    if (out.size() == kMostName) break;
  }
  while (!out.empty() && (out.front() == '.' || out.front() == '-')) out.erase(0, 1);
  while (!out.empty() && (out.back() == '.' || out.back() == '-')) out.pop_back();
  return out.empty() ? "model" : out;
}

/// Id, name, tag, commit and revision, as far as the store knows them.
void identify(ModelSource& source, const Listing& listing, const catalog::Model& model) {
  std::string_view id = model.id;
  source.tag = "latest";
  if (listing.root.kind == StoreKind::ollama) {
    if (const auto name = stores::ollama::parse_name(id)) {
      source.name = plain_name(name->model);
      source.tag = name->tag;
      const std::string repo = name->space + "/" + name->model;
      if ((name->host == "hf.co" || name->host == "huggingface.co") && stores::hf::is_repo_id(repo)) source.id = repo;
      return;
    }
  }
  if (const auto colon = id.rfind(':'); colon != std::string_view::npos && !id.substr(colon).contains('/')) {
    source.tag = plain_name(id.substr(colon + 1));
    id = id.substr(0, colon);
  }
  source.name = plain_name(path::file_name(id));
  const bool of_the_hub = listing.root.kind == StoreKind::hf_hub || listing.root.kind == StoreKind::llama_cpp || listing.root.kind == StoreKind::lm_studio ||
                          listing.root.kind == StoreKind::mlx || listing.root.kind == StoreKind::hf_local_dir;
  if (of_the_hub && id.contains('/') && stores::hf::is_repo_id(id)) source.id = id;
  if (stores::hf::is_commit(model.revision)) source.commit = model.revision;
}

/// Which ref names the commit: "main" if it does.
void find_revision(const stores::Context& context, ModelSource& source, const Listing& listing, const catalog::Model& model) {
  if (source.commit.empty() || model.entries.empty()) return;
  const std::string repo = stores::hf::repo_folder({"models", model.id});
  const std::string refs = path::join(listing.root.path, repo, "refs") + "/";
  for (const catalog::Entry& entry : listing.entries) {
    if (!entry.path.starts_with(refs) || entry.role != catalog::Role::metadata) continue;
    const auto text = mlxbase::os::read_small_file(context.fs, entry.path, 4096, mlxbase::os::Follow::no);
    if (!text || stores::hf::parse_ref(*text) != source.commit) continue;
    const std::string name = entry.path.substr(refs.size());
    if (source.revision.empty() || name == "main") source.revision = name;
  }
}

/// Whether the listing of the commit is here and every file of it too; fills what it says of files.
void hold_against_tree(const stores::Context& context, ModelSource& source, const Listing& listing, const catalog::Model& model) {
  for (const std::uint32_t e : model.entries) {
    const std::string& file = listing.entries[e].path;
    if (source.commit.empty() || !file.ends_with("/trees/" + source.commit + ".json")) continue;
    const auto text = mlxbase::os::read_small_file(context.fs, file, kTreeLimit, mlxbase::os::Follow::no);
    const auto tree = text ? stores::hf::parse_tree(*text) : Result<std::map<std::string, stores::hf::TreeFile>>(fail(text.error()));
    if (!tree) return;
    std::size_t here = 0;
    for (SourceFile& f : source.files) {
      const auto at = tree->find(f.name);
      if (at == tree->end()) continue;
      ++here;
      if (at->second.claim) f.lfs = at->second.claim->algorithm() == Algorithm::sha256;
      if (!f.xet) f.xet = at->second.xet;
    }
    source.complete_listing = here == tree->size();
    if (source.complete_listing) source.hub_listing = *text;
    return;
  }
}

/// A payload of the hub's shared store is named by its xet hash.
std::optional<Digest> xet_of(const std::string& file) {
  return stores::hf::parse_shared_name(path::file_name(path::parent(file)), path::file_name(file));
}

/// What a file without a name is. Empty: nothing that another tool wants (a template, a licence, a config).
Result<std::string> name_of_nameless(const stores::Context& context, const NamedFile& file, const std::string& stem) {
  auto open = TRY(context.fs.open_read(file.path));
  std::byte magic[4];
  if (file.stat.size < sizeof magic || TRY(open->pread(0, magic)) < sizeof magic) return std::string();
  if (std::string_view(reinterpret_cast<const char*>(magic), 4) != "GGUF") return std::string();
  const mlxbase::ByteSource bytes{file.stat.size, [&](std::uint64_t offset, std::span<std::byte> out) { return open->pread(offset, out); }};
  const auto header = TRY(mlxbase::gguf::read_header(bytes));
  const auto text = [&](std::string_view key) {
    const auto* value = header.find(key);
    return value != nullptr ? value->text : std::string();
  };
  const auto number = [&](std::string_view key) {
    const auto* value = header.find(key);
    return value != nullptr ? value->if_unsigned().value_or(0) : 0;
  };
  if (text("general.type") == "adapter") {
    return fail(Code::unsupported, "it is a base model with an adapter (LoRA) beside it: other tools would see the base model alone");
  }
  if (text("general.architecture") == "clip" || text("general.type") == "mmproj") return "mmproj-" + stem + ".gguf";
  if (const auto splits = number("split.count"); splits > 1 && splits < 100'000) {
    return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number("split.no") + 1, splits);
  }
  return stem + ".gguf";
}

Status name_all(const stores::Context& context, std::vector<NamedFile>& files, const ModelSource& source, const Listing& listing) {
  const std::string stem = source.tag.empty() || source.tag == "latest" ? source.name : source.name + "-" + source.tag;
  bool nameless = false;
  bool tensors = false;
  for (NamedFile& f : files) {
    if (!f.name.empty()) {
      if (listing.root.kind == StoreKind::docker_model_runner && path::file_name(f.name) == "model.gguf") f.name = stem + ".gguf";
      continue;
    }
    nameless = true;
    f.name = TRY(name_of_nameless(context, f, stem));
    tensors = tensors || (f.name.empty() && f.stat.size > kLfsFrom);
  }
  std::erase_if(files, [](const NamedFile& f) { return f.name.empty(); });
  if (files.empty() || tensors) {
    return fail(Code::unsupported, fmt::format("{} keeps this model in a form of its own, without files that another tool could load",
                                               stores::adapter_of(listing.root.kind).title));
  }
  if (!nameless) return {};
  std::sort(files.begin(), files.end(), [](const NamedFile& a, const NamedFile& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(files.begin(), files.end(), [](const NamedFile& a, const NamedFile& b) { return a.name == b.name; });
  if (twice != files.end()) return fail(Code::unsupported, fmt::format("two of its files would be called {}", printable(twice->name)));
  return {};
}

void keep_quant(std::vector<NamedFile>& files, const std::string& quant) {
  if (quant.empty()) return;
  std::erase_if(files, [&](const NamedFile& f) {
    const std::string_view name = path::file_name(f.name);
    return name.ends_with(".gguf") && !name.starts_with("mmproj") && quant_of(name) != quant;
  });
}

/// What others may do with the bytes: sharing an inode with a tool that writes into its files is sharing its mistakes.
catalog::Links shared_by(const Listing& listing, const catalog::Entry& entry) {
  const bool in_place = stores::adapter_of(listing.root.kind).writes_in_place;
  catalog::Links links = catalog::kAnyLink;
  if (in_place || !entry.links.hard_link) links.hard_link = false;
  if (in_place || stores::is_onnx(path::file_name(entry.path))) links = links & catalog::kReflinkOnly;
  return links;
}

SourceFile source_file(const Listing& listing, const NamedFile& f) {
  SourceFile out;
  out.name = f.name;
  out.path = f.path;
  out.size = f.stat.size;
  out.state = catalog::fingerprint_of(f.stat);
  out.xet = xet_of(f.path);
  out.shared_by = shared_by(listing, *f.entry);
  if (stores::is_onnx(path::file_name(f.name))) out.shared_by = catalog::kReflinkOnly;
  const auto& claim = f.entry->claim;
  if (claim && claim->algorithm() == Algorithm::xet) out.xet = claim.get();
  if (claim && (claim->algorithm() == Algorithm::sha256 || claim->algorithm() == Algorithm::git_sha1)) {
    out.lfs = claim->algorithm() == Algorithm::sha256;
  } else {
    out.lfs = f.stat.size >= kLfsFrom || stores::is_weights(path::file_name(f.name));
  }
  return out;
}

/// Digests of all files: what the catalog knows, else by reading.
class Measuring {
 public:
  Measuring(const stores::Context& context, catalog::Catalog& catalog, mlxbase::Progress& progress)
      : context_(context), catalog_(catalog), progress_(progress), memory_(catalog, mlxbase::system_clock()) {}

  Status run(const std::vector<NamedFile>& named, std::vector<SourceFile>& files) {
    std::vector<catalog::Fingerprint> prints;
    for (const SourceFile& f : files) prints.push_back(f.state);
    const auto known = TRY(catalog_.look_up(prints));
    std::vector<std::size_t> work;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (known[i]) take(files[i], known[i]->digests);
      if (missing(named[i], files[i]).empty()) continue;
      work.push_back(i);
      bytes += files[i].size;
    }
    std::stable_sort(work.begin(), work.end(), [&](std::size_t a, std::size_t b) { return files[a].size > files[b].size; });
    progress_.stage("measuring", bytes, true);
    std::vector<Status> outcomes(files.size());
    mlxbase::parallel_for(work.size(), mlxbase::worker_count(), [&](std::size_t k) {
      const std::size_t i = work[k];
      outcomes[i] = measure(named[i], files[i], known[i]);
    });
    memory_.flush();
    for (const Status& outcome : outcomes) TRY(Status(outcome));
    for (std::size_t i = 0; i < files.size(); ++i) TRY(confirm(named[i], files[i]));
    return {};
  }

 private:
  static void take(SourceFile& file, const std::vector<Digest>& digests) {
    for (const Digest& d : digests) {
      if (d.algorithm() == Algorithm::sha256) file.sha256 = d;
      if (d.algorithm() == Algorithm::git_sha1) file.git_sha1 = d;
    }
  }

  /// SHA-256 always; the git digest where a hub cache would name the blob by it.
  static std::vector<Algorithm> missing(const NamedFile& named, const SourceFile& file) {
    std::vector<Algorithm> out;
    if (file.sha256.algorithm() != Algorithm::sha256) out.push_back(Algorithm::sha256);
    const auto& claim = named.entry->claim;
    if (!file.git_sha1 && (!file.lfs || (claim && claim->algorithm() == Algorithm::git_sha1))) out.push_back(Algorithm::git_sha1);
    return out;
  }

  Status measure(const NamedFile& named, SourceFile& file, const std::optional<catalog::Measured>& earlier) {
    progress_.item(file.path);
    if (named.stat.dataless) return fail(Code::unsupported, fmt::format("{} lies in the cloud; reading would download it", printable(file.path)));
    auto open = TRY(context_.fs.open_read(file.path));
    const auto measured = TRY(verify::measure(*open, missing(named, file), context_.cancel, progress_, bytes_read_));
    if (!measured.held_still || catalog::fingerprint_of(measured.stat) != file.state) {
      return fail(Code::changed, fmt::format("{} changed while it was read", printable(file.path)));
    }
    memory_.keep(measured, earlier);
    take(file, measured.digests);
    return {};
  }

  static Status confirm(const NamedFile& named, const SourceFile& file) {
    const auto& claim = named.entry->claim;
    if (!claim) return {};
    const Digest* own = nullptr;
    if (claim->algorithm() == Algorithm::git_sha1 && file.git_sha1) own = &*file.git_sha1;
    if (claim->algorithm() == Algorithm::sha256 || claim->algorithm() == Algorithm::sha256_prefix) own = &file.sha256;
    if (own == nullptr || verify::agrees(*claim, *own)) return {};
    return fail(Code::corrupt, fmt::format("{} is damaged: its store says {}, its bytes are {}. 'mlxcache repair' may mend it", printable(file.path),
                                           claim->to_string(), own->to_string()));
  }

  const stores::Context& context_;
  catalog::Catalog& catalog_;
  mlxbase::Progress& progress_;
  verify::Memory memory_;
  std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace

Result<ModelSource> describe(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory, const Found& found,
                             mlxbase::Progress& progress) {
  const Listing& listing = inventory.listings[found.store];
  const catalog::Model& model = listing.models[found.model];
  ModelSource source;
  source.revision.clear();
  source.format = model.format;
  identify(source, listing, model);
  auto named = TRY(files_of(context, listing, model));
  TRY(name_all(context, named, source, listing));
  const std::size_t whole = named.size();
  keep_quant(named, found.quant);
  for (const NamedFile& f : named) source.files.push_back(source_file(listing, f));
  find_revision(context, source, listing, model);
  hold_against_tree(context, source, listing, model);
  if (named.size() != whole) {
    source.complete_listing = false;
    source.hub_listing.clear();
  }
  TRY(Measuring(context, catalog, progress).run(named, source.files));

  for (const SourceFile& f : source.files) {
    const std::string_view name = path::file_name(f.name);
    if (!name.ends_with(".gguf") || name.starts_with("mmproj")) continue;
    source.format = "gguf";
    source.gguf = TRY(stores::gguf_facts(context, f.path));
    // As the repo calls it: what people ask for, and what a tool's own download would have left.
    if (source.tag == "latest") source.tag = quant_of(name);
    if (source.tag.empty()) source.tag = source.gguf->file_type.empty() ? "latest" : source.gguf->file_type;
    break;
  }
  if (!found.quant.empty()) source.tag = found.quant;
  return source;
}

}  // namespace mlxcache::publish
