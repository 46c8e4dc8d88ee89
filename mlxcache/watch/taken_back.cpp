#include "mlxcache/watch/taken_back.h"

#include <vector>

#include "mlxcache/journal/journal.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::watch {

std::set<std::pair<std::string, std::uint64_t>> taken_back(mlxbase::os::FileSystem& fs, const std::string& home) {
  std::set<std::pair<std::string, std::uint64_t>> out;
  std::vector<std::string> problems;  // `history` tells of them
  const auto all = journal::list(fs, home, problems);
  if (!all) return out;
  for (const journal::Summary& summary : *all) {
    if (summary.state != journal::State::undone && summary.state != journal::State::partly_undone) continue;
    const auto contents = journal::read(fs, journal::file_of(home, summary.id));
    if (!contents) continue;
    const journal::Transaction t = journal::fold(*contents);
    if (journal::changes_names(t)) continue;
    for (const auto& [index, step] : t.steps) {
      if (!step.intent || !step.undone()) continue;
      out.emplace(step.intent->target, step.undo_settled->after_id.inode);
      out.emplace(step.intent->source, step.intent->source_id.inode);
    }
  }
  return out;
}

}  // namespace mlxcache::watch
