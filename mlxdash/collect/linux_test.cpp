#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "mlxbase/testing/hooked_file_system.h"
#include "mlxdash/collect/collect_fixture.h"

namespace mlxdash::collect {
namespace {

class LinuxSources : public OnARoot {};

TEST_F(LinuxSources, ARecordedMachineIsReadAsItWas) {
  auto cpu = make(&make_linux_cpu, fixtures() + "/vm");
  auto memory = make(&make_linux_memory, fixtures() + "/vm");
  auto pressure = make(&make_linux_pressure, fixtures() + "/vm");
  auto disks = make(&make_linux_disks, fixtures() + "/vm");
  auto networks = make(&make_linux_networks, fixtures() + "/vm");
  for (auto* looker : {cpu.get(), memory.get(), pressure.get(), disks.get(), networks.get()}) ASSERT_TRUE(look(*looker));
  EXPECT_EQ(s.memory.total, 24684084ULL * 1024);
  EXPECT_EQ(s.memory.swap_total, 0U);
  ASSERT_TRUE(s.memory.used);
  EXPECT_EQ(*s.memory.used + *s.memory.available, *s.memory.total);
  EXPECT_TRUE(s.cpu.load1);
  EXPECT_FALSE(s.cpu.busy) << "a share needs two looks";
  EXPECT_EQ(s.cpu.busy.error(), Absent::not_yet);
  EXPECT_EQ(s.cpu.hertz.error(), Absent::not_supported);
  EXPECT_TRUE(s.memory_pressure.full10);
  ASSERT_TRUE(s.disks);
  ASSERT_EQ(s.disks->size(), 1U) << "loop devices are no disks";
  EXPECT_EQ(s.disks->front().name, "vda");
  ASSERT_TRUE(s.networks);
  EXPECT_TRUE(std::ranges::none_of(*s.networks, [](const Network& n) { return n.name == "lo"; }));
}

TEST_F(LinuxSources, BusyIsTheShareBetweenTwoLooks) {
  folder_.write("proc/stat", "cpu  100 0 100 800 0 0 0 0 50 0\ncpu0 100 0 100 800 0 0 0 0 50 0\nprocs_running 3\nprocs_blocked 1\n");
  auto cpu = make(&make_linux_cpu, folder_.path());
  ASSERT_TRUE(look(*cpu));
  folder_.write("proc/stat", "cpu  130 0 110 860 0 0 0 0 90 0\ncpu0 130 0 110 860 0 0 0 0 90 0\nprocs_running 3\nprocs_blocked 1\n");
  ASSERT_TRUE(look(*cpu));
  ASSERT_TRUE(s.cpu.busy);
  EXPECT_NEAR(*s.cpu.busy, 0.4, 1e-9) << "guest time is inside user already";
  EXPECT_EQ(s.cpu.running, 3U);
  EXPECT_EQ(s.cpu.blocked, 1U);
}

TEST_F(LinuxSources, WaitingTimeThatGoesDownIsNoNegativeShare) {
  folder_.write("proc/stat", "cpu  100 0 100 800 50 0 0 0\ncpu0 100 0 100 800 50 0 0 0\n");
  auto cpu = make(&make_linux_cpu, folder_.path());
  ASSERT_TRUE(look(*cpu));
  folder_.write("proc/stat", "cpu  110 0 100 805 20 0 0 0\ncpu0 110 0 100 805 20 0 0 0\n");
  ASSERT_TRUE(look(*cpu));
  ASSERT_TRUE(s.cpu.busy);
  EXPECT_EQ(*s.cpu.busy, 1.0);
}

TEST_F(LinuxSources, NonsenseInAFileIsAnErrorAndNotZero) {
  folder_.write("proc/stat", "cpu  one two three four\n");
  auto cpu = make(&make_linux_cpu, folder_.path());
  const auto seen = look(*cpu);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, mlxbase::Code::corrupt);
  folder_.write("proc/meminfo", "MemTotal: many kB\n");
  auto memory = make(&make_linux_memory, folder_.path());
  EXPECT_FALSE(look(*memory));
}

TEST_F(LinuxSources, SwapRatesComeFromPagesAndTime) {
  const char* meminfo = "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n";
  folder_.write("proc/meminfo", meminfo);
  folder_.write("proc/vmstat", "pswpin 10\npswpout 0\npgmajfault 5\nworkingset_refault_file 100\noom_kill 2\n");
  auto memory = make(&make_linux_memory, folder_.path());
  ASSERT_TRUE(look(*memory));
  EXPECT_EQ(s.memory.swap_in.error(), Absent::not_yet);
  EXPECT_EQ(s.memory.used, 600U * 1024);
  EXPECT_EQ(s.memory.swap_used, 60U * 1024);
  EXPECT_EQ(s.memory.oom_kills, 2U);
  EXPECT_EQ(s.memory.wired.error(), Absent::not_supported);
  folder_.write("proc/vmstat", "pswpin 30\npswpout 0\npgmajfault 15\nworkingset_refault_file 100\noom_kill 2\n");
  ASSERT_TRUE(look(*memory, 2));
  ASSERT_TRUE(s.memory.swap_in);
  EXPECT_NEAR(*s.memory.swap_in, 10.0 * static_cast<double>(::sysconf(_SC_PAGESIZE)), 1e-6);
  EXPECT_EQ(s.memory.swap_out, 0.0) << "a counter that stood still is a measured zero";
  EXPECT_EQ(s.memory.major_faults, 5.0);
  folder_.write("proc/vmstat", "pswpin 3\npswpout 0\npgmajfault 15\nworkingset_refault_file 100\noom_kill 2\n");
  ASSERT_TRUE(look(*memory));
  EXPECT_FALSE(s.memory.swap_in) << "a counter that went down tells nothing";
}

TEST_F(LinuxSources, AKernelWithoutPressureSaysSo) {
  auto pressure = make(&make_linux_pressure, folder_.path());
  const auto seen = look(*pressure);
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, mlxbase::Code::unsupported);
}

