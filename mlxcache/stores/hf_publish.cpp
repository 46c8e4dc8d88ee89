#include "mlxcache/stores/hf_publish.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/hf_names.h"
#include "mlxcache/stores/names.h"
#include "mlxcache/stores/publish_common.h"

namespace mlxcache::stores::hf {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::Follow;

constexpr std::string_view kMadeUp = "6d6c7863";  // "mlxc"
constexpr std::string_view kOurs = "mlxcache";    // the namespace of models without an id
constexpr std::uint64_t kRefLimit = 4096;
constexpr std::uint64_t kLfsFrom = std::uint64_t{10} << 20U;  // the hub takes no larger file outside LFS
constexpr std::string_view kTag =
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This folder is a cache of models; see https://bford.info/cachedir/\n";

bool is_true(std::string_view value) {  // as huggingface_hub reads its switches
  const std::string text = lower(value);
  return text == "1" || text == "on" || text == "yes" || text == "true";
}

struct HubFile {
  std::uint32_t index = 0;
  std::string name;  // in the repo
  std::string etag;
};

class Publisher {
 public:
  Publisher(const Context& context, const Root& root, const ModelSource& source, const HubPublication& what)
      : context_(context), root_(root), source_(source), what_(what), folder_(repo_folder({"models", what.repo})), out_(context, root, source) {}

  mlxbase::Result<Publication> run() {
    known_ = !source_.commit.empty() && !is_made_up(source_.commit);
    TRY(name_files());
    TRY(choose_commit());
    TRY(mark_new_root());
    if (links_work()) {
      TRY(place_blobs_and_links());
    } else {
      for (const HubFile& file : files_) TRY(out_.payload(snapshot_name(file), file.index));
    }
    TRY(place_listing());
    const bool refers = TRY(place_ref());
    return out_.finish(refers ? what_.repo : what_.repo + "@" + commit_);
  }

 private:
  std::string snapshot_name(const HubFile& file) const { return path::join(folder_, "snapshots", commit_, file.name); }
  std::string at(const std::string& relative) const { return path::join(root_.path, relative); }

  mlxbase::Status name_files() {
    for (const std::uint32_t i : what_.files) {
      const SourceFile& file = source_.files[i];
      HubFile named{i, file.name, {}};
      // llama.cpp tells quantisations by the name; the hub's own names stay, of course.
      const bool gguf = format_of(file.name) == "gguf" || source_.format == "gguf";
      if (!known_ && gguf && (format_of(file.name) == "gguf" || source_.files.size() == 1)) {
        const std::string better = gguf_file_name(source_, i);
        named.name = file.name.contains('/') ? path::join(path::parent(file.name), better) : better;
      }
      const bool large = file.lfs || (!file.git_sha1 && (is_weights(file.name) || file.size >= kLfsFrom));
      if (large && file.sha256.algorithm() != mlxbase::Algorithm::sha256) {
        return mlxbase::fail(Code::invalid, "the SHA-256 of " + mlxbase::printable(file.name) + " is not known");
      }
      named.etag = large ? file.sha256.hex() : TRY(git_blob_id(context_, file)).hex();
      files_.push_back(std::move(named));
    }
    return {};
  }

  /// The commit that a ref names, if that snapshot is here.
  mlxbase::Result<std::string> referred(const std::string& ref) const {
    const auto text = mlxbase::os::read_small_file(context_.fs, at(path::join(folder_, "refs", ref)), kRefLimit, Follow::no);
    if (!text) {
      if (text.error().code == Code::not_found) return std::string();
      return mlxbase::fail(text.error());
    }
    const auto commit = parse_ref(*text);
    if (!commit || !context_.fs.stat(at(path::join(folder_, "snapshots", *commit)))) return std::string();
    return *commit;
  }

