# Compiles and links for macOS on Apple silicon, on Linux, with the clang, libc++ and libSystem that PyPI's `ziglang` ships.
# It proves that the darwin files compile and that every foreign symbol is a known one; it cannot prove that anything runs.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_VERSION 23.0)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(SUITE_MACOS_TARGET "aarch64-macos.14.0" CACHE STRING "zig's name of the target")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES SUITE_ZIG SUITE_MACOS_TARGET)

if(NOT SUITE_ZIG)
  message(FATAL_ERROR "give -DSUITE_ZIG=<path of zig>; `./dev macos` installs the Python package ziglang and does that")
endif()

# Compilers, ar and ranlib as scripts: CMake wants one word for each, and ccache a compiler it can look at.
set(_tools "${CMAKE_BINARY_DIR}/zig-tools")
function(_zig_tool name line)
  if(NOT EXISTS "${_tools}/${name}")
    file(WRITE "${_tools}/${name}" "#!/bin/sh\n${line}\n")
    file(CHMOD "${_tools}/${name}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
  endif()
endfunction()
_zig_tool(cc "exec '${SUITE_ZIG}' cc -target ${SUITE_MACOS_TARGET} \"$@\"")
_zig_tool(c++ "exec '${SUITE_ZIG}' c++ -target ${SUITE_MACOS_TARGET} \"$@\"")
_zig_tool(ar "exec '${SUITE_ZIG}' ar \"$@\"")
_zig_tool(ranlib "exec '${SUITE_ZIG}' ranlib \"$@\"")
_zig_tool(true "exit 0")
set(CMAKE_C_COMPILER "${_tools}/cc")
set(CMAKE_CXX_COMPILER "${_tools}/c++")
set(CMAKE_AR "${_tools}/ar" CACHE FILEPATH "" FORCE)
set(CMAKE_RANLIB "${_tools}/ranlib" CACHE FILEPATH "" FORCE)
set(CMAKE_INSTALL_NAME_TOOL "${_tools}/true" CACHE FILEPATH "" FORCE)
set(CMAKE_OSX_SYSROOT "" CACHE PATH "" FORCE)
set(CMAKE_OSX_DEPLOYMENT_TARGET "" CACHE STRING "" FORCE)
# Nothing of the Linux around us may be found by accident.
set(CMAKE_FIND_ROOT_PATH "${CMAKE_BINARY_DIR}/no-sysroot")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Makes libc++'s headers refuse what Apple's own libc++ lacks at the deployment target (std::from_chars for double, …).
# math.h asks for a part of float.h (INFINITY), and this toolchain's wrapper of it then keeps the rest (FLT_RADIX) from everybody:
# both parts, ahead of everything.
set(CMAKE_CXX_FLAGS_INIT
  "-D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=1 -Wno-macro-redefined -include math.h -include __float_float.h")
