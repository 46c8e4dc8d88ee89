#pragma once
#include "mlxcache/pull/obtain.h"

namespace mlxcache::pull {

/// Measures candidates that are only thought to have a file's bytes.
class Confirmer {
 public:
  Confirmer(const change::Machinery& machinery, catalog::Catalog& catalog) : machinery_(machinery), catalog_(catalog) {}

  /// The first of `locals` that holds, with all digests that a publication wants. Nothing if none does. Errors: cancelled.
  mlxbase::Result<std::optional<Obtained>> first_true(const fetch::RemoteFile& remote, const std::vector<Local>& locals);

 private:
  mlxbase::Result<std::optional<Obtained>> measure(const fetch::RemoteFile& remote, const Local& local);

  const change::Machinery& machinery_;
  catalog::Catalog& catalog_;
};

}  // namespace mlxcache::pull
