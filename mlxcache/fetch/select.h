#pragma once
// Which files of a listing a person asked for.
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxcache/fetch/fetch.h"

namespace mlxcache::fetch {

/// `files` thinned out to the selection, order kept. With --quant, the files of that quantisation, and besides them what --include names; --exclude takes
/// from both. Errors: invalid (nothing is left: the message names what there is; a pattern longer than 1 KiB or more than 256 of them).
mlxbase::Result<std::vector<RemoteFile>> select(std::vector<RemoteFile> files, const Selection& selection);

/// Whether include and exclude alone let this path through.
bool lets_through(const Selection& selection, std::string_view path);

}  // namespace mlxcache::fetch
