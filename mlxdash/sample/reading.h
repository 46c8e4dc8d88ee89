#pragma once
// A value that may be missing, and why. Zero is a measurement; absence is not.
#include <cstdint>
#include <expected>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mlxdash {

enum class Absent : std::uint8_t {
  not_yet,        // nothing was read so far, or a rate needs a second look
  not_supported,  // this machine, kernel, driver or server does not offer it
  not_permitted,  // the operating system refuses; root (or a key) would see it
  no_answer,      // the source did not answer in time
  malformed,      // the source answered with something that makes no sense
  gone,           // it was there and is no longer
};
/// For people: "needs root", "no answer".
constexpr std::string_view to_string(Absent why) {
  switch (why) {
    case Absent::not_yet: return "not yet";
    case Absent::not_supported: return "not offered here";
    case Absent::not_permitted: return "not permitted";
    case Absent::no_answer: return "no answer";
    case Absent::malformed: return "unreadable answer";
    case Absent::gone: return "gone";
  }
  return "?";
}
/// In JSON: "not_supported".
constexpr std::string_view name_of(Absent why) {
  switch (why) {
    case Absent::not_yet: return "not_yet";
    case Absent::not_supported: return "not_supported";
    case Absent::not_permitted: return "not_permitted";
    case Absent::no_answer: return "no_answer";
    case Absent::malformed: return "malformed";
    case Absent::gone: return "gone";
  }
  return "?";
}

/// std::expected, except that one which nobody has filled is missing, and not zero.
template <class T>
struct Reading : std::expected<T, Absent> {
  using Base = std::expected<T, Absent>;
  // Not `using Base::Base`: clang 16 then takes the inherited constrained default constructor for ours, and what is missing reads as zero.
  Reading() : Base(std::unexpected<Absent>(Absent::not_yet)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): `reading = Absent::gone` reads as it should
  Reading(Absent why) : Base(std::unexpected<Absent>(why)) {}
  template <class U = T>
    requires(std::is_convertible_v<U, T> && !std::is_same_v<std::remove_cvref_t<U>, Absent> && !std::is_base_of_v<Base, std::remove_cvref_t<U>>)
  // NOLINTNEXTLINE(google-explicit-constructor): `reading = 5.0` too
  Reading(U&& value) : Base(std::in_place, std::forward<U>(value)) {}
};

}  // namespace mlxdash