  /// Whether a snapshot has all the files already, as far as names and lengths tell.
  bool holds_all(const std::string& commit) const {
    return std::all_of(files_.begin(), files_.end(), [&](const HubFile& file) {
      const std::string where = at(path::join(folder_, "snapshots", commit, file.name));
      const auto target = context_.fs.stat(where, Follow::yes);
      if (!target || target->kind != FileKind::regular || target->size != source_.files[file.index].size) return false;
      const auto text = context_.fs.read_link(where);
      return !text || path::file_name(*text) == file.etag;
    });
  }

  mlxbase::Status choose_commit() {
    main_ = TRY(referred("main"));
    if (known_) {
      commit_ = source_.commit;
      return {};
    }
    if (!main_.empty() && (is_made_up(main_) || holds_all(main_))) {
      commit_ = main_;
    } else if (!main_.empty()) {
      return mlxbase::fail(Code::changed, what_.repo + " is in this cache at revision " + main_.substr(0, 12) +
                                              ", and nobody can say offline whether these files belong to it: pull it, and what is here is not downloaded again");
    } else {
      std::vector<std::pair<std::string, std::string>> content;
      for (const HubFile& file : files_) content.emplace_back(file.name, file.etag);
      commit_ = made_up_commit(content);
    }
    if (is_made_up(commit_)) {
      out_.note("its commit on the hub is not known, so it is filed under one made up of its digests (" + commit_.substr(0, 12) +
                "…): offline it is found, online clients look for the true one");
    }
    return {};
  }

  mlxbase::Status mark_new_root() {
    const auto names = context_.fs.list(root_.path);
    if (!names && names.error().code != Code::not_found) return mlxbase::fail(names.error());
    if (!names || names->empty()) TRY(out_.text("CACHEDIR.TAG", std::string(kTag)));
    return {};
  }

  /// Where the clients would find no symlinks they keep files in the snapshot itself.
  bool links_work() const {
    const auto off = context_.environment.get("HF_HUB_DISABLE_SYMLINKS");
    if (off && is_true(*off)) return false;
    std::string there = root_.path;
    while (there.size() > 1 && !context_.fs.stat(there, Follow::yes)) there = std::string(path::parent(there));
    const auto facts = context_.fs.volume(there, false);
    if (!facts) return true;
    if (facts->symlinks) return *facts->symlinks;
    const std::string type = lower(facts->type);
    return !type.contains("fat") && type != "msdos";  // vfat, exfat
  }

  mlxbase::Status place_blobs_and_links() {
    std::set<std::string> placed;
    std::vector<std::pair<const HubFile*, std::string>> links;
    for (const HubFile& file : files_) {
      const std::string blob = path::join(folder_, "blobs", file.etag);
      const std::string name = snapshot_name(file);
      const auto there = context_.fs.stat(at(name));
      if (there && there->kind == FileKind::regular) {  // put there by a client without symlinks
        TRY(out_.payload(name, file.index));
        continue;
      }
      std::string text = "../../blobs/" + file.etag;
      for (const char c : file.name) {
        if (c == '/') text.insert(0, "../");
      }
      if (there && there->kind == FileKind::symlink) {
        const std::string own = TRY(context_.fs.read_link(at(name)));
        // Said in other words (an absolute path), it may lead to the same blob.
        if (path::normal(path::join(path::parent(at(name)), own)) == at(blob)) text = own;
      }
      if (placed.insert(file.etag).second) TRY(out_.payload(blob, file.index));
      links.emplace_back(&file, std::move(text));
    }
    for (auto& [file, text] : links) TRY(out_.link(snapshot_name(*file), std::move(text)));
    return {};
  }

  mlxbase::Status place_listing() {
    if (!known_ || !source_.complete_listing || source_.hub_listing.empty()) return {};
    const auto tree = parse_tree(source_.hub_listing);
    if (!tree) return {};
    std::set<std::string_view> names;
    for (const HubFile& file : files_) names.insert(file.name);
    // A listing with more in it than is here would make offline clients refuse the whole snapshot.
    if (!std::all_of(tree->begin(), tree->end(), [&](const auto& entry) { return names.contains(entry.first); })) return {};
    const std::string where = path::join(folder_, "trees", commit_ + ".json");
    if (context_.fs.stat(at(where))) return {};  // the client's own, of the same commit
    return out_.text(where, source_.hub_listing);
  }

