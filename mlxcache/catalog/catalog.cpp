#include "mlxcache/catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/log.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/sql/database.h"

namespace mlxcache::catalog {
namespace {

using mlxbase::Algorithm;
using mlxbase::Code;
using mlxbase::Digest;
using mlxbase::Result;
using mlxbase::Status;
namespace sql = mlxbase::sql;
namespace os = mlxbase::os;

// docs/formats/catalog.md says what each of these is for.
constexpr std::int64_t kApplicationId = 0x4D4C5843;  // "MLXC"
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kDayNs = std::int64_t{24} * 3600 * 1'000'000'000;
constexpr const char* kFileName = "catalog.sqlite";

constexpr const char* kSchema =
    "CREATE TABLE measured("
    " device INTEGER NOT NULL, inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,"
    " sample BLOB, sha256 BLOB, git_sha1 BLOB, sha1 BLOB, blake3 BLOB, md5 BLOB, twin BLOB,"
    " verified_at_ns INTEGER NOT NULL, seen_day INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY(device, inode)) WITHOUT ROWID;";

// Beside the rows of version 1: who does not know it leaves it alone.
constexpr const char* kChainSchema =
    "CREATE TABLE IF NOT EXISTS chains(sha256 BLOB PRIMARY KEY NOT NULL, size INTEGER NOT NULL, links BLOB NOT NULL, seen_day INTEGER NOT NULL,"
    " sum INTEGER NOT NULL) WITHOUT ROWID;";

// The digests that a row can hold, in the order of its columns after `sample`.
constexpr std::array<Algorithm, 5> kAlgorithms = {Algorithm::sha256, Algorithm::git_sha1, Algorithm::sha1, Algorithm::blake3, Algorithm::md5};
using Digests = std::array<std::optional<Digest>, kAlgorithms.size()>;

std::int64_t signed_of(std::uint64_t v) { return std::bit_cast<std::int64_t>(v); }

/// A row as it lies in the table.
struct Row {
  Fingerprint of;
  std::optional<Digest> sample;
  Digests digests;
  std::optional<Digest> twin;
  std::int64_t verified_at_ns = 0;

  /// Guards against rot: a row whose sum is wrong is as good as missing. (FNV-1a, 64 bits; not against an attacker, who
  /// gains nothing here: bytes are compared before anything is replaced.)
  std::int64_t sum() const {
    std::uint64_t h = 14695981039346656037ULL;
    const auto mix = [&h](std::uint64_t v, int bytes) {
      for (int i = 0; i < bytes; ++i) h = (h ^ (v >> (8 * i) & 0xFFU)) * 1099511628211ULL;
    };
    for (const auto v : {of.id.device, of.id.inode, of.size, std::bit_cast<std::uint64_t>(of.mtime_ns), std::bit_cast<std::uint64_t>(of.ctime_ns),
                         std::bit_cast<std::uint64_t>(verified_at_ns)}) {
      mix(v, 8);
    }
    const auto mix_digest = [&](const std::optional<Digest>& d) {
      mix(d ? d->size() : 0, 1);
      if (d) {
        for (const std::byte b : d->bytes()) mix(std::to_integer<std::uint64_t>(b), 1);
      }
    };
    mix_digest(sample);
    for (const auto& d : digests) mix_digest(d);
    mix_digest(twin);
    return std::bit_cast<std::int64_t>(h);
  }

