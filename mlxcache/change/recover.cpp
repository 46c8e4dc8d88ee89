#include "mlxcache/change/recover.h"

#include "mlxbase/core/path.h"
#include "mlxcache/change/session.h"
#include "mlxcache/change/settle.h"
#include "mlxcache/journal/transaction.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

Result<Recovered> recover_locked(const Machinery& machinery) {
  os::FileSystem& fs = machinery.context.fs;
  Recovered out;
  auto names = fs.list(journal::folder(machinery.home));
  if (!names) {
    if (names.error().code == Code::not_found) return out;
    return fail(names.error());
  }
  for (const auto& name : *names) {
    const std::string file = path::join(journal::folder(machinery.home), name.name);
    if (name.name.ends_with(".journal.new")) {
      TRY(remove_if_there(fs, file));  // nothing was begun under it
      continue;
    }
    if (!name.name.ends_with(".journal")) continue;
    const auto ends = journal::read_ends(fs, file);
    if (ends && ends->closed) continue;
    const auto contents = journal::read(fs, file);
    if (!contents) {
      // Not settled and not forgotten: history and doctor show it too.
      out.left.push_back({file, contents.error().message});
      continue;
    }
    auto t = journal::fold(*contents);
    if (!t.cut()) {
      // Closed, with torn bytes behind: an undo that never got to its first record.
      continue;
    }
    out.transactions.emplace_back(path::stem(name.name));
    auto writer = TRY(journal::Writer::reopen(fs, file, *contents));
    const auto settle = journal::changes_names(t) ? settle_names : settle_swaps;
    TRY(settle(machinery, t, writer, out));
  }
  return out;
}

Result<Recovered> recover(const Machinery& machinery) {
  // Nothing was ever begun: no folder is made only to find that out.
  if (auto there = machinery.context.fs.stat(journal::folder(machinery.home), os::Follow::yes); !there) {
    if (there.error().code == Code::not_found) return Recovered{};
    return fail(there.error());
  }
  const auto lock = TRY(lock_home(machinery.context.fs, machinery.home));
  return recover_locked(machinery);
}

}  // namespace mlxcache::change
