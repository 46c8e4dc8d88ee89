#include "mlxdash/collect/processes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "mlxbase/testing/temporary_folder.h"

namespace mlxdash::collect {
namespace {

class Processes : public ::testing::Test {
 protected:
  void process(int pid, int parent, const std::string& name, const std::string& status = "VmRSS:\t100 kB\nRssAnon:\t60 kB\nRssFile:\t40 kB\n") {
    const std::string at = "proc/" + std::to_string(pid) + "/";
    folder_.write(at + "stat", std::to_string(pid) + " (" + name + ") S " + std::to_string(parent) + " 1 1 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 1 0 555 1 1 1\n");
    folder_.write(at + "status", "Name:\tx\n" + status);
  }
  mlxbase::testing::TemporaryFolder folder_;
  ProcessTable table_{mlxbase::os::real_file_system(), folder_.path()};
};

TEST_F(Processes, ANameMayHoldParenthesesAndBlanks) {
  process(7, 1, "a) S 99 (b");
  ASSERT_TRUE(table_.refresh());
  const Running& running = table_.all().at(7);
  EXPECT_EQ(running.name, "a) S 99 (b");
  EXPECT_EQ(running.parent, 1);
  EXPECT_EQ(running.cpu_ticks, 42U);
  EXPECT_EQ(running.started, 555U);
}

TEST_F(Processes, MemoryIsThatOfTheWholeFamilyWithWeightsApart) {
  process(10, 1, "ollama");
  process(11, 10, "ollama", "VmRSS:\t5000 kB\nRssAnon:\t1000 kB\nRssFile:\t4000 kB\n");
  process(12, 11, "helper");
  process(13, 1, "other");
  ASSERT_TRUE(table_.refresh());
  EXPECT_EQ(table_.family(10).size(), 3U);
  const Process p = table_.measure(10);
  EXPECT_EQ(p.resident, 5200U * 1024);
  EXPECT_EQ(p.anonymous, 1120U * 1024);
  EXPECT_EQ(p.file, 4080U * 1024);
  EXPECT_EQ(table_.family_ticks(10), 126U);
}

TEST_F(Processes, AProcessThatHasEndedIsGoneNotSmall) {
  const Process p = table_.measure(4711);
  EXPECT_EQ(p.resident.error(), Absent::gone);
}

TEST_F(Processes, PortsHaveTheirAddressesAndProcesses) {
  process(20, 1, "llama-server");
  folder_.write("proc/20/fd/.keep", "");
  ASSERT_EQ(::symlink("socket:[9001]", (folder_ / "proc/20/fd/5").c_str()), 0);
  folder_.write("proc/net/tcp",
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 9001 1 0 100 0 0 10 0\n"
                "   1: 00000000:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 9002 1 0 100 0 0 10 0\n"
                "   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  0 0 9003 1 0 100 0 0 10 0\n"
                "   3: nonsense\n");
  folder_.write("proc/net/tcp6",
                "heading\n"
                "   0: 00000000000000000000000001000000:04D2 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 9004 1 0\n"
                "   1: 0000000000000000FFFF00000100007F:04D3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 9005 1 0\n");
  ASSERT_TRUE(table_.refresh());
  const auto found = table_.listeners();
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 4U) << "a connection is no listener";
  EXPECT_EQ((*found)[0].host, "127.0.0.1");
  EXPECT_EQ((*found)[0].port, 8080);
  EXPECT_EQ((*found)[0].pid, 20);
  EXPECT_EQ((*found)[1].host, "127.0.0.1") << "bound to all: asked here";
  EXPECT_EQ((*found)[1].port, 11434);
  EXPECT_FALSE((*found)[1].pid) << "another user's";
  EXPECT_EQ((*found)[2].host, "0:0:0:0:0:0:0:1");
  EXPECT_EQ((*found)[3].host, "127.0.0.1");
}

}  // namespace
}  // namespace mlxdash::collect
