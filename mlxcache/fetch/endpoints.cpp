#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/os/keychain.h"
#include "mlxcache/fetch/fetch.h"

namespace mlxcache::fetch {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::net::Secret;
using mlxbase::net::Url;
using mlxbase::os::Environment;

bool is_true(const Environment& environment, std::string_view name) {
  std::string value = environment.get(name).value_or("");
  std::transform(value.begin(), value.end(), value.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// Where the hub's own clients keep the token.
std::string token_path(const Environment& environment) {
  if (const auto named = environment.get_nonempty("HF_TOKEN_PATH")) return environment.absolute(environment.expand(*named));
  if (const auto home = environment.get_nonempty("HF_HOME")) return mlxbase::path::join(environment.absolute(environment.expand(*home)), "token");
  if (const auto cache = environment.get_nonempty("XDG_CACHE_HOME")) {
    return mlxbase::path::join(environment.absolute(environment.expand(*cache)), "huggingface/token");
  }
  return mlxbase::path::join(environment.home, ".cache/huggingface/token");
}

/// A token becomes a header: one line of visible ASCII. What it holds is never said.
Result<Secret> checked(std::string_view text, const std::string& from) {
  constexpr std::size_t kLongest = 4096;
  const std::string_view token = trim(text);
  const bool visible = std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (!visible || token.size() > kLongest) return fail(Code::invalid, from + " holds something that is no access token; log in again with `hf auth login`");
  return Secret(std::string(token));
}

/// Under the name by which the hub's clients hand it to git (`hf auth login --add-to-git-credential`).
Result<Secret> kept_token(const stores::Context& context, const Url& hub, const Keychain& keychain) {
  if (hub.scheme() != "https") return Secret();
  std::optional<std::string> kept;
  if (keychain) {
    kept = keychain(hub.host(), "hf_user");
  } else if (context.environment.platform == mlxbase::os::Platform::macos) {
    kept = mlxbase::os::keychain_password(hub.host(), "hf_user");
  }
  return kept ? checked(*kept, "the keychain") : Secret();
}

Result<Secret> hub_token(const stores::Context& context, const Url& hub, const Keychain& keychain) {
  const Environment& environment = context.environment;
  if (is_true(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) return Secret();
  for (const std::string_view name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    const auto value = environment.get(name);
    if (value && !trim(*value).empty()) return checked(*value, std::string(name));
  }
  const std::string file = token_path(environment);
  constexpr std::uint64_t kLimit = 16U << 10U;
  const auto text = mlxbase::os::read_small_file(context.fs, file, kLimit);
  if (!text) return kept_token(context, hub, keychain);  // if none is there: whether it is needed, the hub will say
  return checked(*text, mlxbase::printable(file));
}

std::vector<std::string> words_of(std::string_view list) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : std::string(list) + ",") {
    if (c != ',' && c != ' ') {
      word += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  return out;
}

}  // namespace

Result<Endpoints> endpoints(const stores::Context& context, const Keychain& keychain) {
  const Environment& environment = context.environment;
  Endpoints out;
  std::string hub = environment.get_nonempty("HF_ENDPOINT").value_or("https://huggingface.co");
  while (hub.ends_with('/')) hub.pop_back();
  auto url = Url::parse(hub);
  if (!url) return fail(Code::invalid, "HF_ENDPOINT: " + url.error().message);
  if (!url->query().empty()) return fail(Code::invalid, "HF_ENDPOINT: an endpoint has no query");
  out.hub = *std::move(url);
  Secret token = TRY(hub_token(context, out.hub, keychain));
  if (!token.empty()) out.hub_credential = mlxbase::net::Credential{out.hub, std::move(token)};
  for (const std::string_view name : {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "MLXCACHE_OFFLINE"}) out.offline = out.offline || is_true(environment, name);
  out.insecure_registries = words_of(environment.get("MLXCACHE_INSECURE_REGISTRIES").value_or(""));
  return out;
}

}  // namespace mlxcache::fetch
