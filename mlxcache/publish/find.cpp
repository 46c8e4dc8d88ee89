#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <tuple>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/publish/files.h"
#include "mlxcache/publish/publish.h"

namespace mlxcache::publish {
namespace {

using catalog::Inventory;
using catalog::StoreKind;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}
bool contains_ignoring_case(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char x, char y) { return lower(x) == lower(y); }) != text.end();
}

template <class Fits>
std::vector<Found> matching(const Inventory& inventory, const std::optional<StoreKind>& kind, Fits&& fits) {
  std::vector<Found> found;
  for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
    if (kind && inventory.listings[s].root.kind != *kind) continue;
    const auto& models = inventory.listings[s].models;
    for (std::uint32_t m = 0; m < models.size(); ++m) {
      if (fits(models[m])) found.push_back({s, m, {}});
    }
  }
  return found;
}

const catalog::Model& model_of(const Inventory& inventory, const Found& f) { return inventory.listings[f.store].models[f.model]; }

/// Exact names first, then the same but for the case; "id@revision" picks one revision.
std::vector<Found> by_name(const Inventory& inventory, std::string_view id, const std::optional<StoreKind>& kind) {
  std::string_view revision;
  if (const auto at = id.rfind('@'); at != std::string_view::npos) {
    if (auto whole = matching(inventory, kind, [&](const catalog::Model& m) { return m.id == id; }); !whole.empty()) return whole;
    revision = id.substr(at + 1);
    id = id.substr(0, at);
  }
  const auto right = [&](const catalog::Model& m) { return revision.empty() || m.revision.starts_with(revision); };
  auto found = matching(inventory, kind, [&](const catalog::Model& m) { return m.id == id && right(m); });
  if (found.empty()) found = matching(inventory, kind, [&](const catalog::Model& m) { return equal_ignoring_case(m.id, id) && right(m); });
  return found;
}

/// Whether the model holds a GGUF of this quantisation.
bool has_quant(const Inventory& inventory, const Found& f, const std::string& quant) {
  const auto& listing = inventory.listings[f.store];
  const auto& entries = listing.models[f.model].entries;
  return std::any_of(entries.begin(), entries.end(), [&](std::uint32_t e) {
    const std::string_view name = mlxbase::path::file_name(listing.entries[e].path);
    return name.ends_with(".gguf") && quant_of(name) == quant;
  });
}

std::string near_names(const Inventory& inventory, std::string_view id) {
  std::set<std::string> names;
  const std::string_view last = mlxbase::path::file_name(id).empty() ? id : mlxbase::path::file_name(id);
  for (const auto& listing : inventory.listings) {
    for (const auto& model : listing.models) {
      const std::string_view own = mlxbase::path::file_name(model.id);
      if (contains_ignoring_case(model.id, last) || (own.size() > 3 && contains_ignoring_case(id, own))) names.insert(printable(model.id));
    }
  }
  if (names.empty()) return "'mlxcache ls' lists them";
  std::vector<std::string> shown(names.begin(), names.end());
  if (shown.size() > 5) shown.resize(5);
  return fmt::format("near it: {}{}", fmt::join(shown, ", "), names.size() > shown.size() ? ", …" : "");
}

/// Why a model is not whole, in words.
std::string what_is_missing(const catalog::Listing& listing, const catalog::Model& model) {
  for (const std::uint32_t e : model.entries) {
    const catalog::Entry& entry = listing.entries[e];
    if (entry.role == catalog::Role::partial) return fmt::format("{} is a download that has not finished", printable(mlxbase::path::file_name(entry.path)));
    if (entry.role == catalog::Role::broken) return fmt::format("{} leads nowhere", printable(mlxbase::path::file_name(entry.path)));
  }
  return "a shard or split is missing";
}

}  // namespace

Result<Found> find_model(const Inventory& inventory, const std::string& id) {
  std::optional<StoreKind> kind;
  std::string_view name = id;
  auto found = by_name(inventory, name, kind);
  if (found.empty()) {
    if (const auto slash = id.find('/'); slash != std::string::npos) {
      if (const stores::Adapter* row = stores::find_adapter(std::string_view(id).substr(0, slash)); row != nullptr) {
        kind = row->kind;
        name.remove_prefix(slash + 1);
        found = by_name(inventory, name, kind);
      }
    }
  }
  std::string quant;
  if (found.empty()) {
    if (const auto colon = name.rfind(':'); colon != std::string_view::npos) {
      quant = quant_of(name.substr(colon + 1));
      if (!quant.empty()) found = by_name(inventory, name.substr(0, colon), kind);
      std::erase_if(found, [&](const Found& f) { return !has_quant(inventory, f, quant); });
    }
  }
  if (found.empty() && !name.empty()) {
    quant.clear();
    found = matching(inventory, kind, [&](const catalog::Model& m) { return contains_ignoring_case(m.id, name); });
    std::set<std::string> names;
    for (const Found& f : found) names.insert(model_of(inventory, f).id);
    if (names.size() > 1) {
      return fail(Code::invalid, fmt::format("'{}' fits {} models; {}", printable(id), names.size(), near_names(inventory, name)));
    }
  }
  if (found.empty()) return fail(Code::not_found, fmt::format("no store has a model '{}'; {}", printable(id), near_names(inventory, name)));

  // A whole one, from the hub cache if it can be; of several revisions the one used last.
  const auto rank = [&](const Found& f) {
    const auto& listing = inventory.listings[f.store];
    const catalog::Model& model = listing.models[f.model];
    std::int64_t newest = 0;
    for (const std::uint32_t e : model.entries) newest = std::max(newest, listing.entries[e].stat.mtime_ns);
    return std::make_tuple(model.incomplete, listing.root.kind, -newest, f.store, f.model);
  };
  Found best = *std::min_element(found.begin(), found.end(), [&](const Found& a, const Found& b) { return rank(a) < rank(b); });
  if (const catalog::Model& model = model_of(inventory, best); model.incomplete) {
    return fail(Code::invalid, fmt::format("{} is incomplete: {}", printable(model.id), what_is_missing(inventory.listings[best.store], model)));
  }
  best.quant = std::move(quant);
  return best;
}

}  // namespace mlxcache::publish
