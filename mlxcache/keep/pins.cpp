#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/json.h"
#include "mlxcache/keep/keep.h"

namespace mlxcache::keep {
namespace {

namespace json = mlxbase::json;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 20U;
constexpr std::size_t kMostName = 4096;

std::string file_of(const std::string& home) { return mlxbase::path::join(home, "pins.json"); }

Status write(mlxbase::os::FileSystem& fs, const std::string& home, const std::vector<std::string>& pins) {
  json::Value list{json::Array{}};
  for (const std::string& pin : pins) list.push(pin);
  json::Value document{json::Object{}};
  document.set("version", 1);
  document.set("pins", std::move(list));
  TRY(mlxbase::os::make_dirs(fs, home, 0700));
  return mlxbase::os::write_file_atomically(fs, file_of(home), json::dump(document, 2) + "\n", 0600);
}

}  // namespace

Result<std::vector<std::string>> pins(mlxbase::os::FileSystem& fs, const std::string& home) {
  const auto damaged = [&] { return fail(Code::corrupt, fmt::format("{} is not a list of pins; correct or remove it", mlxbase::printable(file_of(home)))); };
  const auto text = mlxbase::os::read_small_file(fs, file_of(home), kLimit);
  if (!text && text.error().code == Code::not_found) return std::vector<std::string>{};
  if (!text) return fail(text.error());
  const auto document = json::parse(*text);
  if (!document) return damaged();
  if ((*document)["version"].i64() != 1 || !(*document)["pins"].is_array()) return damaged();
  std::vector<std::string> out;
  for (const json::Value& v : (*document)["pins"].array()) {
    if (!v.is_string() || v.string().empty() || v.string().size() > kMostName) return damaged();
    out.push_back(v.string());
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status pin(mlxbase::os::FileSystem& fs, const std::string& home, const std::string& model) {
  if (model.empty() || model.size() > kMostName || !mlxbase::is_utf8(model)) return fail(Code::invalid, "not a name that can be pinned");
  auto all = TRY(pins(fs, home));
  if (std::find(all.begin(), all.end(), model) != all.end()) return {};
  all.push_back(model);
  std::sort(all.begin(), all.end());
  return write(fs, home, all);
}

Status unpin(mlxbase::os::FileSystem& fs, const std::string& home, const std::string& model) {
  auto all = TRY(pins(fs, home));
  if (std::erase(all, model) == 0) return fail(Code::not_found, fmt::format("'{}' is not pinned", mlxbase::printable(model)));
  return write(fs, home, all);
}

bool is_pinned(const std::vector<std::string>& pins, catalog::StoreKind kind, const std::string& model) {
  const std::string with_store = mlxbase::path::join(stores::adapter_of(kind).name, model);
  return std::any_of(pins.begin(), pins.end(), [&](const std::string& pin) { return pin == with_store || is_named(model, pin); });
}

}  // namespace mlxcache::keep
