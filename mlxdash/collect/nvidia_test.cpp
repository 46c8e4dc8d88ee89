#include <cstring>

#include "mlxdash/collect/collect_fixture.h"
#include "mlxdash/collect/nvml.h"

namespace mlxdash::collect {
namespace {

// Hand-made after NVIDIA's documentation: two GPUs, of which the second is lost at the third look. No NVIDIA driver ran here.
struct FakeNvml {
  int look = 0;
  int init_code = 0;
  unsigned long long energy = 0;
};
FakeNvml g;

int number(NvmlDevice d) { return static_cast<int>(reinterpret_cast<std::intptr_t>(d)); }
int lost(NvmlDevice d) { return number(d) == 2 && g.look >= 3 ? kNvmlGpuLost : kNvmlOk; }

NvmlTable table() {
  NvmlTable t;
  t.init = [] { return g.init_code; };
  t.error_string = [](int) { return "Driver/library version mismatch"; };
  t.device_count = [](unsigned int* n) {
    *n = 2;
    return 0;
  };
  t.device_by_index = [](unsigned int i, NvmlDevice* d) {
    *d = reinterpret_cast<NvmlDevice>(static_cast<std::intptr_t>(i + 1));
    return 0;
  };
  t.name = [](NvmlDevice, char* text, unsigned int size) {
    std::strncpy(text, "NVIDIA Test", size - 1);
    return 0;
  };
  t.uuid = [](NvmlDevice d, char* text, unsigned int) {
    std::strcpy(text, number(d) == 1 ? "GPU-1" : "GPU-2");
    return 0;
  };
  t.memory = [](NvmlDevice d, NvmlMemory* m) {
    *m = {.total = 100, .free = 60, .used = 40};
    return lost(d);
  };
  t.utilization = [](NvmlDevice d, NvmlUtilization* u) {
    *u = {.gpu = 25, .memory = 5};
    return lost(d);
  };
  t.temperature = [](NvmlDevice d, int, unsigned int* v) {
    *v = 55;
    return lost(d);
  };
  t.power = [](NvmlDevice d, unsigned int* v) {
    *v = 100'000;
    return lost(d);
  };
  t.energy = [](NvmlDevice d, unsigned long long* v) {
    *v = g.energy;
    return number(d) == 1 ? 0 : 3;  // the second does not count energy
  };
  t.throttle = [](NvmlDevice, unsigned long long* v) {
    *v = 0x1 | 0x4 | 0x20;
    return 0;
  };
  t.processes = [](NvmlDevice, unsigned int* n, NvmlProcess* list) {
    *n = 2;
    list[0] = {.pid = 77, .used_gpu_memory = 30};
    list[1] = {.pid = 78, .used_gpu_memory = ~0ULL};
    return 0;
  };
  return t;
}

class NvidiaSource : public OnARoot {
 protected:
  NvidiaSource() { g = {}; }
  std::unique_ptr<Looker> make_it() {
    Parts parts{.fs = fs(), .environment = environment_, .clock = clock_};
    parts.nvml = &table_;
    return make_nvidia(parts);
  }
  NvmlTable table_ = table();
};

TEST_F(NvidiaSource, TellsWhatTheDriverTells) {
  auto gpus = make_it();
  g.look = 1;
  ASSERT_TRUE(look(*gpus));
  ASSERT_EQ(s.gpus->size(), 2U);
  const Gpu& gpu = s.gpus->front();
  EXPECT_EQ(gpu.id, "GPU-1");
  EXPECT_EQ(gpu.busy, 0.25);
  EXPECT_EQ(gpu.memory_used, 40U);
  EXPECT_EQ(gpu.celsius, 55.0);
  EXPECT_EQ(gpu.throttled, "power cap, too hot");
  EXPECT_EQ(gpu.hertz.error(), Absent::not_supported) << "the table has no such function";
  ASSERT_EQ(gpu.processes.size(), 2U);
  EXPECT_EQ(gpu.processes[0].memory, 30U);
  EXPECT_FALSE(gpu.processes[1].memory) << "all ones mean: not available";
}

TEST_F(NvidiaSource, PowerIsTheEnergyOfTheIntervalWhereItIsCounted) {
  auto gpus = make_it();
  ASSERT_TRUE(look(*gpus));
  g.energy = 500'000;  // mJ
  ASSERT_TRUE(look(*gpus, 2));
  EXPECT_NEAR(*s.gpus->at(0).watts, 250, 1e-6);
  EXPECT_EQ(s.gpus->at(1).watts, 100.0);
}

TEST_F(NvidiaSource, ALostGpuIsGoneAndTheOtherStays) {
  auto gpus = make_it();
  for (g.look = 1; g.look <= 3; ++g.look) ASSERT_TRUE(look(*gpus));
  g.look = 3;
  ASSERT_TRUE(look(*gpus));
  EXPECT_EQ(s.gpus->at(0).busy, 0.25);
  EXPECT_EQ(s.gpus->at(1).busy.error(), Absent::gone);
  EXPECT_EQ(s.gpus->at(1).memory_used.error(), Absent::gone);
}

TEST_F(NvidiaSource, ADriverThatDoesNotMatchItsLibraryAsksForARestart) {
  g.init_code = 18;
  auto gpus = make_it();
  const auto seen = look(*gpus);
  ASSERT_FALSE(seen);
  EXPECT_NE(seen.error().message.find("restart"), std::string::npos);
}

}  // namespace
}  // namespace mlxdash::collect