  Measured measured() const {
    Measured m{.of = of, .sample = sample, .digests = {}, .twin = twin, .verified_at_ns = verified_at_ns};
    for (const auto& d : digests) {
      if (d) m.digests.push_back(*d);
    }
    return m;
  }
};

Row row_of(const Measured& m) {
  Row row{.of = m.of, .sample = m.sample, .digests = {}, .twin = m.twin, .verified_at_ns = m.verified_at_ns};
  for (const Digest& d : m.digests) {
    const auto at = std::find(kAlgorithms.begin(), kAlgorithms.end(), d.algorithm());
    if (at != kAlgorithms.end()) row.digests[static_cast<std::size_t>(at - kAlgorithms.begin())] = d;
  }
  return row;
}

std::int64_t sum_of(const mlxbase::Chain& chain) {
  std::uint64_t h = 14695981039346656037ULL;
  const auto mix = [&h](std::uint64_t byte) { h = (h ^ byte) * 1099511628211ULL; };
  for (const std::byte b : chain.sha256.bytes()) mix(std::to_integer<std::uint64_t>(b));
  for (int i = 0; i < 8; ++i) mix(chain.size >> (8 * i) & 0xFFU);
  for (const auto& link : chain.links) {
    for (const std::byte b : link) mix(std::to_integer<std::uint64_t>(b));
  }
  return std::bit_cast<std::int64_t>(h);
}

/// Equal times but other bytes: the medium rotted, or somebody set the times back. Then the older row is of no use.
bool contradict(const Row& a, const Row& b) {
  for (std::size_t i = 0; i < a.digests.size(); ++i) {
    if (a.digests[i] && b.digests[i] && *a.digests[i] != *b.digests[i]) return true;
  }
  return a.sample && b.sample && *a.sample != *b.sample;
}

constexpr const char* kColumns = "size, mtime_ns, ctime_ns, sample, sha256, git_sha1, sha1, blake3, md5, twin, verified_at_ns, sum, seen_day";
constexpr std::size_t kMarkBytes = 32;
constexpr int kSeenColumn = 12;
constexpr int kInodeColumn = 13;  // of a `SELECT kColumns, inode`

Result<std::optional<Digest>> digest_at(const sql::Statement& s, int column, Algorithm algorithm) {
  if (s.is_null(column)) return std::optional<Digest>{};
  const auto bytes = s.blob(column);
  const std::size_t want = algorithm == Algorithm::none ? kMarkBytes : mlxbase::digest_size(algorithm);
  if (bytes.size() != want) return mlxbase::fail(Code::corrupt, "a digest of the wrong length");
  return std::optional<Digest>(Digest(algorithm, bytes));
}

/// The row under the cursor of a `SELECT kColumns`; nothing if its sum is wrong.
std::optional<Row> read_row(const sql::Statement& s, os::FileId id) {
  Row row;
  row.of = {.id = id, .size = std::bit_cast<std::uint64_t>(s.i64(0)), .mtime_ns = s.i64(1), .ctime_ns = s.i64(2)};
  auto sample = digest_at(s, 3, Algorithm::sha256);
  if (!sample) return std::nullopt;
  row.sample = *sample;
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) {
    auto digest = digest_at(s, 4 + static_cast<int>(i), kAlgorithms[i]);
    if (!digest) return std::nullopt;
    row.digests[i] = *digest;
  }
  auto twin = digest_at(s, 9, Algorithm::none);
  if (!twin) return std::nullopt;
  row.twin = *twin;
  row.verified_at_ns = s.i64(10);
  if (row.sum() != s.i64(11)) return std::nullopt;
  return row;
}

Result<std::int64_t> number_of(sql::Database& db, const char* query) {
  auto statement = TRY(db.prepare(query));
  if (!TRY(statement.step())) return mlxbase::fail(Code::corrupt, "no answer");
  return statement.i64(0);
}

bool is_damage(const mlxbase::Error& error) { return error.code == Code::corrupt || error.code == Code::unsupported; }

}  // namespace

struct Catalog::Impl {
  std::string file;  // empty: in memory
  std::optional<sql::Database> db;
  std::int64_t today = 0;
  // Prepared once; they hold on to the database, so they go first.
  struct Prepared {
    sql::Statement select, from, touch, put, select_chain, put_chain, touch_chain;
  };
  std::optional<Prepared> prepared;

  Status connect();
  Status make_schema();
  Status set_aside();
  Status prepare();
  Status put(const Row& row);
  Result<std::optional<Row>> get(os::FileId id, std::int64_t* seen_day);

