#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/fetch/fetch.h"
#include "mlxcache/fetch/names.h"
#include "mlxcache/stores/hf_names.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;

constexpr std::string_view kGrammar =
    "an id is hf:org/repo[@revision][/file] (or org/repo), ollama:name[:tag], or https://host/path#sha256=<64 hex digits>";

auto wrong(std::string_view text, const std::string& reason) {
  constexpr std::size_t kShown = 200;
  return fail(Code::invalid, "'" + printable(text.substr(0, kShown)) + "': " + std::string(reason) + "; " + std::string(kGrammar));
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Length of a leading "refs/pr/12" or "refs/convert/parquet", which every client of the hub takes whole; 0 if there is none.
std::size_t special_ref(std::string_view text) {
  for (const std::string_view prefix : {"refs/pr/", "refs/convert/"}) {
    if (!text.starts_with(prefix)) continue;
    const auto end = std::min(text.find('/', prefix.size()), text.size());
    const std::string_view name = text.substr(prefix.size(), end - prefix.size());
    if (name.empty() || (prefix == "refs/pr/" && !std::all_of(name.begin(), name.end(), is_digit))) return 0;
    return end;
  }
  return 0;
}

std::string with_slashes(std::string_view revision) {
  std::string out;
  for (std::size_t i = 0; i < revision.size(); ++i) {
    if (revision[i] == '%' && i + 2 < revision.size() && revision[i + 1] == '2' && (revision[i + 2] == 'F' || revision[i + 2] == 'f')) {
      out += '/';
      i += 2;
    } else {
      out += revision[i];
    }
  }
  return out;
}

std::string without_slashes(std::string_view revision) {
  std::string out;
  for (const char c : revision) c == '/' ? out += "%2F" : out += c;
  return out;
}

Result<Id> parse_hub(std::string_view whole, std::string_view text, bool bare) {
  for (const std::string_view type : {"datasets/", "spaces/", "kernels/"}) {
    if (text.starts_with(type)) return wrong(whole, "only models are pulled");
  }
  HubId id;
  const auto first = text.find('/');
  const auto at = text.find('@');
  std::size_t end = text.size();  // of the repo's id: at the first "@", else at the second "/"
  const bool at_ends_the_repo = at != std::string_view::npos && (first > at || !text.substr(first + 1, at - first - 1).contains('/'));
  if (at_ends_the_repo) {
    end = at;
  } else if (first != std::string_view::npos) {
    end = std::min(text.find('/', first + 1), text.size());
  }
  id.repo = text.substr(0, end);
  if (bare && !id.repo.contains('/')) return wrong(whole, "is no id of a kind that is known here" + (stores::ollama::parse_name(whole) ? "; Ollama's model of this name is ollama:" + printable(whole.substr(0, 200)) : std::string()));
  if (id.repo.contains(':')) {
    const std::string repo = id.repo.substr(0, id.repo.find(':'));
    return wrong(whole, "a repo's id has no ':'; a quantisation is chosen with --quant, as in 'mlxcache pull " + printable(repo.substr(0, 200)) + " --quant " +
                            printable(id.repo.substr(repo.size() + 1, 100)) + "'");
  }
  if (!stores::hf::is_repo_id(id.repo)) return wrong(whole, "'" + printable(id.repo.substr(0, 200)) + "' is no repo id of a hub");
  text.remove_prefix(end);
  if (text.starts_with('@')) {
    text.remove_prefix(1);
    std::size_t length = special_ref(text);
    if (length == 0) length = std::min(text.find('/'), text.size());
    id.revision = with_slashes(text.substr(0, length));
    if (!is_revision(id.revision)) return wrong(whole, "'" + printable(id.revision.substr(0, 200)) + "' is no branch, tag or commit");
    text.remove_prefix(length);
  }
  if (text.starts_with('/')) {
    id.file = text.substr(1);
    if (!is_repo_path(id.file)) return wrong(whole, "'" + printable(id.file.substr(0, 200)) + "' is no path of a file in a repo");
  }
  return Id{std::move(id)};
}

Result<Id> parse_url(std::string_view whole) {
  const auto hash = whole.find('#');
  const auto url = mlxbase::net::Url::parse(whole.substr(0, hash));
  if (!url) return wrong(whole, url.error().message);
  if (url->host() == "huggingface.co" || url->host() == "hf.co") return wrong(whole, "a model of this hub is named hf:org/repo");
  if (!url->may_carry_secrets()) return wrong(whole, "http is spoken to this machine only; the address must begin with https://");
  constexpr std::string_view kDigest = "#sha256=";
  const std::string_view fragment = hash == std::string_view::npos ? std::string_view{} : whole.substr(hash);
  const auto digest = fragment.starts_with(kDigest) ? mlxbase::Digest::parse(mlxbase::Algorithm::sha256, fragment.substr(kDigest.size())) : std::nullopt;
  if (!digest) return wrong(whole, "an address needs the file's digest behind it, or nobody could tell whether the right bytes came");
  const std::string file = percent_decode(mlxbase::path::file_name(url->path()));
  if (!is_repo_path(file) || file.contains('/') || file.starts_with('.')) return wrong(whole, "the last part of the address is no file name");
  UrlId id;
  id.url = *url;
  id.sha256 = *digest;
  id.file = file;
  return Id{std::move(id)};
}

}  // namespace

