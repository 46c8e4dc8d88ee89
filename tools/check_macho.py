#!/usr/bin/env python3
"""Looks at cross-built macOS programs, which cannot be run here: right processor, oldest system, signature, known libraries.

usage: check_macho.py FILE...   Files that are not Mach-O programs are passed over; finding none is an error.
"""
import struct
import sys

MAGIC_64, CPU_ARM64, EXECUTABLE = 0xFEEDFACF, 0x0100000C, 2
LC_LOAD_DYLIB, LC_CODE_SIGNATURE, LC_BUILD_VERSION = 0xC, 0x1D, 0x32
PLATFORM_MACOS, OLDEST = 1, (14, 0)
# A new name here means that people must have something installed which they did not need before.
LIBRARIES = {"/usr/lib/libSystem.B.dylib", "/usr/lib/libsqlite3.dylib", "/usr/lib/libcurl.4.dylib", "/opt/homebrew/opt/libyaml/lib/libyaml-0.2.dylib",
             # mlxhub's tokenisers
             "/opt/homebrew/opt/pcre2/lib/libpcre2-8.0.dylib", "/opt/homebrew/opt/utf8proc/lib/libutf8proc.3.dylib"}


def complaints(data):
    """What is wrong with one program; None if it is none."""
    if len(data) < 32 or struct.unpack_from("<I", data)[0] != MAGIC_64:
        return None
    _, cpu, _, kind, count, _, _, _ = struct.unpack_from("<8I", data)
    wrong, libraries, signed, oldest = [], set(), False, None
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<2I", data, at)
        if command == LC_LOAD_DYLIB:
            start = at + struct.unpack_from("<I", data, at + 8)[0]
            libraries.add(data[start:at + size].split(b"\0")[0].decode())
        elif command == LC_CODE_SIGNATURE:
            signed = True
        elif command == LC_BUILD_VERSION:
            platform, version = struct.unpack_from("<2I", data, at + 8)
            oldest = (version >> 16, version >> 8 & 0xFF) if platform == PLATFORM_MACOS else None
        at += size
    if cpu != CPU_ARM64:
        wrong.append(f"processor {cpu:#x}, not arm64")
    if kind != EXECUTABLE:
        wrong.append(f"Mach-O of kind {kind}, not a program")
    if not signed:
        wrong.append("no signature: Apple silicon refuses to start it")
    if oldest != OLDEST:
        wrong.append(f"needs macOS {oldest}, not {OLDEST}")
    if libraries - LIBRARIES:
        wrong.append(f"needs unknown libraries: {', '.join(sorted(libraries - LIBRARIES))}")
    return wrong


def main(names):
    programs = failed = 0
    for name in names:
        with open(name, "rb") as f:
            wrong = complaints(f.read())
        if wrong is None:
            continue
        programs += 1
        failed += bool(wrong)
        print(f"{name}: {'; '.join(wrong) if wrong else 'arm64, macOS 14, signed, known libraries only'}")
    print(f"{programs - failed} passed, {failed} failed")
    return 0 if programs and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
