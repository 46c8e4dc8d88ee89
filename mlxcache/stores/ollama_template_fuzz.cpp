// A chat template is a stranger's text: what becomes of it for Ollama must be a template whose braces are ours alone.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxcache/stores/ollama_template.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const auto cut = all.find('\0');  // the model's end token, then the template
  const std::string_view end = cut == std::string_view::npos ? std::string_view{} : all.substr(0, cut);
  const auto found = mlxcache::stores::ollama::chat_template_of(cut == std::string_view::npos ? all : all.substr(cut + 1), end);
  if (!found) return 0;
  if (found->family.empty() || found->stops.empty()) std::abort();
  int open = 0;
  std::size_t ifs = 0, ends = 0;
  const std::string_view go = found->go;
  for (std::size_t i = 0; i + 1 < go.size(); ++i) {
    if (go.substr(i, 2) == "{{") {
      if (++open != 1) std::abort();
      const std::string_view action = go.substr(i + 2);
      ifs += action.starts_with(" if ") || action.starts_with(" range ") ? 1U : 0U;
      ends += action.starts_with(" end ") ? 1U : 0U;
      ++i;
    } else if (go.substr(i, 2) == "}}") {
      if (--open != 0) std::abort();
      ++i;
    }
  }
  if (open != 0 || ifs != ends) std::abort();
  return 0;
}