  Result<std::vector<std::optional<Measured>>> look_up(std::span<const Fingerprint> files);
  Status remember(std::span<const Measured> files);
  Status moved(const Fingerprint& before, const Fingerprint& after);
  Status remember_chains(std::span<const mlxbase::Chain> chains);
  Result<std::optional<mlxbase::Chain>> chain_of(const Digest& sha256);
  Status forget_unseen(std::int64_t before_ns);

  /// Runs `work`; if the file turns out damaged it is set aside and the work done once more on a new one.
  template <class Work>
  auto guarded(Work work) -> decltype(work()) {
    auto result = work();
    if (result || !is_damage(result.error()) || file.empty()) return result;
    mlxbase::log::warning("catalog.damaged", {{"file", file}, {"why", result.error().message}});
    if (auto aside = set_aside(); !aside) return mlxbase::fail(aside.error());
    if (auto again = connect(); !again) return mlxbase::fail(again.error());
    return work();
  }
};

Status Catalog::Impl::connect() {
  prepared.reset();
  db.reset();
  today = mlxbase::system_clock().wall_ns() / kDayNs;
  db = file.empty() ? TRY(sql::Database::in_memory()) : TRY(sql::Database::open(file));
  // The rollback journal rather than a write-ahead log: it needs no shared memory (homes on NFS), leaves no second file, and
  // scans write rarely. NORMAL may lose the newest rows with the power, never their neighbours'; they are measured again.
  TRY(db->execute("PRAGMA journal_mode=DELETE; PRAGMA synchronous=NORMAL; PRAGMA cell_size_check=1; PRAGMA cache_size=-256"));
  std::int64_t version = TRY(number_of(*db, "PRAGMA user_version"));
  if (version == 0) {
    TRY(make_schema());
    version = TRY(number_of(*db, "PRAGMA user_version"));
  }
  if (TRY(number_of(*db, "PRAGMA application_id")) != kApplicationId || version < 0) return mlxbase::fail(Code::corrupt, "not a catalog of ours");
  if (version > kVersion) {
    // Made by a newer mlxcache: its knowledge is worth more than ours, so it stays, and this run remembers nothing.
    mlxbase::log::warning("catalog.newer", {{"file", file}, {"version", std::to_string(version)}});
    file.clear();
    return connect();
  }
  if (TRY(number_of(*db, "SELECT count(*) FROM sqlite_schema WHERE name='chains'")) == 0) TRY(db->execute(kChainSchema));
  return prepare();
}

Status Catalog::Impl::make_schema() {
  TRY(db->execute("PRAGMA synchronous=OFF"));  // nothing is in it yet that could be lost
  {
    auto transaction = TRY(sql::Transaction::begin(*db, true));
    if (TRY(number_of(*db, "PRAGMA user_version")) == 0) {  // another process may have been first
      if (TRY(number_of(*db, "SELECT count(*) FROM sqlite_schema")) != 0) return mlxbase::fail(Code::corrupt, "not a catalog of ours");
      TRY(db->execute(fmt::format("{} PRAGMA application_id={}; PRAGMA user_version={};", kSchema, kApplicationId, kVersion)));
      TRY(transaction.commit());
    }
  }
  return db->execute("PRAGMA synchronous=NORMAL");
}

Status Catalog::Impl::prepare() {
  auto select = TRY(db->prepare(fmt::format("SELECT {} FROM measured WHERE device=?1 AND inode=?2", kColumns)));
  auto from = TRY(db->prepare(fmt::format("SELECT {}, inode FROM measured WHERE device=?1 AND inode>=?2 ORDER BY inode", kColumns)));
  auto touch = TRY(db->prepare("UPDATE measured SET seen_day=?3 WHERE device=?1 AND inode=?2"));
  auto put = TRY(db->prepare("INSERT OR REPLACE INTO measured VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)"));
  auto select_chain = TRY(db->prepare("SELECT size, links, sum, seen_day FROM chains WHERE sha256=?1"));
  auto put_chain = TRY(db->prepare("INSERT OR REPLACE INTO chains VALUES(?1,?2,?3,?4,?5)"));
  auto touch_chain = TRY(db->prepare("UPDATE chains SET seen_day=?2 WHERE sha256=?1"));
  prepared.emplace(Prepared{.select = std::move(select), .from = std::move(from), .touch = std::move(touch), .put = std::move(put),
                            .select_chain = std::move(select_chain), .put_chain = std::move(put_chain), .touch_chain = std::move(touch_chain)});
  return {};
}

