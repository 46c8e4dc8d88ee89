// A URL that is accepted reads back as itself, whatever a Location header holds: nothing is lost or changed between two readings.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "mlxbase/net/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mlxbase::net::Url;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const Url base = *Url::parse("https://hub.test:8443/org/repo/resolve/main/file?x=1");
  for (const auto& url : {Url::parse(text), base.resolve(text)}) {
    if (!url) continue;
    for (const unsigned char c : url->text()) {
      if (c <= ' ' || c >= 0x7F || c == '\\') std::abort();
    }
    if (url->host().empty() || url->port() == 0 || !url->path().starts_with('/') || url->host().contains('@')) std::abort();
    const auto again = Url::parse(url->text());
    if (!again || again->text() != url->text() || !again->same_origin(*url)) std::abort();
  }
  return 0;
}
