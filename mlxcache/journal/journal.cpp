#include "mlxcache/journal/journal.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::journal {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace os = mlxbase::os;

std::string_view to_string(State state) {
  switch (state) {
    case State::complete: return "complete";
    case State::cut: return "cut";
    case State::recovered: return "recovered";
    case State::undone: return "undone";
    case State::partly_undone: return "partly_undone";
  }
  return "unknown";
}

std::string folder(const std::string& home) { return mlxbase::path::join(home, "journal"); }
std::string file_of(const std::string& home, std::string_view id) {
  return mlxbase::path::join(folder(home), fmt::format("{}.journal", id));
}

Result<std::vector<Summary>> list(os::FileSystem& fs, const std::string& home, std::vector<std::string>& problems) {
  std::vector<Summary> out;
  auto entries = fs.list(folder(home));
  if (!entries) {
    if (entries.error().code == Code::not_found) return out;
    return fail(entries.error());
  }
  for (const auto& entry : *entries) {
    if (!entry.name.ends_with(".journal")) continue;
    const std::string path = mlxbase::path::join(folder(home), entry.name);
    const auto problem = [&](std::string_view why) { problems.push_back(fmt::format("{}: {}", mlxbase::printable(path), why)); };
    Summary s;
    s.id = std::string(mlxbase::path::stem(entry.name));
    auto ends = read_ends(fs, path);
    if (!ends) {
      if (ends.error().code != Code::not_found) problem(ends.error().message);
      continue;
    }
    // What was undone is counted in the records only.
    const bool at_rest = ends->begin && ends->closed && ends->closed->state != State::undone && ends->closed->state != State::partly_undone;
    if (at_rest) {
      s.started_at_ns = ends->begin->time_ns;
      s.command = ends->begin->command;
      s.state = ends->closed->state;
      s.actions = s.files = ends->closed->actions;
      s.bytes_freed = ends->closed->bytes_freed;
    } else {
      auto contents = read(fs, path);
      if (!contents) {
        problem(contents.error().message);
        continue;
      }
      const Transaction t = fold(*contents);
      const Closed as_is = t.closing(0, false);
      s.started_at_ns = t.begin.time_ns;
      s.command = t.begin.command;
      s.state = t.closed ? t.closed->state : State::cut;
      s.actions = as_is.actions;
      for (const auto& [index, step] : t.steps) s.files += step.done() ? 1 : 0;
      s.bytes_freed = as_is.bytes_freed;
      // A torn tail alone is what a power cut leaves, and no loss.
      for (const auto& d : t.damage) {
        if (!d.ends_with("torn")) problem(d);
      }
    }
    out.push_back(std::move(s));
  }
  std::sort(out.begin(), out.end(), [](const Summary& a, const Summary& b) {
    return a.started_at_ns != b.started_at_ns ? a.started_at_ns > b.started_at_ns : a.id > b.id;
  });
  return out;
}

}  // namespace mlxcache::journal