/// Renames the damaged file (and a journal left beside it, which would be played into its successor).
Status Catalog::Impl::set_aside() {
  prepared.reset();
  db.reset();
  auto& fs = os::real_file_system();
  for (const char* suffix : {"-journal", "-wal", "-shm", ""}) {
    const auto renamed = fs.rename(file + suffix, file + suffix + ".damaged");
    if (!renamed && renamed.error().code != Code::not_found) return mlxbase::fail(renamed.error());
  }
  return {};
}

Status Catalog::Impl::put(const Row& row) {
  auto& s = prepared->put;
  TRY(s.bind(1, signed_of(row.of.id.device)));
  TRY(s.bind(2, signed_of(row.of.id.inode)));
  TRY(s.bind(3, signed_of(row.of.size)));
  TRY(s.bind(4, row.of.mtime_ns));
  TRY(s.bind(5, row.of.ctime_ns));
  const auto bind_digest = [&s](int at, const std::optional<Digest>& d) { return d ? s.bind(at, d->bytes()) : s.bind_null(at); };
  TRY(bind_digest(6, row.sample));
  for (std::size_t i = 0; i < kAlgorithms.size(); ++i) TRY(bind_digest(7 + static_cast<int>(i), row.digests[i]));
  TRY(bind_digest(12, row.twin));
  TRY(s.bind(13, row.verified_at_ns));
  TRY(s.bind(14, today));
  TRY(s.bind(15, row.sum()));
  return s.run();
}

Result<std::optional<Row>> Catalog::Impl::get(os::FileId id, std::int64_t* seen_day) {
  auto& s = prepared->select;
  TRY(s.bind(1, signed_of(id.device)));
  TRY(s.bind(2, signed_of(id.inode)));
  if (!TRY(s.step())) return std::optional<Row>{};
  auto row = read_row(s, id);
  if (seen_day != nullptr) *seen_day = s.i64(kSeenColumn);
  s.reset();
  return row;
}

/// Rows in the order of the key, for many that are asked for in that order: the next row of the tree costs a fraction of a search from its root.
class Rows {
 public:
  explicit Rows(sql::Statement& from) : from_(from) {}
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;
  ~Rows() { from_.reset(); }

  /// Goes to the row of `id`, which is not before the one asked for last. False: there is none.
  Result<bool> reach(os::FileId id) {
    const std::int64_t device = signed_of(id.device);
    const std::int64_t inode = signed_of(id.inode);
    if (!begun_ || device != device_) return seek(device, inode);
    for (int steps = 0; there_ && at_ < inode; ++steps) {
      if (steps == kSteps) return seek(device, inode);
      TRY(step());
    }
    return there_ && at_ == inode;
  }

 private:
  static constexpr int kSteps = 4;  // rows stepped over before a search is the cheaper way

  Result<bool> seek(std::int64_t device, std::int64_t inode) {
    from_.reset();
    TRY(from_.bind(1, device));
    TRY(from_.bind(2, inode));
    begun_ = true;
    device_ = device;
    TRY(step());
    return there_ && at_ == inode;
  }
  Status step() {
    there_ = TRY(from_.step());
    if (there_) at_ = from_.i64(kInodeColumn);
    return {};
  }

  sql::Statement& from_;
  bool begun_ = false;
  bool there_ = false;
  std::int64_t device_ = 0;
  std::int64_t at_ = 0;
};

