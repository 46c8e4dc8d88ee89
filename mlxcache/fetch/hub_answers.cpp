#include "mlxcache/fetch/hub_answers.h"

#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::fetch {
namespace {

namespace json = mlxbase::json;
using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::fail;
using mlxbase::Result;

Result<json::Value> parse_bounded(std::string_view text) {
  auto value = json::parse(text, {.bytes = kLargestPage, .depth = 32});
  if (!value) return fail(Code::corrupt, "the answer is not JSON");
  return value;
}

auto broken(std::string_view path, std::string_view reason) {
  return fail(Code::corrupt, "the list of files is broken at '" + mlxbase::printable(path.substr(0, 200)) + "': " + std::string(reason));
}

/// A size that is there, whole and no larger than any file.
std::optional<std::uint64_t> size_of(const json::Value& value) {
  constexpr std::uint64_t kNone = ~std::uint64_t{0};
  const std::uint64_t size = value.is_number() ? value.u64(kNone) : kNone;
  return size <= kLargestFile ? std::optional(size) : std::nullopt;
}

Result<TreeRow> row_of(const json::Value& value) {
  TreeRow row;
  row.path = value["path"].string();
  const auto oid = Digest::parse(Algorithm::git_sha1, value["oid"].string());
  if (!oid) return broken(row.path, "its id is no git id");
  row.oid = *oid;
  const auto& lfs = value["lfs"];
  const auto size = size_of(lfs.is_object() && !lfs["size"].is_null() ? lfs["size"] : value["size"]);
  if (!size) return broken(row.path, "its size is no size");
  row.size = *size;
  if (lfs.is_object()) {
    row.lfs = Digest::parse(Algorithm::sha256, lfs["oid"].string(lfs["sha256"].string()));
    if (!row.lfs) return broken(row.path, "its digest is no SHA-256");
  }
  if (value["xetHash"].if_string() != nullptr) {
    row.xet = Digest::parse(Algorithm::xet, value["xetHash"].string());
    if (!row.xet) return broken(row.path, "its xet hash is none");
  }
  return row;
}

}  // namespace

Result<ModelInfo> parse_model_info(std::string_view text) {
  const json::Value value = TRY(parse_bounded(text));
  ModelInfo out;
  out.commit = value["sha"].string();
  if (!stores::hf::is_commit(out.commit)) return fail(Code::corrupt, "the answer names no commit");
  const auto& gated = value["gated"];
  out.gated = gated.if_string() != nullptr ? !gated.string().empty() && gated.string() != "false" : gated.boolean();
  out.disabled = value["disabled"].boolean();
  return out;
}

Result<std::vector<TreeRow>> parse_tree_page(std::string_view text) {
  const json::Value value = TRY(parse_bounded(text));
  if (!value.is_array()) return fail(Code::corrupt, "the list of files is no list");
  std::vector<TreeRow> out;
  for (const json::Value& item : value.array()) {
    if (item["type"].if_string() == nullptr) return broken(item["path"].string(), "it has no type");
    if (item["type"].string() != "file") continue;
    out.push_back(TRY(row_of(item)));
  }
  return out;
}

std::string tree_json(const std::vector<TreeRow>& rows) {
  json::Object members;
  members.reserve(rows.size());
  for (const TreeRow& row : rows) {
    json::Value file{json::Object{}};
    file.set("size", row.size);
    file.set("blob_id", row.oid.hex());
    if (row.lfs) {
      file.set("lfs_sha256", row.lfs->hex());
      file.set("lfs_size", row.size);
    }
    if (row.xet) file.set("xet_hash", row.xet->hex());
    members.emplace_back(row.path, std::move(file));
  }
  json::Value out{json::Object{}};
  out.set("format_version", 1);
  out.set("files", json::Value(std::move(members)));
  return json::dump(out);
}

}  // namespace mlxcache::fetch
