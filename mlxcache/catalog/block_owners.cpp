#include "mlxcache/catalog/block_owners.h"

#include <algorithm>

namespace mlxcache::catalog {

void BlockOwners::add(std::uint32_t owner, const std::vector<mlxbase::os::Extent>& extents) {
  for (const auto& e : extents) {
    if (e.settled && e.length > 0) pieces_.push_back({e.physical, e.physical + e.length, e.shared, owner});
  }
}

std::vector<OwnedRun> BlockOwners::runs() const {
  std::vector<Piece> pieces = pieces_;
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  std::vector<std::uint64_t> borders;
  borders.reserve(pieces.size() * 2);
  for (const Piece& p : pieces) {
    borders.push_back(p.begin);
    borders.push_back(p.end);
  }
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());

  std::vector<OwnedRun> out;
  std::vector<Piece> active;
  std::size_t next = 0;
  for (std::size_t i = 0; i + 1 < borders.size(); ++i) {
    const std::uint64_t begin = borders[i];
    std::erase_if(active, [&](const Piece& p) { return p.end <= begin; });
    for (; next < pieces.size() && pieces[next].begin <= begin; ++next) active.push_back(pieces[next]);
    if (active.empty()) continue;
    OwnedRun run{.length = borders[i + 1] - begin, .shared = false, .owners = {}};
    for (const Piece& p : active) {
      run.shared |= p.shared;
      run.owners.push_back(p.owner);
    }
    std::sort(run.owners.begin(), run.owners.end());
    // One file may refer to the same blocks twice: that is sharing, but not with anybody else.
    const bool within_one = run.owners.size() > 1 && run.owners.front() == run.owners.back();
    run.owners.erase(std::unique(run.owners.begin(), run.owners.end()), run.owners.end());
    if (within_one) run.shared = false;
    out.push_back(std::move(run));
  }
  return out;
}

}  // namespace mlxcache::catalog
