#pragma once
// Real folders and real second processes for the tests of this room.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/os/file_system.h"
#include "mlxbase/testing/temporary_folder.h"

namespace mlxbase::os {

/// A folder of this test alone, seen through the real file system.
class TempFolder : public ::testing::Test {
 protected:
  std::string at(std::string_view name) const { return folder_ / name; }
  void write(std::string_view name, std::string_view content) const { folder_.write(name, content); }
  std::string read(std::string_view name) const { return testing::read_all(at(name)); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(root_)) out.push_back(entry.path().filename().string());
    return out;
  }

  const testing::TemporaryFolder folder_;
  const std::string& root_ = folder_.path();
  FileSystem& fs_ = real_file_system();
};

/// Another process that does something, says that it has, and ends when this object does.
class Peer {
 public:
  explicit Peer(const std::function<void()>& act) {
    int ready[2];
    int done[2];
    if (::pipe(ready) != 0 || ::pipe(done) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(done[1]);
      act();
      if (::write(ready[1], "r", 1) != 1) ::_exit(1);
      char c = 0;
      (void)!::read(done[0], &c, 1);  // ends when the parent closes its side
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(done[0]);
    char c = 0;
    (void)!::read(ready[0], &c, 1);
    ::close(ready[0]);
    done_ = done[1];
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    ::close(done_);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int done_ = -1;
};

}  // namespace mlxbase::os