bool is_revision(std::string_view text) {
  if (!mlxbase::path::is_safe_relative(text) || text.size() > 255) return false;
  if (text.contains("..") || text.contains("@{") || text == "@" || text.ends_with('.') || text.ends_with('/')) return false;
  constexpr std::string_view kRefused = " ~^:?*[\\%";  // git check-ref-format, and "%", which writes a slash in an id
  if (text.find_first_of(kRefused) != std::string_view::npos) return false;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    if (part.starts_with('.') || part.ends_with(".lock")) return false;
    begin = end + 1;
  }
  return mlxbase::is_utf8(text);
}

Result<Id> parse_id(std::string_view text) {
  constexpr std::size_t kLongest = 16U << 10U;
  if (text.empty() || text.size() > kLongest) return wrong(text, text.empty() ? "an empty id" : "longer than any id");
  if (text.starts_with("hf:") && !text.starts_with("hf://")) return parse_hub(text, text.substr(3), false);
  if (text.starts_with("hf://")) return parse_hub(text, text.substr(5), false);
  if (text.starts_with("ollama:")) {
    auto name = stores::ollama::parse_name(text.substr(7));
    if (!name || text.substr(7).contains("://")) return wrong(text, "is no model name of Ollama");
    return Id{*std::move(name)};
  }
  if (text.starts_with("https://") || text.starts_with("http://")) return parse_url(text);
  if (text.starts_with("hf.co/") || text.starts_with("huggingface.co/")) {
    return wrong(text, "write ollama:" + printable(text.substr(0, 200)) + " for Ollama's name, or hf:org/repo with --quant for the hub's");
  }
  return parse_hub(text, text, true);
}

std::string to_string(const Id& id) {
  if (const auto* url = std::get_if<UrlId>(&id)) return url->url.text() + "#sha256=" + url->sha256.hex();
  return shown(id);
}

std::string shown(const Id& id) {
  if (const auto* hub = std::get_if<HubId>(&id)) {
    std::string out = "hf:" + hub->repo;
    if (hub->revision != "main") {
      const bool special = special_ref(hub->revision) == hub->revision.size();
      out += "@" + (special ? hub->revision : without_slashes(hub->revision));
    }
    if (!hub->file.empty()) out += (hub->repo.contains('/') || hub->revision != "main" ? "/" : "@main/") + hub->file;
    return out;
  }
  if (const auto* name = std::get_if<OllamaId>(&id)) return "ollama:" + name->shortest();
  const auto& url = std::get<UrlId>(id);
  return url.url.shown() + "#sha256=" + url.sha256.hex();
}

}  // namespace mlxcache::fetch
