#include "mlxdash/view/layout.h"

#include <algorithm>

namespace mlxdash::view {
namespace {

constexpr int kLeastRows = 3;      // a border and one line
constexpr int kColumnWidth = 38;   // a panel narrower than this says little
constexpr int kMostColumns = 4;

int rows_of(std::size_t n) { return static_cast<int>(std::min<std::size_t>(n, 500)); }

/// One below the other, over the whole width: what is wanted, but the last ones give way.
void stack(Layout& layout, std::span<const PanelId> panels, Rect area, const Snapshot& snapshot) {
  int y = area.y;
  int left = area.height;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    const int rest = static_cast<int>(panels.size() - i - 1) * kLeastRows;  // those after it get their least, if there is room at all
    int rows = std::min(wanted_rows(panels[i], snapshot, area.width), std::max(kLeastRows, left - rest));
    rows = std::min(rows, left);
    if (rows < kLeastRows) {
      layout.left_out.push_back(panels[i]);
      continue;
    }
    if (i + 1 == panels.size()) rows = left;
    layout.panels.push_back({panels[i], {.x = area.x, .y = y, .width = area.width, .height = rows}});
    y += rows;
    left -= rows;
  }
}

bool has_chart(PanelId panel) {
  return panel == PanelId::cpu || panel == PanelId::memory || panel == PanelId::gpu || panel == PanelId::disks || panel == PanelId::network;
}

/// Rows that a column has left go to its charts, in equal parts, and where there is none to its last panel: no hole stays.
void share_rest(std::vector<Placed>& column, int rest) {
  if (column.empty()) return;
  int charts = static_cast<int>(std::ranges::count_if(column, [](const Placed& p) { return has_chart(p.panel); }));
  int moved = 0;
  for (Placed& p : column) {
    p.rect.y += moved;
    int more = 0;
    if (charts > 0 && has_chart(p.panel)) {
      more = (rest - moved) / charts--;
    } else if (charts == 0 && &p == &column.back()) {
      more = rest - moved;
    }
    p.rect.height += more;
    moved += more;
  }
}

/// Side by side in columns of equal width, each panel under the column that is shortest so far.
void tile(Layout& layout, std::span<const PanelId> panels, Rect area, const Snapshot& snapshot) {
  if (area.height < kLeastRows) {
    layout.left_out.insert(layout.left_out.end(), panels.begin(), panels.end());
    return;
  }
  const int columns = std::clamp(std::min(area.width / kColumnWidth, static_cast<int>(panels.size())), 1, kMostColumns);
  std::vector<std::vector<Placed>> placed(static_cast<std::size_t>(columns));
  std::vector<int> used(static_cast<std::size_t>(columns), 0);
  for (const PanelId panel : panels) {
    const auto column = std::ranges::min_element(used) - used.begin();
    const int x = area.x + area.width * static_cast<int>(column) / columns;
    const int width = area.x + area.width * static_cast<int>(column + 1) / columns - x;
    int& y = used[static_cast<std::size_t>(column)];
    const int rows = std::min(wanted_rows(panel, snapshot, width), area.height - y);
    if (rows < kLeastRows) {
      layout.left_out.push_back(panel);
      continue;
    }
    placed[static_cast<std::size_t>(column)].push_back({panel, {.x = x, .y = area.y + y, .width = width, .height = rows}});
    y += rows;
  }
  for (std::size_t c = 0; c < placed.size(); ++c) {
    share_rest(placed[c], area.height - used[c]);
    layout.panels.insert(layout.panels.end(), placed[c].begin(), placed[c].end());
  }
}

}  // namespace

std::string_view name_of(Page page) {
  constexpr std::string_view kNames[] = {"Overview", "Engines", "Machine", "Disk", "Sources"};
  return kNames[static_cast<std::size_t>(page)];
}

std::span<const PanelId> panels_of(Page page) {
  using enum PanelId;
  static constexpr PanelId kOverview[] = {engines, cpu, memory, gpu, cache, disks, network, volumes, heat};
  static constexpr PanelId kEngines[] = {engines, holders};
  static constexpr PanelId kMachine[] = {cpu, memory, gpu, disks, network, volumes, heat};
  static constexpr PanelId kDisk[] = {cache, models, volumes};
  static constexpr PanelId kSources[] = {sources};
  switch (page) {
    case Page::overview: return kOverview;
    case Page::engines: return kEngines;
    case Page::machine: return kMachine;
    case Page::disk: return kDisk;
    case Page::sources: return kSources;
  }
  return {};
}

std::optional<Page> Layout::tab_at(int x, int y) const {
  for (const Tab& tab : tabs) {
    if (tab.rect.contains(x, y)) return tab.page;
  }
  return std::nullopt;
}

