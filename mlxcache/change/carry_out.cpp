#include "mlxcache/change/change.h"
#include "mlxcache/change/settle.h"

namespace mlxcache::change {

using mlxbase::Code;
using mlxbase::fail;

mlxbase::Result<Done> carry_out(const Machinery&, const Plan&) { return fail(Code::unsupported, "not yet"); }
mlxbase::Result<std::vector<Trashed>> trash(const Machinery&) { return std::vector<Trashed>(); }
mlxbase::Result<std::vector<Trashed>> empty_trash(const Machinery&, const std::string&, std::int64_t) { return std::vector<Trashed>(); }
mlxbase::Status settle_names(const Machinery&, journal::Transaction&, journal::Writer&, Recovered&) { return {}; }

}  // namespace mlxcache::change
