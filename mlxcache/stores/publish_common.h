#pragma once
// What several adapters do alike when a model comes: names in order, folders once, conflicts found before anything is planned, choices
// among a model's files.
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/stores/adapter.h"
#include "mlxcache/stores/common.h"
#include "mlxcache/stores/publication.h"

namespace mlxcache::stores {

/// Checks what every publish() may rely on: at least one file, safe relative names, each once, no split of which a part is missing, id, commit,
/// revision and name of their grammars. Errors: invalid (names the culprit), unsupported (a shard is missing).
mlxbase::Status check_source(const ModelSource& source);

/// Collects the names of a publication below a root. Paths are relative to the root and made of safe segments; each call adds the folders that lead
/// there first, once each. The root itself is not among them: whoever carries the publication out makes it.
/// Errors of all: invalid (not a safe relative path, or one that came before), unsupported (a folder on the way is a symlink: nothing is put behind it), changed (the name is
/// there and is something else), io.
class PublicationBuilder {
 public:
  PublicationBuilder(const Context& context, const Root& root, const ModelSource& source) : context_(context), root_(root), source_(source) {}

  /// A file of the source. One that is there already must be a regular file of the same size; its bytes are compared when it is placed.
  mlxbase::Status payload(const std::string& relative, std::uint32_t file);
  /// A small file that must not be there with other content.
  mlxbase::Status text(const std::string& relative, std::string content, std::uint32_t mode = 0644);
  /// A small file that gets this content, whatever it has now. Its state goes along, so that a change in between is noticed.
  mlxbase::Status replace_text(const std::string& relative, std::string content, std::uint32_t mode = 0644);
  /// A symlink; one that is there must have the same text.
  mlxbase::Status link(const std::string& relative, std::string text);
  /// A folder and those above it.
  mlxbase::Status folder(const std::string& relative);
  void note(std::string text) { out_.notes.push_back(std::move(text)); }

  Publication finish(std::string visible_as);

 private:
  mlxbase::Status begin(const std::string& relative);
  mlxbase::Status folders_above(const std::string& relative);
  NewName& add(NewName::What what, const std::string& relative);

  const Context& context_;
  const Root& root_;
  const ModelSource& source_;
  std::set<std::string, std::less<>> folders_, names_;
  Publication out_;
};

/// `changed` if the folder holds weights other than `names` (relative, on its top level): it is another model's.
mlxbase::Status refuse_other_weights(const Context& context, const std::string& folder, const std::set<std::string>& names);

/// The ways in which a published name may share its bytes: the row's, less what loaders of its kind refuse (ONNX).
Links links_for(const Root& root, std::string_view file_name);

/// The git blob id of a small file: known, or measured from the bytes. Errors: changed (it is not as it was seen), invalid (larger than `limit`), io.
mlxbase::Result<mlxbase::Digest> git_blob_id(const Context& context, const SourceFile& file, std::uint64_t limit = std::uint64_t{64} << 20U);

/// Whether the name is a multimodal projector's (§16.3).
bool is_projector_name(std::string_view file_name);
/// A file name that says what the file is, for tools that read publisher, quantisation and split sets from names: the source's own where it does,
/// else "<name>-<quantisation>.gguf". Only for GGUF files of the source.
std::string gguf_file_name(const ModelSource& source, std::uint32_t file);

/// Indices of the source's files of a kind.
std::vector<std::uint32_t> gguf_files(const ModelSource& source);  // models, then projectors
/// A complete model of safetensors for a loader that takes one folder: weights, config.json, tokenizer, every shard of the index. Files in subfolders
/// and other formats of the same weights are left out. Errors: unsupported, with what `tool` cannot load or what is missing.
mlxbase::Result<std::vector<std::uint32_t>> safetensors_set(const Context& context, const Root& root, const ModelSource& source, std::string_view tool);
/// "PyTorch pickles (model.bin)": what a source is, for reasons of refusal.
std::string describe_formats(const ModelSource& source);

}  // namespace mlxcache::stores
