#include "mlxcache/fetch/quant.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;

constexpr std::string_view kGguf = ".gguf";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
std::string in_capitals(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), upper);
  return out;
}
bool is_gguf(std::string_view path) { return path.size() > kGguf.size() && in_capitals(path).ends_with(".GGUF"); }

/// "Q4_K_M", "IQ2_XXS", "TQ1_0", "BF16", "MXFP4_MOE": letters, digits and "_" that begin like a type of GGUF.
bool looks_like_quant(std::string_view capitals) {
  for (const std::string_view whole : {"BF16", "F16", "F32", "F64", "FP16", "FP32"}) {
    if (capitals == whole) return true;
  }
  std::string_view rest;
  for (const std::string_view prefix : {"IQ", "TQ", "Q", "MXFP", "NVFP"}) {
    if (!capitals.starts_with(prefix)) continue;
    rest = capitals.substr(prefix.size());
    break;
  }
  if (rest.empty() || !is_digit(rest.front())) return false;
  return rest.size() <= 16 && std::all_of(rest.begin(), rest.end(), [](char c) { return is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; });
}

/// Parts between "-" and "." (a quantisation's own parts are joined by "_").
std::vector<std::string> parts_of(std::string_view capitals) {
  std::vector<std::string> out{""};
  for (const char c : capitals) {
    if (c == '-' || c == '.') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

std::string quant_in(std::string_view name) {
  const auto parts = parts_of(in_capitals(name));
  for (std::size_t i = parts.size(); i-- > 0;) {
    // "model_q4_0": where nobody wrote a "-", the tail after some "_" may still be one.
    std::string_view part = parts[i];
    while (!looks_like_quant(part) && part.contains('_')) part.remove_prefix(part.find('_') + 1);
    if (!looks_like_quant(part)) continue;
    const bool dynamic = i > 0 && part.size() == parts[i].size() && parts[i - 1] == "UD";
    return (dynamic ? "UD-" : "") + std::string(part);
  }
  return {};
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 40;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i == 0 ? "" : ", ") + mlxbase::printable(names[i]);
  if (names.size() > kShown) out += " and " + std::to_string(names.size() - kShown) + " more";
  return out;
}

mlxbase::Status check_splits(const std::vector<std::string>& chosen) {
  std::map<std::pair<std::string, std::uint32_t>, std::set<std::uint32_t>> sets;
  for (const std::string& path : chosen) {
    if (const auto split = parse_split(path)) sets[{split->prefix, split->count}].insert(split->number);
  }
  for (const auto& [key, numbers] : sets) {
    if (numbers.size() == key.second) continue;
    return fail(Code::invalid, mlxbase::printable(key.first) + ": the repo has only " + std::to_string(numbers.size()) + " of its " +
                                   std::to_string(key.second) + " parts; choose another quantisation");
  }
  return {};
}

/// Of several projectors the one of 16 bits: every loader takes it, whatever the model's own type.
std::string best_projector(std::vector<std::string> projectors) {
  constexpr std::array<std::string_view, 3> kOrder{"F16", "BF16", "Q8_0"};
  std::sort(projectors.begin(), projectors.end());
  for (const std::string_view wanted : kOrder) {
    for (const std::string& path : projectors) {
      const std::string quant = quant_of(path);
      if (quant == wanted || (wanted == "F16" && quant == "FP16")) return path;
    }
  }
  return projectors.front();
}

}  // namespace

std::optional<Split> parse_split(std::string_view path) {
  constexpr std::size_t kTail = 15;  // "-00001-of-00003"
  if (!is_gguf(path)) return std::nullopt;
  const std::string_view stem = path.substr(0, path.size() - kGguf.size());
  if (stem.size() <= kTail) return std::nullopt;
  const std::string_view tail = stem.substr(stem.size() - kTail);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-") return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    for (const char c : digits) {
      if (!is_digit(c)) return std::nullopt;
      value = value * 10 + static_cast<std::uint32_t>(c - '0');
    }
    return value;
  };
  const auto n = number(tail.substr(1, 5));
  const auto of = number(tail.substr(10, 5));
  if (!n || !of || *n == 0 || *n > *of) return std::nullopt;
  return Split{std::string(stem.substr(0, stem.size() - kTail)), *n, *of};
}

bool is_projector(std::string_view path) { return is_gguf(path) && in_capitals(mlxbase::path::file_name(path)).contains("MMPROJ"); }

std::string quant_of(std::string_view path) {
  if (!is_gguf(path)) return {};
  const auto split = parse_split(path);
  const std::string whole = split ? split->prefix : std::string(path.substr(0, path.size() - kGguf.size()));
  std::string found = quant_in(mlxbase::path::file_name(whole));
  if (found.empty() && whole.contains('/')) found = quant_in(mlxbase::path::file_name(mlxbase::path::parent(whole)));
  return found;
}

std::vector<std::string> quants_of(const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (const std::string& path : paths) {
    if (is_projector(path)) continue;
    std::string quant = quant_of(path);
    if (!quant.empty() && seen.insert(quant).second) out.push_back(std::move(quant));
  }
  return out;
}

Result<std::vector<std::string>> files_of_quant(const std::vector<std::string>& paths, std::string_view wanted) {
  const std::string capitals = in_capitals(wanted);
  std::vector<std::string> chosen, dynamic, projectors;
  for (const std::string& path : paths) {
    if (!is_gguf(path)) continue;
    if (is_projector(path)) {
      projectors.push_back(path);
      continue;
    }
    const std::string quant = quant_of(path);
    if (quant == capitals) chosen.push_back(path);
    if (quant == "UD-" + capitals) dynamic.push_back(path);
  }
  if (chosen.empty()) chosen = std::move(dynamic);
  if (chosen.empty()) {
    const auto there = quants_of(paths);
    const std::string name = mlxbase::printable(wanted.substr(0, 64));
    if (there.empty()) return fail(Code::invalid, "--quant " + name + ": this repo has no GGUF files that name a quantisation");
    return fail(Code::invalid, "--quant " + name + ": this repo has " + list_of(there));
  }
  if (auto ok = check_splits(chosen); !ok) return fail(std::move(ok).error());
  if (!projectors.empty()) chosen.push_back(best_projector(std::move(projectors)));
  return chosen;
}

}  // namespace mlxcache::fetch