Result<std::vector<std::optional<Measured>>> Catalog::Impl::look_up(std::span<const Fingerprint> files) {
  std::vector<std::optional<Measured>> out(files.size());
  // In the order of the key each page of the tree is needed once.
  std::vector<std::uint32_t> order(files.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto key = [&](std::uint32_t i) { return std::pair(signed_of(files[i].id.device), signed_of(files[i].id.inode)); };
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });
  std::vector<os::FileId> stale;
  {
    auto transaction = TRY(sql::Transaction::begin(*db, false));
    {
      Rows rows(prepared->from);
      for (const std::uint32_t i : order) {
        if (!TRY(rows.reach(files[i].id))) continue;
        const auto row = read_row(prepared->from, files[i].id);
        if (!row) continue;
        if (prepared->from.i64(kSeenColumn) != today) stale.push_back(files[i].id);
        if (row->of == files[i]) out[i] = row->measured();
      }
    }
    TRY(transaction.commit());
  }
  // Days are coarse on purpose: an unchanged rescan writes nothing. That the touch may not be possible now is no failure.
  if (!stale.empty()) {
    auto transaction = sql::Transaction::begin(*db, true);
    if (transaction) {
      for (const auto id : stale) {
        TRY(prepared->touch.bind(1, signed_of(id.device)));
        TRY(prepared->touch.bind(2, signed_of(id.inode)));
        TRY(prepared->touch.bind(3, today));
        if (const auto done = prepared->touch.run(); !done && is_damage(done.error())) return mlxbase::fail(done.error());
      }
      if (const auto done = transaction->commit(); !done && is_damage(done.error())) return mlxbase::fail(done.error());
    } else if (is_damage(transaction.error())) {
      return mlxbase::fail(transaction.error());
    }
  }
  return out;
}

Status Catalog::Impl::remember(std::span<const Measured> files) {
  if (files.empty()) return {};
  // Looking up goes through the pages in their order and needs few at a time; but what is written and finds no room in memory is synced early.
  TRY(db->execute("PRAGMA cache_size=-2048"));
  auto transaction = TRY(sql::Transaction::begin(*db, true));
  for (const Measured& m : files) {
    Row row = row_of(m);
    // What another run measured of the same state stays, where this one measured nothing.
    if (const auto known = TRY(get(m.of.id, nullptr)); known && known->of == m.of && !contradict(row, *known)) {
      if (!row.sample) row.sample = known->sample;
      if (!row.twin) row.twin = known->twin;
      for (std::size_t i = 0; i < row.digests.size(); ++i) {
        if (!row.digests[i]) row.digests[i] = known->digests[i];
      }
      row.verified_at_ns = std::max(row.verified_at_ns, known->verified_at_ns);
    }
    TRY(put(row));
  }
  return transaction.commit();
}

Status Catalog::Impl::moved(const Fingerprint& before, const Fingerprint& after) {
  auto transaction = TRY(sql::Transaction::begin(*db, true));
  auto row = TRY(get(before.id, nullptr));
  if (!row || row->of != before) return {};
  row->of = after;
  TRY(put(*row));
  return transaction.commit();
}

Status Catalog::Impl::remember_chains(std::span<const mlxbase::Chain> chains) {
  std::vector<std::byte> links;
  auto transaction = TRY(sql::Transaction::begin(*db, true));
  for (const auto& chain : chains) {
    if (chain.links.empty() || chain.links.size() != mlxbase::chain_length(chain.size)) continue;
    links.clear();
    for (const auto& link : chain.links) links.insert(links.end(), link.begin(), link.end());
    auto& s = prepared->put_chain;
    TRY(s.bind(1, chain.sha256.bytes()));
    TRY(s.bind(2, signed_of(chain.size)));
    TRY(s.bind(3, std::span<const std::byte>(links)));
    TRY(s.bind(4, today));
    TRY(s.bind(5, sum_of(chain)));
    TRY(s.run());
  }
  return transaction.commit();
}

