#include "mlxbase/os/memory.h"

#include <gtest/gtest.h>

#include "mlxbase/testing/memory_file_system.h"

namespace mlxbase::os {
namespace {

TEST(MachineMemory, SaysSomethingOfThisMachine) {
  const auto memory = machine_memory(real_file_system());
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_GT(memory->total, 100U << 20U);
  EXPECT_LE(memory->available, memory->total);
}

#ifdef __linux__
TEST(MachineMemory, AContainersLimitCounts) {
  testing::MemoryFileSystem fs;
  EXPECT_EQ(machine_memory(fs).error().code, Code::unsupported);
  fs.put("/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:   600 kB\n");
  EXPECT_EQ(machine_memory(fs)->total, 1024'000U);
  EXPECT_EQ(machine_memory(fs)->available, 614'400U);
  fs.put("/sys/fs/cgroup/memory.max", "max\n");
  fs.put("/sys/fs/cgroup/memory.current", "300000\n");
  fs.put("/sys/fs/cgroup/memory.stat", "anon 50000\ninactive_file 150000\nactive_file 100000\n");
  EXPECT_EQ(machine_memory(fs)->available, 614'400U);
  fs.put("/sys/fs/cgroup/memory.max", "400000\n");
  EXPECT_EQ(machine_memory(fs)->available, 350'000U) << "what only keeps files does not count";
  EXPECT_EQ(machine_memory(fs)->total, 400'000U);
}
#endif

}  // namespace
}  // namespace mlxbase::os