TEST_F(LinuxSources, ASleepingSensorIsMissingAndTheOthersAreNot) {
  folder_.write("sys/class/hwmon/hwmon3/name", "k10temp\n");
  folder_.write("sys/class/hwmon/hwmon3/temp1_input", "45125\n");
  folder_.write("sys/class/hwmon/hwmon3/temp1_label", "Tctl\n");
  folder_.write("sys/class/hwmon/hwmon3/temp1_crit", "95000\n");
  folder_.write("sys/class/hwmon/hwmon0/name", "amdgpu\n");
  folder_.write("sys/class/hwmon/hwmon0/temp1_input", "");
  folder_.write("sys/class/hwmon/hwmon0/fan1_input", "1200\n");
  auto sensors = make(&make_linux_sensors, folder_.path());
  ASSERT_TRUE(look(*sensors));
  ASSERT_EQ(s.sensors->size(), 2U);
  EXPECT_EQ((*s.sensors)[0].chip, "amdgpu");
  EXPECT_FALSE((*s.sensors)[0].celsius);
  EXPECT_EQ((*s.sensors)[1].label, "Tctl");
  EXPECT_EQ((*s.sensors)[1].celsius, 45.125);
  EXPECT_EQ((*s.sensors)[1].limit, 95.0);
  EXPECT_EQ(s.fans->front().rpm, 1200.0);
}

class Refusing : public OnARoot {
 protected:
  mlxbase::os::FileSystem& fs() override { return hooked_; }
  mlxbase::testing::HookedFileSystem hooked_{mlxbase::os::real_file_system(), [](const mlxbase::testing::Call& call) -> mlxbase::Status {
    if (call.path.ends_with("energy_uj")) return mlxbase::fail(mlxbase::Code::permission, "open: permission denied", EACCES);
    return {};
  }};
};

TEST_F(Refusing, EnergyCountersThatOnlyRootMayReadSayThat) {
  folder_.write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  folder_.write("sys/class/powercap/intel-rapl:0/energy_uj", "1\n");
  auto power = make(&make_linux_power, folder_.path());
  const auto seen = look(*power);
  ASSERT_FALSE(seen);
  EXPECT_EQ(absent_of(seen.error().code), Absent::not_permitted);
  EXPECT_NE(seen.error().message.find("root"), std::string::npos);
}

TEST_F(LinuxSources, EnergyWrapsAtItsRange) {
  folder_.write("sys/class/powercap/intel-rapl:0/name", "package-0\n");
  folder_.write("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "100000000\n");
  folder_.write("sys/class/powercap/intel-rapl:0/energy_uj", "90000000\n");
  folder_.write("sys/class/powercap/intel-rapl:0:0/name", "core\n");
  folder_.write("sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n");
  auto power = make(&make_linux_power, folder_.path());
  ASSERT_TRUE(look(*power));
  folder_.write("sys/class/powercap/intel-rapl:0/energy_uj", "20000000\n");
  ASSERT_TRUE(look(*power, 2));
  ASSERT_EQ(s.powers->size(), 2U);
  EXPECT_EQ((*s.powers)[0].name, "package-0");
  ASSERT_TRUE((*s.powers)[0].watts);
  EXPECT_NEAR(*(*s.powers)[0].watts, 15.0, 1e-9);
  EXPECT_EQ((*s.powers)[1].name, "package-0/core");
}

TEST_F(LinuxSources, ASuspendedGpuIsNotWoken) {
  const std::string card = "sys/class/drm/card1/device/";
  folder_.write(card + "vendor", "0x1002\n");
  folder_.write(card + "unique_id", "abc\n");
  folder_.write(card + "power/runtime_status", "active\n");
  folder_.write(card + "gpu_busy_percent", "42\n");
  folder_.write(card + "mem_info_vram_total", "1000\n");
  folder_.write(card + "mem_info_vram_used", "600\n");
  folder_.write(card + "mem_info_gtt_total", "2000\n");
  folder_.write(card + "mem_info_gtt_used", "5\n");
  folder_.write(card + "hwmon/hwmon7/temp1_input", "61000\n");
  folder_.write(card + "hwmon/hwmon7/power1_average", "12500000\n");
  folder_.write("sys/class/drm/card1-DP-1/status", "connected\n");
  folder_.write("sys/class/drm/card0/device/vendor", "0x8086\n");
  std::vector<std::string> asked;
  mlxbase::testing::HookedFileSystem watched(fs(), [&](const mlxbase::testing::Call& call) -> mlxbase::Status {
    asked.push_back(call.path);
    return {};
  });
  Parts parts{.fs = watched, .environment = environment_, .clock = clock_};
  parts.root = folder_.path();
  auto gpu = make_linux_amdgpu(parts);
  ASSERT_TRUE(look(*gpu));
  ASSERT_EQ(s.gpus->size(), 1U);
  EXPECT_EQ(s.gpus->front().busy, 0.42);
  EXPECT_EQ(s.gpus->front().memory_used, 605U);
  EXPECT_EQ(s.gpus->front().celsius, 61.0);
  EXPECT_EQ(s.gpus->front().watts, 12.5);
  folder_.write(card + "power/runtime_status", "suspended\n");
  asked.clear();
  ASSERT_TRUE(look(*gpu));
  EXPECT_TRUE(std::ranges::none_of(asked, [](const std::string& p) { return p.ends_with("gpu_busy_percent"); }));
  EXPECT_FALSE(s.gpus->front().celsius);
}

}  // namespace
}  // namespace mlxdash::collect
