#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/keep/keep.h"

namespace mlxcache::keep {
namespace {

using catalog::Inventory;
using catalog::StoreKind;
using mlxbase::printable;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}
bool contains_ignoring_case(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char x, char y) { return lower(x) == lower(y); }) != text.end();
}

std::vector<Named> exactly(const Inventory& inventory, std::string_view id, const std::optional<StoreKind>& kind) {
  const auto matching = [&](auto&& fits) {
    std::vector<Named> found;
    for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
      if (kind && inventory.listings[s].root.kind != *kind) continue;
      const auto& models = inventory.listings[s].models;
      for (std::uint32_t m = 0; m < models.size(); ++m) {
        if (fits(models[m])) found.push_back({s, m});
      }
    }
    return found;
  };
  auto found = matching([&](const catalog::Model& m) { return m.id == id; });
  if (found.empty()) found = matching([&](const catalog::Model& m) { return equal_ignoring_case(m.id, id); });
  if (const auto at = id.rfind('@'); found.empty() && at != std::string_view::npos && at + 1 < id.size()) {
    const auto revision = id.substr(at + 1);
    found = matching([&](const catalog::Model& m) { return equal_ignoring_case(m.id, id.substr(0, at)) && m.revision.starts_with(revision); });
  }
  return found;
}

/// "org/name:tag" of "hf.co/org/name:tag", "huggingface.co/…" and "huggingface://…"; else empty.
std::string_view without_hub(std::string_view id) {
  for (const std::string_view hub : {"hf.co/", "huggingface.co/", "huggingface://", "hf://"}) {
    if (id.size() > hub.size() && equal_ignoring_case(id.substr(0, hub.size()), hub)) return id.substr(hub.size());
  }
  return {};
}

/// What a tool's own way of writing a hub's name hides from exactly().
void add_other_spellings(const Inventory& inventory, std::string_view name, std::vector<Named>& found) {
  for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
    const auto& models = inventory.listings[s].models;
    for (std::uint32_t m = 0; m < models.size(); ++m) {
      const bool there = std::any_of(found.begin(), found.end(), [&](const Named& n) { return n.store == s && n.model == m; });
      if (!there && !without_hub(models[m].id).empty() && is_named(models[m].id, name)) found.push_back({s, m});
    }
  }
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

}  // namespace

bool is_named(std::string_view id, std::string_view name) {
  if (equal_ignoring_case(id, name)) return true;
  const std::string_view own = without_hub(id);
  return !own.empty() && (equal_ignoring_case(own, name) || equal_ignoring_case(own.substr(0, own.rfind(':')), name));
}

mlxbase::Result<std::vector<Named>> models_named(const Inventory& inventory, const std::string& model) {
  auto found = exactly(inventory, model, std::nullopt);
  add_other_spellings(inventory, model, found);
  if (const auto slash = model.find('/'); found.empty() && slash != std::string::npos) {
    if (const stores::Adapter* row = stores::find_adapter(std::string_view(model).substr(0, slash)); row != nullptr) {
      found = exactly(inventory, std::string_view(model).substr(slash + 1), row->kind);
    }
  }
  if (!found.empty()) return found;
  return mlxbase::fail(mlxbase::Code::not_found, fmt::format("no store has a model '{}'; {}", printable(model), near_names(inventory, model)));
}

}  // namespace mlxcache::keep
