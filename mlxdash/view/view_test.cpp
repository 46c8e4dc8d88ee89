#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "mlxbase/core/width.h"
#include "mlxdash/view/layout.h"
#include "mlxdash/view/paint.h"

namespace mlxdash::view {
namespace {

Snapshot busy_machine(std::size_t engines = 3, std::size_t cores = 16) {
  Snapshot s;
  s.wall_ns = 1'795'816'000'000'000'000;
  s.host = "box";
  s.cpu.busy = 0.42;
  s.cpu.cores = std::vector<double>(cores, 0.5);
  s.cpu.load1 = 1.25;
  s.memory.total = 64ULL << 30U;
  s.memory.used = 60ULL << 30U;
  s.memory.swap_total = 8ULL << 30U;
  s.memory.swap_used = 1ULL << 30U;
  std::vector<Engine> list;
  for (std::size_t i = 0; i < engines; ++i) {
    Engine e{.kind = "llama-server", .url = "http://127.0.0.1:" + std::to_string(8080 + i), .version = "b7000", .state = i == 1 ? "down" : "up"};
    e.decode = 41.5;
    LoadedModel m{.name = "org/模型-" + std::to_string(i) + "\x1b[31m\n", .state = "loaded"};
    m.bytes = 4'000'000'000U;
    e.models = std::vector<LoadedModel>(3, m);
    list.push_back(e);
  }
  s.engines = list;
  s.disks = std::vector<Disk>{{.name = "nvme0n1", .read = 1e6, .written = 2e6, .busy = 0.1}};
  s.networks = std::vector<Network>{{.name = "eth0", .received = 1e3, .sent = 2e3}};
  s.volumes = std::vector<Volume>{{.mount = "/", .type = "ext4", .total = 1000U, .free = 100U}};
  Gpu gpu{.driver = "nvidia", .name = "NVIDIA H100", .id = "0"};
  gpu.busy = 0.9;
  s.gpus = std::vector<Gpu>{gpu};
  s.sensors = std::vector<Sensor>{{.chip = "k10temp", .label = "Tctl", .celsius = 70.0, .limit = 95.0}};
  s.powers = Absent::not_permitted;
  Cache cache;
  cache.stores = {{.kind = "ollama", .title = "Ollama", .models = 2, .bytes = 5'000'000'000}};
  s.cache = cache;
  s.sources = {{.name = "power", .state = SourceState::failed, .message = "the energy counters (RAPL) can be read by root alone"}};
  return s;
}

TEST(Layout, NothingOverlapsAndNothingLiesOutsideAtAnySize) {
  std::mt19937 chance(1);
  for (int round = 0; round < 4000; ++round) {
    const Size size{.width = static_cast<int>(chance() % 260), .height = static_cast<int>(chance() % 90)};
    Snapshot s = busy_machine(chance() % 7, 1 + chance() % 300);
    s.findings.resize(chance() % 3);
    const Page page = static_cast<Page>(chance() % kPages);
    const Layout layout = lay_out(size, page, s);
    std::vector<Rect> rects;
    if (size.width > 0 && size.height > 0) rects.push_back(layout.header);
    if (layout.footer.width > 0) rects.push_back(layout.footer);
    for (const Placed& p : layout.panels) rects.push_back(p.rect);
    for (std::size_t i = 0; i < rects.size(); ++i) {
      const Rect& r = rects[i];
      ASSERT_TRUE(r.x >= 0 && r.y >= 0 && r.width > 0 && r.height > 0 && r.x + r.width <= size.width && r.y + r.height <= size.height)
          << size.width << "x" << size.height << " page " << static_cast<int>(page) << " rect " << i << ": " << r.x << "," << r.y << " " << r.width << "x" << r.height;
      for (std::size_t j = i + 1; j < rects.size(); ++j) ASSERT_FALSE(r.overlaps(rects[j])) << size.width << "x" << size.height << " page " << static_cast<int>(page);
    }
    for (std::size_t i = 0; i < layout.tabs.size(); ++i) {
      ASSERT_TRUE(layout.tabs[i].rect.x >= 0 && layout.tabs[i].rect.x + layout.tabs[i].rect.width <= size.width);
      for (std::size_t j = i + 1; j < layout.tabs.size(); ++j) ASSERT_FALSE(layout.tabs[i].rect.overlaps(layout.tabs[j].rect));
    }
    if (size.width == 0 || size.height == 0) continue;
    const std::size_t findings = page == Page::overview && !s.findings.empty() ? 1 : 0;
    ASSERT_EQ(layout.panels.size() + layout.left_out.size(), panels_of(page).size() + findings) << "each panel is shown or said to be left out";
  }
}

TEST(Layout, EnginesAreShownFirstWhereThereIsRoomForOnePanelOnly) {
  const Layout layout = lay_out({.width = 40, .height = 5}, Page::overview, busy_machine());
  ASSERT_FALSE(layout.panels.empty());
  EXPECT_EQ(layout.panels.front().panel, PanelId::engines);
}

TEST(Paint, EveryRowIsAsWideAsTheScreenAndHoldsNothingForeign) {
  std::mt19937 chance(2);
  Traces traces;
  Snapshot s = busy_machine();
  s.findings = {{"swap", Severity::alarm, "模型 is read back from swap"}};
  for (int i = 0; i < 400; ++i) traces.add(s);
  for (int round = 0; round < 500; ++round) {
    const Size size{.width = static_cast<int>(chance() % 200), .height = static_cast<int>(chance() % 60)};
    const Grid grid = paint(size, s, traces, {.page = static_cast<Page>(chance() % kPages), .scroll = static_cast<int>(chance() % 5), .help = chance() % 4 == 0, .ascii = chance() % 2 == 0});
    ASSERT_EQ(grid.size(), size);
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        const Cell& cell = grid.at(x, y);
        ASSERT_GE(cell.glyph, 0x20U);
        if (cell.tail) {
          ASSERT_GT(x, 0);
          ASSERT_EQ(mlxbase::cells_of(grid.at(x - 1, y).glyph), 2U) << "half a glyph at " << x << "," << y << " of " << size.width << "x" << size.height;
        } else if (mlxbase::cells_of(cell.glyph) == 2) {
          ASSERT_LT(x + 1, size.width);
          ASSERT_TRUE(grid.at(x + 1, y).tail);
        }
      }
    }
  }
}

TEST(Paint, AsciiIsAscii) {
  const Grid grid = paint({.width = 120, .height = 40}, busy_machine(), {}, {.ascii = true});
  for (const char c : grid.text()) ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7F)) << static_cast<int>(c);
}

