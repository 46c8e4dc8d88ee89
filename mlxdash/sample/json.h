#pragma once
// A snapshot as one JSON document, "mlxdash.snapshot/1": docs/formats/dash.md. What is missing is null, and its reason stands in `absent` by its path.
#include "mlxbase/format/json.h"
#include "mlxdash/sample/snapshot.h"

namespace mlxdash {

mlxbase::json::Value to_json(const Snapshot& snapshot);

}  // namespace mlxdash
