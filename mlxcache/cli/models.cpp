#include "mlxcache/cli/models.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "mlxbase/core/printable.h"
#include "mlxcache/cli/command.h"

namespace mlxcache::cli {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

}  // namespace

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char x, char y) { return lower(x) == lower(y); }) != text.end();
}

mlxbase::Result<std::vector<ModelRef>> find_models(const catalog::Inventory& inventory, std::string_view text) {
  const auto matching = [&](const std::function<bool(std::string_view)>& fits) {
    std::vector<ModelRef> found;
    for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
      const auto& models = inventory.listings[s].models;
      for (std::uint32_t m = 0; m < models.size(); ++m) {
        if (fits(models[m].id)) found.push_back({s, m});
      }
    }
    return found;
  };
  if (auto exact = matching([&](std::string_view id) { return id == text; }); !exact.empty()) return exact;
  if (auto same = matching([&](std::string_view id) { return equal_ignoring_case(id, text); }); !same.empty()) return same;

  auto part = matching([&](std::string_view id) { return contains_ignoring_case(id, text); });
  std::set<std::string> names;
  for (const ModelRef ref : part) names.insert(inventory.listings[ref.store].models[ref.model].id);
  if (names.size() == 1) return part;
  if (names.size() > 1) {
    std::vector<std::string> shown;
    for (const std::string& name : names) {
      if (shown.size() < 5) shown.push_back(printable(name));
    }
    return fail(Code::invalid, fmt::format("'{}' fits {} models: {}{}; name one of them", printable(text), names.size(), fmt::join(shown, ", "),
                                           names.size() > shown.size() ? ", …" : ""));
  }
  std::vector<std::string_view> all;
  for (const auto& listing : inventory.listings) {
    for (const auto& model : listing.models) all.push_back(model.id);
  }
  const auto near = nearest(text, all);
  return fail(Code::not_found, fmt::format("no store has a model '{}'; {}", printable(text),
                                           near ? fmt::format("did you mean '{}'?", printable(*near)) : std::string("'mlxcache ls' lists them")));
}

}  // namespace mlxcache::cli
