# Third-party libraries for the macOS cross build: Debian's headers in a folder of their own (never -I/usr/include, which
# would bring Linux's headers along), and for what is linked a stub library made from the list of symbols that we use, so
# that a new foreign symbol shows up in review.
include_guard()
set(_include "${CMAKE_BINARY_DIR}/third-party/include")
set(_lib "${CMAKE_BINARY_DIR}/third-party/lib")
set(SUITE_HOST_INCLUDE "/usr/include" CACHE PATH "Where the headers of the third-party libraries lie on this machine")
foreach(_part fmt nlohmann CLI toml++ sqlite3.h yaml.h)
  if(NOT EXISTS "${SUITE_HOST_INCLUDE}/${_part}")
    message(FATAL_ERROR "${SUITE_HOST_INCLUDE}/${_part} is missing: `./dev macos` installs it")
  endif()
  file(COPY "${SUITE_HOST_INCLUDE}/${_part}" DESTINATION "${_include}")
endforeach()
# libcurl's headers lie where the compiler's processor is in the path.
file(GLOB _curl LIST_DIRECTORIES true "${SUITE_HOST_INCLUDE}/curl" "${SUITE_HOST_INCLUDE}/*-linux-gnu/curl")
if(NOT _curl)
  message(FATAL_ERROR "${SUITE_HOST_INCLUDE}/<processor>-linux-gnu/curl is missing: `./dev macos` installs it")
endif()
list(GET _curl 0 _curl)
file(COPY "${_curl}" DESTINATION "${_include}")

# symbols/<name>.txt: first line the install name, then one C symbol a line; '#' begins a comment.
function(suite_macos_stub name)
  set(list "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/symbols/${name}.txt")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}")
  file(STRINGS "${list}" lines REGEX "^[^#]")
  list(POP_FRONT lines install_name)
  list(TRANSFORM lines PREPEND "_")
  list(JOIN lines ", " symbols)
  file(WRITE "${_lib}/lib${name}.tbd"
    "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '${install_name}'\n"
    "exports:\n  - targets: [ arm64-macos ]\n    symbols: [ ${symbols} ]\n...\n")
endfunction()
suite_macos_stub(sqlite3)
suite_macos_stub(curl)
suite_macos_stub(yaml)

function(_third_party name)
  cmake_parse_arguments(ARG "" "" "DEFINE;LINK" ${ARGN})
  add_library(${name} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${name} INTERFACE "${_include}")
  target_compile_definitions(${name} INTERFACE ${ARG_DEFINE})
  target_link_libraries(${name} INTERFACE ${ARG_LINK})
endfunction()
_third_party(Threads::Threads)  # in libSystem
_third_party(fmt::fmt DEFINE FMT_HEADER_ONLY=1)
_third_party(nlohmann_json::nlohmann_json)
_third_party(CLI11::CLI11)
_third_party(tomlplusplus::tomlplusplus DEFINE TOML_HEADER_ONLY=1)
_third_party(SQLite::SQLite3 LINK "${_lib}/libsqlite3.tbd")
_third_party(CURL::libcurl LINK "${_lib}/libcurl.tbd")
_third_party(suite_yaml LINK "${_lib}/libyaml.tbd")
