#pragma once
// Which processes hold a file open. Sees what this user may see: other users' processes only as root.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxbase/os/file_system.h"

namespace mlxbase::os {

struct OpenBy {
  std::int64_t pid = 0;
  std::string program;  // its short name; may be empty
  bool writing = false;
};

/// Processes that have the inode open (or mapped), this one left out.
std::vector<OpenBy> processes_holding(const std::string& path, FileId id);
/// Those of them that can write to it.
std::vector<OpenBy> processes_writing(const std::string& path, FileId id);

}  // namespace mlxbase::os
