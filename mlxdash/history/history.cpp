#include "mlxdash/history/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "mlxbase/os/file_system.h"

namespace mlxdash::history {
namespace {

using mlxbase::Code;
using mlxbase::Result;
using mlxbase::Status;
namespace sql = mlxbase::sql;

constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kApplication = 0x4D4C5844;
constexpr std::int64_t kHour = 3600, kDay = 24 * kHour;
constexpr std::int64_t kKeepRaw = kHour;
struct Tier {
  std::int64_t step, keep;
};
constexpr Tier kTiers[] = {{10, 6 * kHour}, {60, 2 * kDay}, {600, 14 * kDay}, {3600, 400 * kDay}};
constexpr std::int64_t kForgetEvery = 60;

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS raw (t INTEGER NOT NULL, series INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (t, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS roll (tier INTEGER NOT NULL, t INTEGER NOT NULL, series INTEGER NOT NULL, low REAL NOT NULL, high REAL NOT NULL, sum REAL NOT NULL,
  n INTEGER NOT NULL, PRIMARY KEY (tier, t, series)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rolled (tier INTEGER PRIMARY KEY, until INTEGER NOT NULL);
)sql";

std::int64_t floor_to(std::int64_t t, std::int64_t step) { return t - ((t % step) + step) % step; }

Result<std::int64_t> pragma(sql::Database& db, const char* name) {
  auto statement = TRY(db.prepare(fmt::format("PRAGMA {}", name)));
  if (!TRY(statement.step())) return std::int64_t{0};
  return statement.i64(0);
}

Result<std::optional<std::int64_t>> one(sql::Database& db, const std::string& text) {
  auto statement = TRY(db.prepare(text));
  if (!TRY(statement.step()) || statement.is_null(0)) return std::nullopt;
  return std::optional<std::int64_t>(statement.i64(0));
}

}  // namespace

Result<History> History::open(const std::string& path) {
  const auto attempt = [&]() -> Result<History> {
    History history(TRY(sql::Database::open(path)));
    TRY(history.prepare());
    return history;
  };
  auto opened = attempt();
  if (opened || opened.error().code != Code::corrupt) return opened;
  // It holds nothing that anybody's work depends on: set aside, so that it can be looked at, and begun anew.
  auto& fs = mlxbase::os::real_file_system();
  TRY(fs.rename(path, path + ".damaged"));
  for (const char* beside : {"-wal", "-shm"}) (void)fs.unlink(path + beside).has_value();
  return attempt();
}

Result<History> History::in_memory() {
  History history(TRY(sql::Database::in_memory()));
  TRY(history.prepare());
  return history;
}

Status History::prepare() {
  const auto version = TRY(pragma(*db_, "user_version"));
  const auto application = TRY(pragma(*db_, "application_id"));
  if (version > kVersion && application == kApplication) return mlxbase::fail(Code::unsupported, "the history was made by a newer mlxdash");
  const bool empty = !TRY(one(*db_, "SELECT 1 FROM sqlite_master"));
  if (!empty && application != kApplication) return mlxbase::fail(Code::corrupt, "the history is another program's database");
  TRY(db_->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-2000; PRAGMA journal_size_limit=8388608;"));
  TRY(db_->execute(fmt::format("PRAGMA application_id={}; PRAGMA user_version={};", kApplication, kVersion)));
  TRY(db_->execute(kSchema));
  auto statement = TRY(db_->prepare("SELECT key, id FROM series"));
  while (TRY(statement.step())) ids_.emplace(std::string(statement.text(0)), statement.i64(1));
  return {};
}

void History::add(std::int64_t t, std::vector<Value> values) { pending_.emplace_back(t, std::move(values)); }

Result<std::int64_t> History::id_of(const std::string& key) {
  if (const auto known = ids_.find(key); known != ids_.end()) return known->second;
  if (ids_.size() >= kMostSeries) return std::int64_t{-1};
  auto insert = TRY(db_->prepare("INSERT INTO series (key) VALUES (?1) RETURNING id"));
  TRY(insert.bind(1, std::string_view(key)));
  if (!TRY(insert.step())) return mlxbase::fail(Code::io, "history: a series got no number");
  const std::int64_t id = insert.i64(0);
  insert.reset();
  ids_.emplace(key, id);
  return id;
}

Status History::write() {
  if (pending_.empty()) return {};
  const auto ids_before = ids_;
  const auto done = [&]() -> Status {
    auto transaction = TRY(sql::Transaction::begin(*db_, /*write=*/true));
    {
      auto insert = TRY(db_->prepare("INSERT OR REPLACE INTO raw (t, series, value) VALUES (?1, ?2, ?3)"));
      for (const auto& [t, values] : pending_) {
        for (const auto& [key, value] : values) {
          const std::int64_t id = TRY(id_of(key));
          if (id < 0) {
            ++dropped_;
            continue;
          }
          TRY(insert.bind(1, t));
          TRY(insert.bind(2, id));
          TRY(insert.bind_number(3, value));
          TRY(insert.run());
        }
      }
    }
    const std::int64_t now = pending_.back().first;
    TRY(roll_up(now));
    if (now - forgot_at_ >= kForgetEvery || now < forgot_at_) {
      TRY(forget(now));
      forgot_at_ = now;
    }
    return transaction.commit();
  }();
  if (!done) {
    ids_ = ids_before;  // numbers of a transaction that was rolled back
    // A disk that is full for long must not fill the memory.
    if (pending_.size() > 600) pending_.erase(pending_.begin(), pending_.end() - 600);
    return done;
  }
  pending_.clear();
  return {};
}

Status History::roll_up(std::int64_t now) {
  for (std::size_t tier = 0; tier < std::size(kTiers); ++tier) {
    const std::int64_t step = kTiers[tier].step;
    const std::int64_t until = floor_to(now, step);
    const auto before = TRY(one(*db_, fmt::format("SELECT until FROM rolled WHERE tier={}", tier)));
    if (before && *before >= until && *before <= until + 2 * step) continue;
    // A clock that was set back far: begin again from there.
    const std::int64_t from = before && *before <= until ? *before : floor_to(now - (tier == 0 ? kKeepRaw : kTiers[tier - 1].keep), step);
    if (tier == 0) {
      TRY(db_->execute(fmt::format("INSERT OR REPLACE INTO roll SELECT 0, t - t % {0}, series, min(value), max(value), sum(value), count(*) FROM raw "
                                   "WHERE t >= {1} AND t < {2} GROUP BY t - t % {0}, series", step, from, until)));
    } else {
      TRY(db_->execute(fmt::format("INSERT OR REPLACE INTO roll SELECT {3}, t - t % {0}, series, min(low), max(high), sum(sum), sum(n) FROM roll "
                                   "WHERE tier = {4} AND t >= {1} AND t < {2} GROUP BY t - t % {0}, series", step, from, until, tier, tier - 1)));
    }
    TRY(db_->execute(fmt::format("INSERT OR REPLACE INTO rolled VALUES ({}, {})", tier, until)));
  }
  return {};
}

Status History::forget(std::int64_t now) {
  // What lies in the future was written by a clock that was wrong.
  TRY(db_->execute(fmt::format("DELETE FROM raw WHERE t < {} OR t > {}", now - kKeepRaw, now + kHour)));
  for (std::size_t tier = 0; tier < std::size(kTiers); ++tier) {
    TRY(db_->execute(fmt::format("DELETE FROM roll WHERE tier = {0} AND (t < {1} OR t > {2})", tier, now - kTiers[tier].keep, now + kHour)));
  }
  if (ids_.size() < kMostSeries) return {};
  // Room for new series: those of which nothing is left.
  TRY(db_->execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM raw) AND id NOT IN (SELECT series FROM roll)"));
  ids_.clear();
  auto statement = TRY(db_->prepare("SELECT key, id FROM series"));
  while (TRY(statement.step())) ids_.emplace(std::string(statement.text(0)), statement.i64(1));
  return {};
}

Result<std::vector<std::string>> History::series() {
  std::vector<std::string> out;
  auto statement = TRY(db_->prepare("SELECT key FROM series ORDER BY key"));
  while (TRY(statement.step())) out.emplace_back(statement.text(0));
  return out;
}

Result<std::vector<Point>> History::read(const std::string& key, std::int64_t from, std::int64_t to) {
  std::vector<Point> out;
  auto find = TRY(db_->prepare("SELECT id FROM series WHERE key = ?1"));
  TRY(find.bind(1, std::string_view(key)));
  if (!TRY(find.step())) return out;
  const std::int64_t id = find.i64(0);
  find.reset();
  const std::int64_t now = TRY(one(*db_, "SELECT max(t) FROM raw")).value_or(to);
  std::optional<std::size_t> tier;
  if (from < now - kKeepRaw) {
    tier = 0;
    while (*tier + 1 < std::size(kTiers) && from < now - kTiers[*tier].keep) ++*tier;
  }
  auto statement = tier ? TRY(db_->prepare(fmt::format("SELECT t, low, high, sum / n FROM roll WHERE tier = {} AND t >= ?1 AND t <= ?2 AND series = ?3 ORDER BY t", *tier)))
                        : TRY(db_->prepare("SELECT t, value, value, value FROM raw WHERE t >= ?1 AND t <= ?2 AND series = ?3 ORDER BY t"));
  TRY(statement.bind(1, from));
  TRY(statement.bind(2, to));
  TRY(statement.bind(3, id));
  while (TRY(statement.step())) out.push_back({.t = statement.i64(0), .low = statement.number(1), .high = statement.number(2), .mean = statement.number(3)});
  return out;
}

Result<std::int64_t> History::rows() {
  return TRY(one(*db_, "SELECT (SELECT count(*) FROM raw) + (SELECT count(*) FROM roll) + (SELECT count(*) FROM series)")).value_or(0);
}

}  // namespace mlxdash::history
