#include "mlxcache/stores/publish_common.h"

#include <algorithm>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/completeness.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::stores {
namespace {

namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::os::FileKind;
using mlxbase::os::FileStat;

constexpr std::size_t kMaxName = 96;

mlxbase::Status invalid(std::string_view what, std::string_view name) {
  return mlxbase::fail(Code::invalid, std::string(what) + ": " + mlxbase::printable(name.substr(0, 200)));
}

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || name.front() == '.' || name.contains("..")) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-';
  });
}

/// Git's rules for refs, as far as they keep a path safe.
bool is_revision(std::string_view revision) {
  return path::is_safe_relative(revision) && !revision.contains("..") && revision.size() <= 255 && !revision.ends_with(".lock") && !revision.ends_with(".tmp");
}

/// The stat of the name, or nothing if it is not there.
mlxbase::Result<std::optional<FileStat>> look(const Context& context, const std::string& where) {
  auto stat = context.fs.stat(where);
  if (stat) return std::optional(*stat);
  if (stat.error().code == Code::not_found) return std::optional<FileStat>();
  return mlxbase::fail(stat.error());
}

mlxbase::Status taken(const std::string& where, std::string_view by) {
  return mlxbase::fail(Code::changed, mlxbase::printable(where) + " is there already and is " + std::string(by));
}

constexpr std::uint64_t kSmall = std::uint64_t{64} << 20U;  // text files that a publication compares

}  // namespace

mlxbase::Status check_source(const ModelSource& source) {
  if (source.files.empty()) return mlxbase::fail(Code::invalid, "a model without files");
  if (!source.id.empty() && !hf::is_repo_id(source.id)) return invalid("not a repo's id", source.id);
  if (!is_plain_name(source.name)) return invalid("not a plain name of a model", source.name);
  if (!source.tag.empty() && !is_plain_name(source.tag)) return invalid("not a plain tag of a model", source.tag);
  if (!source.commit.empty() && !hf::is_commit(source.commit)) return invalid("not a commit", source.commit);
  if (!source.revision.empty() && !is_revision(source.revision)) return invalid("not a revision", source.revision);
  std::set<std::string_view> names;
  std::vector<std::string_view> all;
  for (const SourceFile& file : source.files) {
    if (!path::is_safe_relative(file.name)) return invalid("not a file's name", file.name);
    if (!names.insert(file.name).second) return invalid("a file that comes twice", file.name);
    // The hub tells only a git id of small files before they are downloaded.
    if (file.sha256.algorithm() != mlxbase::Algorithm::sha256 && !file.git_sha1) return invalid("a file without a digest", file.name);
    all.push_back(file.name);
  }
  for (const SourceFile& file : source.files) {  // "a" and "a/b": a file cannot be a folder
    for (std::string_view up = path::parent(file.name); up != "."; up = path::parent(up)) {
      if (names.contains(up)) return invalid("a file that is a folder, too", up);
    }
  }
  if (has_missing_split(all)) return mlxbase::fail(Code::unsupported, "the model is not complete: a part of a split file is missing");
  return {};
}

mlxbase::Status PublicationBuilder::begin(const std::string& relative) {
  if (!path::is_safe_relative(relative)) return invalid("not a name below the store", relative);
  if (!names_.insert(relative).second) return invalid("two files of the model want one name", relative);
  return folders_above(relative);
}

mlxbase::Status PublicationBuilder::folders_above(const std::string& relative) {
  for (auto slash = relative.find('/'); slash != std::string::npos; slash = relative.find('/', slash + 1)) {
    const std::string folder = relative.substr(0, slash);
    if (folders_.contains(folder)) continue;
    const std::string where = path::join(root_.path, folder);
    const auto stat = TRY(look(context_, where));
    if (stat && stat->kind == FileKind::symlink) {
      return mlxbase::fail(Code::unsupported, mlxbase::printable(where) + " is a link; nothing is put behind it");
    }
    if (stat && stat->kind != FileKind::directory) return taken(where, "no folder");
    folders_.insert(folder);
    add(NewName::What::folder, folder).mode = 0755;
  }
  return {};
}

NewName& PublicationBuilder::add(NewName::What what, const std::string& relative) {
  NewName& name = out_.names.emplace_back();
  name.what = what;
  name.path = path::join(root_.path, relative);
  return name;
}

mlxbase::Status PublicationBuilder::folder(const std::string& relative) {
  if (!path::is_safe_relative(relative)) return invalid("not a name below the store", relative);
  return folders_above(relative + "/");
}

mlxbase::Status PublicationBuilder::payload(const std::string& relative, std::uint32_t file) {
  TRY(begin(relative));
  const std::string where = path::join(root_.path, relative);
  const auto stat = TRY(look(context_, where));
  if (stat && stat->kind == FileKind::symlink) {
    const auto target = context_.fs.stat(where, mlxbase::os::Follow::yes);
    if (!target || target->kind != FileKind::regular || target->size != source_.files[file].size) return taken(where, "a link to something else");
    // A link to a file of that size, made by whoever shares here: it stays as it is.
    add(NewName::What::link_text, relative).content = TRY(context_.fs.read_link(where));
    return {};
  }
  if (stat && stat->kind != FileKind::regular) return taken(where, "no file");
  if (stat && stat->size != source_.files[file].size) return taken(where, "another file");
  NewName& name = add(NewName::What::payload, relative);
  name.file = file;
  name.links = links_for(root_, path::file_name(source_.files[file].name));
  return {};
}

