#pragma once
// Errors as values: what may fail in ordinary life returns Result<T>.
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace mlxbase {

/// What kind of failure it was; callers branch on this, people read Error::message.
enum class Code : std::uint8_t {
  not_found,      // it is not there
  corrupt,        // it is there, but damaged or hostile
  unsupported,    // this machine, volume or version cannot do it
  permission,     // the operating system refused
  out_of_space,   // disk or quota full
  out_of_memory,
  busy,           // somebody else holds it; trying later may work
  cancelled,      // the person asked to stop
  invalid,        // the caller (in the end: the person) asked for something that makes no sense
  changed,        // it is no longer what it was when it was looked at
  io,             // the device or network failed
  engine,
};

std::string_view to_string(Code code);

struct Error {
  Code code{};
  std::string message;  // "replace blob 3fa9 with a clone: this volume cannot share extents"
  int os_errno = 0;     // kept when a system call was the cause
};

template <class T>
struct [[nodiscard]] Result : std::expected<T, Error> {
  using std::expected<T, Error>::expected;
};
using Status = Result<void>;

/// Makes the unexpected half of a Result.
inline std::unexpected<Error> fail(Code code, std::string message, int os_errno = 0) {
  return std::unexpected<Error>(Error{code, std::move(message), os_errno});
}
inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

/// Maps an errno to a Code: ENOENT is not_found, ENOSPC and EDQUOT out_of_space, and so on.
Code code_of_errno(int os_errno);

/// "<what>: <text of errno>", with the matching code.
Error errno_error(int os_errno, std::string_view what);

namespace detail {
template <class T>
T take(Result<T>&& r) {
  return std::move(*r);
}
inline void take(Result<void>&&) {}
}  // namespace detail

}  // namespace mlxbase

#define MLX_CONCAT_(a, b) a##b
#define MLX_CONCAT(a, b) MLX_CONCAT_(a, b)
#define MLX_TRY_(var, ...)                                                          \
  __extension__({                                                                   \
    auto var = (__VA_ARGS__);                                                       \
    if (!var) return std::unexpected<::mlxbase::Error>(std::move(var).error());     \
    ::mlxbase::detail::take(std::move(var));                                        \
  })
/// Returns the error early; otherwise is the value: `auto file = TRY(open(path));`
/// Not inside a braced initialiser: leaving one early, GCC forgets to destroy the members that were made already (a structure
/// test looks for it).
#define TRY(...) MLX_TRY_(MLX_CONCAT(mlx_try_, __COUNTER__), __VA_ARGS__)