Result<std::optional<mlxbase::Chain>> Catalog::Impl::chain_of(const Digest& sha256) {
  auto& s = prepared->select_chain;
  TRY(s.bind(1, sha256.bytes()));
  if (!TRY(s.step())) return std::optional<mlxbase::Chain>{};
  mlxbase::Chain out{.sha256 = sha256, .size = std::bit_cast<std::uint64_t>(s.i64(0)), .links = {}};
  const auto links = s.blob(1);
  bool good = links.size() % sizeof(mlxbase::ChainLink) == 0 && links.size() / sizeof(mlxbase::ChainLink) == mlxbase::chain_length(out.size);
  if (good) {
    out.links.resize(links.size() / sizeof(mlxbase::ChainLink));
    for (std::size_t i = 0; i < out.links.size(); ++i) {
      std::copy_n(links.begin() + static_cast<std::ptrdiff_t>(i * sizeof(mlxbase::ChainLink)), sizeof(mlxbase::ChainLink), out.links[i].begin());
    }
    good = sum_of(out) == s.i64(2);
  }
  const bool stale = s.i64(3) != today;
  s.reset();
  if (stale) {
    // Who asks has a file that should hold these bytes and does not: no row of `measured` speaks for them then. That it may not be possible now is no failure.
    auto& touch = prepared->touch_chain;
    TRY(touch.bind(1, sha256.bytes()));
    TRY(touch.bind(2, today));
    if (const auto done = touch.run(); !done && is_damage(done.error())) return mlxbase::fail(done.error());
  }
  return good ? std::optional(std::move(out)) : std::nullopt;
}

Status Catalog::Impl::forget_unseen(std::int64_t before_ns) {
  auto transaction = TRY(sql::Transaction::begin(*db, true));
  // The pieces of bytes go with the last file that was measured to have them.
  for (const char* what : {"DELETE FROM measured WHERE seen_day < ?1",
                           "DELETE FROM chains WHERE seen_day < ?1 AND sha256 NOT IN (SELECT sha256 FROM measured WHERE sha256 IS NOT NULL)"}) {
    auto statement = TRY(db->prepare(what));
    TRY(statement.bind(1, before_ns / kDayNs));
    TRY(statement.run());
  }
  return transaction.commit();
}

Catalog::Catalog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Catalog::Catalog(Catalog&&) noexcept = default;
Catalog& Catalog::operator=(Catalog&&) noexcept = default;
Catalog::~Catalog() = default;

Result<Catalog> Catalog::open(const std::string& home) {
  auto impl = std::make_unique<Impl>();
  auto& fs = os::real_file_system();
  // Names and digests of what a person keeps are theirs alone.
  TRY(os::make_dirs(fs, home, 0700));
  impl->file = mlxbase::path::join(home, kFileName);
  // SQLite would wait for ever on a FIFO.
  if (const auto stat = fs.stat(impl->file, os::Follow::yes); stat && stat->kind != os::FileKind::regular) TRY(impl->set_aside());
  auto& i = *impl;
  TRY(i.guarded([&i] { return i.connect(); }));
  return Catalog(std::move(impl));
}

Result<Catalog> Catalog::in_memory() {
  auto impl = std::make_unique<Impl>();
  TRY(impl->connect());
  return Catalog(std::move(impl));
}

Result<std::vector<std::optional<Measured>>> Catalog::look_up(std::span<const Fingerprint> files) {
  return impl_->guarded([&] { return impl_->look_up(files); });
}
Status Catalog::remember(std::span<const Measured> files) {
  return impl_->guarded([&] { return impl_->remember(files); });
}
Status Catalog::moved(const Fingerprint& before, const Fingerprint& after) {
  return impl_->guarded([&] { return impl_->moved(before, after); });
}
Status Catalog::remember_chains(std::span<const mlxbase::Chain> chains) {
  if (chains.empty()) return {};
  return impl_->guarded([&] { return impl_->remember_chains(chains); });
}
Result<std::optional<mlxbase::Chain>> Catalog::chain_of(const Digest& sha256) {
  return impl_->guarded([&] { return impl_->chain_of(sha256); });
}
Status Catalog::forget_unseen(std::int64_t before_ns) {
  return impl_->guarded([&] { return impl_->forget_unseen(before_ns); });
}

}  // namespace mlxcache::catalog
