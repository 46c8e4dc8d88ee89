#pragma once
// What was measured, second by second for an hour and ever coarser for a year. Format: docs/formats/history.md.
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/sql/database.h"

namespace mlxdash::history {

/// A key as key_of() makes it, and its value.
using Value = std::pair<std::string, double>;

struct Point {
  std::int64_t t = 0;  // seconds since 1970 UTC: where what it stands for begins
  double low = 0, high = 0, mean = 0;
};

inline constexpr std::size_t kMostSeries = 512;

/// Not for two threads at once.
class History {
 public:
  /// Opens or makes it. Errors: unsupported (made by a newer version), permission, out_of_space, io.
  static mlxbase::Result<History> open(const std::string& path);
  static mlxbase::Result<History> in_memory();

  /// The values of one second. Kept in memory until write().
  void add(std::int64_t t, std::vector<Value> values);
  /// Writes what was added, makes the coarser tiers and forgets what is too old, all or nothing.
  mlxbase::Status write();
  /// Values of kept seconds that found no place, since there were too many series.
  std::uint64_t dropped() const { return dropped_; }

  mlxbase::Result<std::vector<std::string>> series();
  /// Oldest first, from the finest tier that reaches back to `from`.
  mlxbase::Result<std::vector<Point>> read(const std::string& key, std::int64_t from, std::int64_t to);
  /// Rows of all tables, for tests of what is bounded.
  mlxbase::Result<std::int64_t> rows();

 private:
  explicit History(mlxbase::sql::Database db) : db_(std::make_unique<mlxbase::sql::Database>(std::move(db))) {}
  mlxbase::Status prepare();
  mlxbase::Result<std::int64_t> id_of(const std::string& key);
  mlxbase::Status roll_up(std::int64_t now);
  mlxbase::Status forget(std::int64_t now);
  std::unique_ptr<mlxbase::sql::Database> db_;  // a Transaction holds its address
  std::map<std::string, std::int64_t, std::less<>> ids_;
  std::vector<std::pair<std::int64_t, std::vector<Value>>> pending_;
  std::int64_t forgot_at_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace mlxdash::history
