// Who has a file open: with real second processes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <cerrno>

#include "mlxbase/os/processes.h"
#include "mlxbase/os/peer_fixture.h"

namespace mlxbase::os {
namespace {

class Writers : public TempFolder {
 protected:
  FileId id(std::string_view name) const { return fs_.stat(at(name))->id; }
  static std::vector<std::int64_t> pids(const std::vector<OpenBy>& list) {
    std::vector<std::int64_t> out;
    for (const OpenBy& p : list) out.push_back(p.pid);
    return out;
  }
};

TEST_F(Writers, AProcessThatHasTheFileOpenIsSeen) {
  write("file", "x");
  const Peer reader([&] { ::open(at("file").c_str(), O_RDONLY); });
  EXPECT_THAT(pids(processes_holding(at("file"), id("file"))), ::testing::Contains(reader.pid()));
  EXPECT_THAT(processes_writing(at("file"), id("file")), ::testing::IsEmpty());
  const Peer writer([&] { ::open(at("file").c_str(), O_WRONLY | O_APPEND); });
  EXPECT_THAT(pids(processes_writing(at("file"), id("file"))), ::testing::ElementsAre(writer.pid()));
}

TEST_F(Writers, AWritableMappingCountsThoughItsDescriptorIsClosed) {
  write("file", std::string(4096, 'x'));
  const Peer mapper([&] {
    const int fd = ::open(at("file").c_str(), O_RDWR);
    (void)::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
  });
  EXPECT_THAT(pids(processes_writing(at("file"), id("file"))), ::testing::ElementsAre(mapper.pid()));
}

TEST_F(Writers, AReadOnlyMappingHoldsButDoesNotWrite) {
  write("file", std::string(4096, 'x'));
  const Peer mapper([&] {  // as every loader of weights does
    const int fd = ::open(at("file").c_str(), O_RDONLY);
    (void)::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ::close(fd);
  });
  EXPECT_THAT(pids(processes_holding(at("file"), id("file"))), ::testing::ElementsAre(mapper.pid()));
  EXPECT_THAT(processes_writing(at("file"), id("file")), ::testing::IsEmpty());
}

TEST_F(Writers, AGuardIsRefusedWhileSomebodyWrites) {
  write("file", "x");
  const Peer writer([&] { ::open(at("file").c_str(), O_WRONLY); });
  auto file = fs_.open_read(at("file")).value();
  EXPECT_EQ(fs_.guard_against_writers(*file, at("file")).error().code, Code::busy);
}

TEST_F(Writers, AReaderDoesNotDisturbAGuard) {
  write("file", "x");
  auto file = fs_.open_read(at("file")).value();
  const auto guard = fs_.guard_against_writers(*file, at("file")).value();
  const Peer reader([&] { ::open(at("file").c_str(), O_RDONLY | O_NONBLOCK); });
  EXPECT_FALSE(guard->broken());
}

TEST_F(Writers, AGuardNoticesAWriterThatComesLater) {
  write("file", "x");
  auto file = fs_.open_read(at("file")).value();
  const auto guard = fs_.guard_against_writers(*file, at("file")).value();
  ASSERT_FALSE(guard->broken());
  // O_NONBLOCK: a lease makes the opener wait otherwise.
  const Peer writer([&] { ::open(at("file").c_str(), O_WRONLY | O_NONBLOCK); });
  EXPECT_TRUE(guard->broken());
}

TEST_F(Writers, AGuardThatIsOverHoldsNobodyOff) {
  write("file", "x");
  auto file = fs_.open_read(at("file")).value();
  { const auto guard = fs_.guard_against_writers(*file, at("file")).value(); }
  const int fd = ::open(at("file").c_str(), O_WRONLY | O_NONBLOCK);
  EXPECT_GE(fd, 0) << errno;
  ::close(fd);
}

}  // namespace
}  // namespace mlxbase::os
