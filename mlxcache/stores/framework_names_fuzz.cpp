// Names and marks of framework caches: what is taken out of a name is in the name.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mlxcache/stores/kagglehub_paths.h"
#include "mlxcache/stores/tf_hub_descriptor.h"
#include "mlxcache/stores/torch_hub_names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace stores = mlxcache::stores;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto prefix = stores::torch_hub::prefix_in_name(text)) {
    if (prefix->size() < 4 || !text.contains("-" + prefix->hex())) std::abort();
  }
  if (const auto at = stores::kagglehub::locate(text)) {
    using stores::kagglehub::Place;
    std::string again = at->model + "/";
    switch (at->place) {
      case Place::file: again += at->version + "/" + std::string(at->within); break;
      case Place::whole_mark: again += at->version + ".complete"; break;
      case Place::archive: again += at->version + ".archive"; break;
      case Place::file_mark: again += ".complete/" + at->version + "/" + std::string(at->within) + ".complete"; break;
    }
    if (again != text) std::abort();
  }
  if (stores::tf_hub::module_of_descriptor(text, std::string(40, '0'))) std::abort();  // nobody knows a text of that SHA-1
  return 0;
}