  /// Whether a ref names the snapshot in the end.
  mlxbase::Result<bool> place_ref() {
    std::string ref = known_ ? source_.revision : std::string("main");
    if (is_commit(ref)) ref.clear();
    if (ref.empty() && what_.needs_ref && main_.empty()) ref = "main";
    if (ref.empty()) return main_ == commit_;
    if (ref == "main" && !main_.empty() && main_ != commit_) {
      out_.note("refs/main named " + main_.substr(0, 12) + " before; that snapshot stays and is found by its commit");
    }
    TRY(out_.replace_text(path::join(folder_, "refs", ref), commit_));
    return true;
  }

  const Context& context_;
  const Root& root_;
  const ModelSource& source_;
  const HubPublication& what_;
  std::string folder_;
  PublicationBuilder out_;
  std::vector<HubFile> files_;
  std::string commit_;
  std::string main_;    // what refs/main names now
  bool known_ = false;  // the commit is the hub's
};

}  // namespace

Root hub_of(const mlxbase::os::Environment& environment, StoreKind kind) {
  const auto of = [&](std::string_view variable, std::string_view below) -> std::optional<Root> {
    const auto value = environment.get_nonempty(variable);
    if (!value) return std::nullopt;
    return Root{kind, environment.absolute(path::join(environment.expand(*value), below)), std::string(variable)};
  };
  if (auto root = of("HF_HUB_CACHE", "")) return *root;
  if (auto root = of("HUGGINGFACE_HUB_CACHE", "")) return *root;
  if (auto root = of("HF_HOME", "hub")) return *root;
  if (auto root = of("XDG_CACHE_HOME", "huggingface/hub")) return *root;
  return {kind, path::join(environment.home, ".cache/huggingface/hub"), "default"};
}

bool is_made_up(std::string_view commit) { return is_commit(commit) && commit.starts_with(kMadeUp); }

std::string made_up_commit(const std::vector<std::pair<std::string, std::string>>& names_and_etags) {
  const std::map<std::string, std::string> sorted(names_and_etags.begin(), names_and_etags.end());
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  for (const auto& [name, etag] : sorted) {
    hasher.update(mlxbase::as_bytes(name));
    hasher.update(mlxbase::as_bytes(std::string_view("\0", 1)));
    hasher.update(mlxbase::as_bytes(etag));
    hasher.update(mlxbase::as_bytes("\n"));
  }
  return std::string(kMadeUp) + hasher.finish().hex().substr(0, 40 - kMadeUp.size());
}

mlxbase::Result<std::string> repo_for(const ModelSource& source) {
  if (!source.id.empty()) return source.id;
  std::string name = source.name;
  if (!source.tag.empty() && source.tag != "latest" && !lower(name).contains(lower(source.tag))) name += "-" + source.tag;
  constexpr std::size_t kMost = 96;  // of a part of an id
  for (auto at = name.find("--"); at != std::string::npos; at = name.find("--")) name.erase(at, 1);
  for (auto at = name.find(".."); at != std::string::npos; at = name.find("..")) name.erase(at, 1);
  name = name.substr(0, kMost);
  const auto edge = [](char c) { return c == '-' || c == '.'; };
  while (!name.empty() && edge(name.back())) name.pop_back();
  while (!name.empty() && edge(name.front())) name.erase(0, 1);
  std::string id = std::string(kOurs) + "/" + name;
  if (!is_repo_id(id)) return mlxbase::fail(Code::invalid, "no id of a repo can be made of the name " + mlxbase::printable(source.name));
  return id;
}

mlxbase::Result<Publication> publish_to_hub(const Context& context, const Root& root, const ModelSource& source, const HubPublication& what) {
  return Publisher(context, root, source, what).run();
}

}  // namespace mlxcache::stores::hf
