#include "mlxbase/os/shared_library.h"

#include <dlfcn.h>

namespace mlxbase::os {

Result<SharedLibrary> SharedLibrary::open(const std::string& name) {
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    return fail(Code::not_found, reason != nullptr ? reason : name + ": cannot be opened");
  }
  return SharedLibrary(handle);
}

void* SharedLibrary::symbol(const char* name) const { return ::dlsym(handle_.get(), name); }

void SharedLibrary::Close::operator()(void* handle) const { ::dlclose(handle); }

}  // namespace mlxbase::os