TEST(Paint, WhatIsMissingIsADashAndAPanelSaysWhy) {
  Snapshot s;
  s.engines = std::vector<Engine>{{.kind = "ollama", .url = "http://127.0.0.1:11434", .state = "up"}};
  s.powers = Absent::not_permitted;
  s.sources = {{.name = "power", .state = SourceState::failed, .message = "the energy counters (RAPL) can be read by root alone"}};
  const std::string text = report(120, s, {}, false).text();
  EXPECT_NE(text.find("–"), std::string::npos);
  EXPECT_NE(text.find("root alone"), std::string::npos);
  EXPECT_EQ(text.find(" 0 "), std::string::npos) << text;
}

TEST(Paint, OverviewHasWhatMattersAt80By24) {
  const std::string text = paint({.width = 80, .height = 24}, busy_machine(), {}, {}).text();
  for (const char* word : {"llama-server 127.0.0.1:8080", "41.5", "Processor", "Memory", "GPU", "Engines and models", "quit"}) EXPECT_NE(text.find(word), std::string::npos) << word << "\n" << text;
}

TEST(Canvas, ASparkShowsAMeasuredZeroAndLeavesAHoleWhereNothingWasMeasured) {
  Grid grid({.width = 2, .height = 1});
  Canvas c(grid, {.x = 0, .y = 0, .width = 2, .height = 1}, false);
  c.spark(0, 0, 2, 1, {0.0F, std::numeric_limits<float>::quiet_NaN(), 1.0F, 0.5F}, 1.0, Ink::chart);
  EXPECT_EQ(grid.at(0, 0).glyph, static_cast<char32_t>(0x2800 + 0x40)) << "one dot at the bottom left, none at the right";
  EXPECT_EQ(grid.at(1, 0).glyph, static_cast<char32_t>(0x2800 + 0x40 + 0x04 + 0x02 + 0x01 + 0x80 + 0x20));
}

TEST(Canvas, ForeignTextIsCutAtTheEdgeAndMadeHarmless) {
  Grid grid({.width = 10, .height = 1});
  Canvas c(grid, {.x = 2, .y = 0, .width = 6, .height = 1}, false);
  c.text(0, 0, "\x1b[2J模型名字");
  EXPECT_EQ(grid.row(0), "  \\x1b[…");
}

TEST(Canvas, NothingIsDrawnOutsideOfIt) {
  std::mt19937 chance(3);
  const auto number = [&](int least, int most) { return least + static_cast<int>(chance() % static_cast<unsigned>(most - least + 1)); };
  const std::vector<float> values(60, 1.0F);
  for (int round = 0; round < 3000; ++round) {
    Grid grid({.width = 30, .height = 12});
    const Rect rect{.x = number(-3, 30), .y = number(-3, 12), .width = number(0, 33), .height = number(0, 14)};
    Canvas c(grid, rect, chance() % 2 == 0);
    c.put(number(-2, 35), number(-2, 15), U'x');
    c.put(c.width(), 0, U'x');
    c.put(0, c.height(), U'x');
    c.text(number(-2, 35), number(-2, 15), "模型名字模型名字模型名字模型", Ink::plain, number(0, 40));
    c.text_right(number(-2, 35), number(-2, 15), "right 模型");
    c.bar(number(-2, 35), number(-2, 15), number(0, 40), 0.7, Ink::good);
    c.spark(number(-2, 35), number(-2, 15), number(0, 40), number(0, 9), values, 1.0, Ink::chart);
    Canvas inner = c.box("a title", "remark");
    inner.put(inner.width(), 0, U'x');
    for (int y = 0; y < 12; ++y) {
      for (int x = 0; x < 30; ++x) {
        if (rect.contains(x, y)) continue;
        ASSERT_EQ(grid.at(x, y), Cell{}) << x << "," << y << " lies outside of " << rect.x << "," << rect.y << " " << rect.width << "x" << rect.height;
      }
    }
  }
}

TEST(Traces, AreBoundedAndForgetWhatIsGone) {
  Traces traces;
  Snapshot s = busy_machine();
  for (int i = 0; i < 1000; ++i) traces.add(s);
  EXPECT_EQ(traces.of("cpu").size(), Traces::kLength);
  EXPECT_FALSE(traces.of("decode.http://127.0.0.1:8080").empty());
  s.engines = std::vector<Engine>{};
  for (int i = 0; i < 400; ++i) traces.add(s);
  EXPECT_TRUE(traces.of("decode.http://127.0.0.1:8080").empty());
}

}  // namespace
}  // namespace mlxdash::view
