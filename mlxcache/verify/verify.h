#pragma once
// Compares what stores claim of their files with the bytes.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::verify {

enum class Verdict : std::uint8_t {
  intact,      // the digest was measured and is what the store claims
  damaged,     // it is not
  unclaimed,   // nothing claims a digest that can be computed; with `deep` its structure was checked instead
  malformed,   // the container's own header disagrees with the file (truncated GGUF, safetensors whose offsets lie)
  unreadable,
};
std::string_view to_string(Verdict verdict);

/// Bytes [offset, offset + length) differ from an intact twin.
struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct Checked {
  std::string path;
  std::string store;   // adapter name
  std::string model;
  Verdict verdict{};
  std::optional<mlxbase::Digest> claimed;
  std::optional<mlxbase::Digest> measured;
  std::string reason;          // for malformed and unreadable
  std::string twin;            // an intact copy on this machine, if one is known
  /// Where it is damaged: against the twin, in blocks of 4 KiB; without one, the pieces of 8 MiB that are not what they were when the file was first
  /// seen whole (`by_pieces`). Empty if neither can tell.
  std::vector<Range> damage;
  bool by_pieces = false;
  bool from_catalog = false;   // measured in an earlier run (resumed), file unchanged since
  std::uint32_t inode = 0;     // index into Inventory::inodes
  std::vector<mlxbase::Digest> digests;  // all that are known of its bytes now
};

struct Options {
  std::vector<std::string> models;  // ids; empty: all
  /// Inodes that are to be measured by one more algorithm, whatever their stores claim: to be held against what upstream says.
  std::vector<std::pair<std::uint32_t, mlxbase::Algorithm>> also;
  bool deep = false;                // hash everything again (not trusting the catalog) and check containers' structure
};

struct Report {
  std::vector<Checked> files;   // one an inode, worst first
  std::uint64_t bytes_read = 0;
};

/// Progress of a run cut short is in the catalog: running it again goes on. Errors: cancelled, invalid (no such model), io.
mlxbase::Result<Report> verify(const stores::Context& context, catalog::Catalog& catalog, const catalog::Inventory& inventory,
                               const Options& options, mlxbase::Clock& clock, mlxbase::Progress& progress);

}  // namespace mlxcache::verify
