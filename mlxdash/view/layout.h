#pragma once
// Where what goes: pure, so that tests can walk through sizes and claim that nothing overlaps and nothing lies outside.
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mlxdash/sample/snapshot.h"
#include "mlxdash/view/grid.h"

namespace mlxdash::view {

enum class Page : std::uint8_t { overview, engines, machine, disk, sources };
inline constexpr std::size_t kPages = 5;
std::string_view name_of(Page page);

enum class PanelId : std::uint8_t { engines, findings, cpu, memory, gpu, disks, network, volumes, cache, models, heat, holders, sources };

struct Placed {
  PanelId panel;
  Rect rect;
};

struct Layout {
  Rect header, footer;
  struct Tab {
    Page page;
    Rect rect;
  };
  std::vector<Tab> tabs;   // inside the header
  std::vector<Placed> panels;
  std::vector<PanelId> left_out;  // for which there is no room
  std::optional<Page> tab_at(int x, int y) const;
  std::optional<PanelId> panel_at(int x, int y) const;
};

/// Rows that a panel would like inside a width, border included.
int wanted_rows(PanelId panel, const Snapshot& snapshot, int width);
/// Panels of a page, most important first; findings come to the overview besides where there are any.
std::span<const PanelId> panels_of(Page page);
Layout lay_out(Size size, Page page, const Snapshot& snapshot);

}  // namespace mlxdash::view