std::optional<PanelId> Layout::panel_at(int x, int y) const {
  for (const Placed& p : panels) {
    if (p.rect.contains(x, y)) return p.panel;
  }
  return std::nullopt;
}

int wanted_rows(PanelId panel, const Snapshot& s, int width) {
  int rows = 1;
  switch (panel) {
    case PanelId::engines:
      if (s.engines && !s.engines->empty()) {
        rows = 1;  // headings
        for (const Engine& e : *s.engines) rows += 1 + (e.models ? rows_of(e.models->size()) : 0);
      }
      break;
    case PanelId::findings: rows = std::clamp(rows_of(s.findings.size()), 1, 4); break;
    case PanelId::cpu: {
      const std::size_t cores = s.cpu.cores ? s.cpu.cores->size() : 0;
      rows = 3 + rows_of((cores + static_cast<std::size_t>(std::max(width - 4, 1)) - 1) / static_cast<std::size_t>(std::max(width - 4, 1)));
      break;
    }
    case PanelId::memory: rows = 5; break;
    case PanelId::gpu: rows = s.gpus && !s.gpus->empty() ? 3 * rows_of(s.gpus->size()) : 1; break;
    case PanelId::disks: rows = s.disks ? 1 + std::max(1, rows_of(s.disks->size())) : 1; break;
    case PanelId::network: rows = s.networks ? 1 + std::max(1, rows_of(s.networks->size())) : 1; break;
    case PanelId::volumes: rows = s.volumes ? std::max(1, rows_of(s.volumes->size())) : 1; break;
    case PanelId::cache: rows = s.cache ? 1 + std::max(1, rows_of(s.cache->stores.size())) : 1; break;
    case PanelId::models: rows = s.cache ? std::max(1, rows_of(s.cache->largest.size())) : 1; break;
    case PanelId::heat:
      rows = (s.sensors ? rows_of(s.sensors->size()) : 1) + (s.powers ? rows_of(s.powers->size()) : 1) + (s.fans ? rows_of(s.fans->size()) : 0);
      break;
    case PanelId::holders: rows = s.holders ? std::max(1, rows_of(s.holders->size())) : 1; break;
    case PanelId::sources: rows = std::max(1, rows_of(s.sources.size())); break;
  }
  return rows + 2;
}

Layout lay_out(Size size, Page page, const Snapshot& snapshot) {
  Layout layout;
  if (size.width < 1 || size.height < 1) return layout;
  layout.header = {.x = 0, .y = 0, .width = size.width, .height = 1};
  const bool footer = size.height >= 4;
  if (footer) layout.footer = {.x = 0, .y = size.height - 1, .width = size.width, .height = 1};
  // Tabs at the right of the header, names where they fit, numbers where not.
  constexpr int kNames = 2 + 8 + 3 + 7 + 3 + 7 + 3 + 4 + 3 + 7;  // "1 Overview  2 Engines  …"
  const bool names = size.width >= kNames + 20;
  int x = size.width;
  for (std::size_t i = kPages; i-- > 0;) {
    const Page p = static_cast<Page>(i);
    const int w = names ? static_cast<int>(name_of(p).size()) + 4 : 3;
    if (x - w < 8) break;
    x -= w;
    layout.tabs.insert(layout.tabs.begin(), {p, {.x = x, .y = 0, .width = w, .height = 1}});
  }
  const Rect body{.x = 0, .y = 1, .width = size.width, .height = size.height - 1 - (footer ? 1 : 0)};
  const auto panels = panels_of(page);
  if (page == Page::overview) {
    // The servers come first, over the whole width; what is left is for the machine.
    const int most = body.height < 12 ? body.height / 2 : std::max(body.height / 2, 6);
    const int rows = std::min(wanted_rows(PanelId::engines, snapshot, body.width), std::max(most, kLeastRows));
    int taken = body.height >= kLeastRows ? std::min(rows, body.height) : 0;
    if (taken >= kLeastRows) {
      layout.panels.push_back({PanelId::engines, {.x = 0, .y = body.y, .width = body.width, .height = taken}});
    } else {
      layout.left_out.push_back(PanelId::engines);
    }
    if (!snapshot.findings.empty()) {
      const int more = std::min(wanted_rows(PanelId::findings, snapshot, body.width), body.height - taken);
      if (more >= kLeastRows) {
        layout.panels.push_back({PanelId::findings, {.x = 0, .y = body.y + taken, .width = body.width, .height = more}});
        taken += more;
      } else {
        layout.left_out.push_back(PanelId::findings);
      }
    }
    tile(layout, panels.subspan(1), {.x = 0, .y = body.y + taken, .width = body.width, .height = body.height - taken}, snapshot);
  } else if (page == Page::machine) {
    tile(layout, panels, body, snapshot);
  } else {
    stack(layout, panels, body, snapshot);
  }
  return layout;
}

}  // namespace mlxdash::view
