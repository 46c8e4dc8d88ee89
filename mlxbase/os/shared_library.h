#pragma once
// A library that may or may not be on this machine: opened at run time, never linked (GPU drivers, private frameworks).
#include <memory>
#include <string>

#include "mlxbase/core/result.h"

namespace mlxbase::os {

class SharedLibrary {
 public:
  /// By the loader's own rules: "libnvidia-ml.so.1". Errors: not_found (with the loader's reason).
  static Result<SharedLibrary> open(const std::string& name);
  /// The function or variable, or null.
  void* symbol(const char* name) const;

 private:
  struct Close {
    void operator()(void* handle) const;
  };
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  std::unique_ptr<void, Close> handle_;
};

}  // namespace mlxbase::os
