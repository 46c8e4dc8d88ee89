// libc++ before 18 (Xcode before 16.3) keeps std::expected's "has a value" in the tail padding of the value, where making or copying
// the value overwrites it: a Result<FileStat> that was set reads as an error. Without the attribute the flag has a place of its own.
// Included ahead of every other header (cmake/suite.cmake), since all of a program must see the same layout. Goes with libc++ 17.
#pragma once
#include <version>
#if defined(_LIBCPP_VERSION) && _LIBCPP_VERSION < 180000
#pragma push_macro("_LIBCPP_NO_UNIQUE_ADDRESS")
#undef _LIBCPP_NO_UNIQUE_ADDRESS
#define _LIBCPP_NO_UNIQUE_ADDRESS
#include <expected>
#pragma pop_macro("_LIBCPP_NO_UNIQUE_ADDRESS")
namespace suite_check {
struct Padded {
  Padded() {}
  long long most[8];
  char last;
};
static_assert(sizeof(std::expected<Padded, int>) > sizeof(Padded), "the flag still lies in the padding of the value");
}  // namespace suite_check
#endif