mlxbase::Status PublicationBuilder::text(const std::string& relative, std::string content, std::uint32_t mode) {
  TRY(begin(relative));
  const std::string where = path::join(root_.path, relative);
  if (const auto stat = TRY(look(context_, where))) {
    if (stat->kind != FileKind::regular) return taken(where, "no file");
    if (stat->size != content.size() || TRY(mlxbase::os::read_small_file(context_.fs, where, kSmall, mlxbase::os::Follow::no)) != content) {
      return taken(where, "another file");
    }
  }
  NewName& name = add(NewName::What::text, relative);
  name.content = std::move(content);
  name.mode = mode;
  return {};
}

mlxbase::Status PublicationBuilder::replace_text(const std::string& relative, std::string content, std::uint32_t mode) {
  TRY(begin(relative));
  const std::string where = path::join(root_.path, relative);
  const auto stat = TRY(look(context_, where));
  if (stat && stat->kind != FileKind::regular) return taken(where, "no file");
  const bool same = stat && stat->size == content.size() &&
                    TRY(mlxbase::os::read_small_file(context_.fs, where, kSmall, mlxbase::os::Follow::no)) == content;
  NewName& name = add(NewName::What::text, relative);
  name.content = std::move(content);
  name.mode = mode;
  if (stat && !same) {
    name.replaces = true;
    name.expected = catalog::fingerprint_of(*stat);
    name.mode = stat->mode;
  }
  return {};
}

mlxbase::Status PublicationBuilder::link(const std::string& relative, std::string text) {
  TRY(begin(relative));
  const std::string where = path::join(root_.path, relative);
  if (const auto stat = TRY(look(context_, where))) {
    if (stat->kind != FileKind::symlink) return taken(where, "no link");
    if (TRY(context_.fs.read_link(where)) != text) return taken(where, "another link");
  }
  add(NewName::What::link_text, relative).content = std::move(text);
  return {};
}

Publication PublicationBuilder::finish(std::string visible_as) {
  out_.visible_as = std::move(visible_as);
  return std::move(out_);
}

mlxbase::Status refuse_other_weights(const Context& context, const std::string& folder, const std::set<std::string>& names) {
  const auto there = context.fs.list(folder);
  if (!there) return there.error().code == Code::not_found ? mlxbase::Status() : mlxbase::Status(mlxbase::fail(there.error()));
  for (const auto& entry : *there) {
    if (!is_weights(entry.name) || entry.kind == FileKind::directory || names.contains(entry.name) || is_staging_name(entry.name)) continue;
    return mlxbase::fail(Code::changed, mlxbase::printable(folder) + " is there already and holds another model's " + mlxbase::printable(entry.name));
  }
  return {};
}

Links links_for(const Root& root, std::string_view file_name) {
  const Links row = adapter_of(root.kind).links;
  return is_onnx(file_name) ? row & catalog::kReflinkOnly : row;
}

mlxbase::Result<mlxbase::Digest> git_blob_id(const Context& context, const SourceFile& file, std::uint64_t limit) {
  if (file.git_sha1) return *file.git_sha1;
  const std::string bytes = TRY(mlxbase::os::read_small_file(context.fs, file.path, limit, mlxbase::os::Follow::no));
  if (bytes.size() != file.size) return mlxbase::fail(Code::changed, mlxbase::printable(file.path) + " is no longer of the size it had");
  mlxbase::Hasher git(mlxbase::Algorithm::git_sha1, bytes.size());
  git.update(mlxbase::as_bytes(bytes));
  mlxbase::Hasher sha256(mlxbase::Algorithm::sha256, bytes.size());
  sha256.update(mlxbase::as_bytes(bytes));
  if (file.sha256.size() > 0 && sha256.finish() != file.sha256) return mlxbase::fail(Code::changed, mlxbase::printable(file.path) + " no longer has the bytes it had");
  return git.finish();
}

std::string describe_formats(const ModelSource& source) {
  std::vector<std::pair<std::string, std::string>> formats;  // format, an example
  for (const SourceFile& file : source.files) {
    const std::string format(format_of(file.name));
    if (format.empty()) continue;
    if (std::none_of(formats.begin(), formats.end(), [&](const auto& f) { return f.first == format; })) formats.emplace_back(format, file.name);
  }
  std::string out;
  for (const auto& [format, example] : formats) {
    if (!out.empty()) out += ", ";
    out += format + " (" + mlxbase::printable(example) + ")";
  }
  return out.empty() ? "no weights at all" : out;
}

}  // namespace mlxcache::stores
