#pragma once
// The records of a journal and their bytes (docs/formats/journal.md, "Payloads").
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "mlxcache/journal/journal.h"

namespace mlxcache::journal {

struct Begin {
  std::string id;
  std::int64_t time_ns = 0;
  std::string command;
  std::string version;  // of the program, for people
};

/// The new inode lies at the intent's staging name, whole and on disk. Only now may it take the target's name.
struct Staged {
  std::uint32_t index = 0;
  bool undo = false;            // belongs to the index's UndoIntent
  mlxbase::os::FileId new_id;
  std::string digest;           // "sha256:…" of the bytes as measured while comparing or copying; may be empty
};

struct UndoBegin {
  std::int64_t time_ns = 0;
};

/// The index's target is about to get a private copy again.
struct UndoIntent {
  std::uint32_t index = 0;
  std::uint8_t in_place = 0;    // 1: the target keeps its inode and only its extents part; staging holds a copy meanwhile
  std::string staging;
  std::string keep;
  mlxbase::os::FileKind old_kind = mlxbase::os::FileKind::regular;  // what the name is now
  mlxbase::os::FileId old_id;
  std::uint64_t old_size = 0;
  std::int64_t old_mtime_ns = 0;
};

/// The transaction (or its undo, or its recovery) is over, and nothing of it is left under a temporary name.
struct Closed {
  State state{};
  std::int64_t time_ns = 0;
  std::uint64_t actions = 0;      // done and not undone
  std::uint64_t bytes_freed = 0;
};

using Record = std::variant<Begin, Intent, Staged, Settled, UndoBegin, UndoIntent, Closed>;

/// Payload bytes of a record.
std::vector<std::byte> encode(const Record& record);
/// The record of a payload, or nothing if the bytes are none (unknown type, cut, bytes left over, values out of range).
std::optional<Record> decode(std::span<const std::byte> payload);

}  // namespace mlxcache::journal
