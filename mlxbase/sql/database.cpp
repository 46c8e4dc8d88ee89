#include "mlxbase/sql/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <array>
#include <utility>

#include "mlxbase/core/printable.h"
#include "mlxbase/os/file_system.h"

namespace mlxbase::sql {
namespace {

// A foreign query gets this many steps of SQLite's machine (about a second in all): a view in a hostile file may recurse for ever.
constexpr int kStepsPerQuestion = 1'000'000;
constexpr int kQuestions = 100;
constexpr int kForeignMaxValue = 64 << 20;  // bytes of one text or blob in a foreign file

Code code_of(sqlite3* db, int rc) {
  switch (rc & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Code::busy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_TOOBIG:
    case SQLITE_INTERRUPT: return Code::corrupt;  // we interrupt only what takes absurdly long
    case SQLITE_FULL: return Code::out_of_space;
    case SQLITE_NOMEM: return Code::out_of_memory;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return rc == SQLITE_READONLY_ROLLBACK || rc == SQLITE_READONLY_RECOVERY ? Code::busy : Code::permission;
    case SQLITE_CANTOPEN: {
      const int saved = db != nullptr ? sqlite3_system_errno(db) : 0;
      return saved != 0 ? code_of_errno(saved) : Code::io;
    }
    case SQLITE_ERROR: return Code::unsupported;
    case SQLITE_RANGE:
    case SQLITE_MISUSE: return Code::invalid;
    default: return Code::io;
  }
}

std::unexpected<Error> failed(sqlite3* db, int rc, std::string_view what) {
  const char* text = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  return fail(code_of(db, rc), fmt::format("{}: {}", what, printable(text)), db != nullptr ? sqlite3_system_errno(db) : 0);
}

std::unexpected<Error> failed(sqlite3_stmt* statement, int rc) {
  return failed(sqlite3_db_handle(statement), rc, "database");
}

Status check(sqlite3_stmt* statement, int rc) {
  if (rc != SQLITE_OK) return failed(statement, rc);
  return {};
}

/// A path as SQLite's URI wants it: everything but plain characters in %XX.
std::string uri_of(std::string_view path, std::string_view query) {
  std::string out = "file:";
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '.' || c == '_' || c == '-';
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out.append("?").append(query);
}

int give_up_late(void* questions) { return ++*static_cast<int*>(questions) > kQuestions ? 1 : 0; }

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

Status Statement::bind(int parameter, std::int64_t value) {
  return check(statement_.get(), sqlite3_bind_int64(statement_.get(), parameter, value));
}
Status Statement::bind(int parameter, std::string_view text) {
  return check(statement_.get(), sqlite3_bind_text64(statement_.get(), parameter, text.data() == nullptr ? "" : text.data(), text.size(),
                                                     SQLITE_TRANSIENT, SQLITE_UTF8));
}
Status Statement::bind(int parameter, std::span<const std::byte> blob) {
  // A null pointer would bind NULL; an empty blob is a value.
  const void* data = blob.empty() ? static_cast<const void*>("") : blob.data();
  return check(statement_.get(), sqlite3_bind_blob64(statement_.get(), parameter, data, blob.size(), SQLITE_TRANSIENT));
}
Status Statement::bind_number(int parameter, double value) { return check(statement_.get(), sqlite3_bind_double(statement_.get(), parameter, value)); }
Status Statement::bind_null(int parameter) { return check(statement_.get(), sqlite3_bind_null(statement_.get(), parameter)); }

Result<bool> Statement::step() {
  const int rc = sqlite3_step(statement_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    sqlite3_reset(statement_.get());
    return false;
  }
  auto error = failed(statement_.get(), rc);
  sqlite3_reset(statement_.get());
  return error;
}

Status Statement::run() {
  while (TRY(step())) {
  }
  return {};
}

void Statement::reset() { sqlite3_reset(statement_.get()); }

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }
std::int64_t Statement::i64(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::number(int column) const { return sqlite3_column_double(statement_.get(), column); }
std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}
std::span<const std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Result<Database> Database::open_flags(const std::string& name, int flags, std::string_view shown, int busy_ms) {
  sqlite3* raw = nullptr;
  const int rc = sqlite3_open_v2(name.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  Database db(raw);
  const std::string what = fmt::format("open database {}", printable(shown));
  if (rc != SQLITE_OK) return failed(raw, rc, what);
  sqlite3_busy_timeout(raw, busy_ms);
  // A file's own schema must not reach functions with side effects, and must not be edited by plain SQL.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  return db;
}

Result<Database> Database::open(const std::string& path, int busy_ms) {
  if (path.find('\0') != std::string::npos) return fail(Code::invalid, fmt::format("{}: a path with a NUL byte", printable(path)));
  return open_flags(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, path, busy_ms);
}

Result<Database> Database::in_memory() { return open_flags(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, "in memory", 0); }

Result<Database> Database::open_read_only(const std::string& path) {
  auto& fs = os::real_file_system();
  // SQLite would wait for ever on a FIFO; open_read refuses whatever is not a regular file.
  std::array<std::byte, 20> head{};
  std::size_t got = 0;
  {
    const auto file = TRY(fs.open_read(path, os::Follow::yes));
    got = TRY(file->pread(0, head));
  }
  // Bytes 18 and 19 of the header are 2 for a database with a write-ahead log. While that log does not exist nobody has the
  // database open, and a plain read-only connection would make the log and its index beside it: `immutable` makes nothing.
  // Without a log in use the usual read lock keeps writers away while we read, and leaves no trace.
  const bool wal = got == head.size() && (head[18] == std::byte{2} || head[19] == std::byte{2});
  const bool log_exists = wal && fs.stat(path + "-wal", os::Follow::yes).has_value();
  std::string_view query = "mode=ro";
  if (wal) query = log_exists ? "mode=ro&readonly_shm=1" : "mode=ro&immutable=1";
  const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
  auto db = TRY(open_flags(uri_of(path, query), flags, path, 1000));
  const auto harden = [](Database& d) -> Status {
    sqlite3_limit(d.db_.get(), SQLITE_LIMIT_LENGTH, kForeignMaxValue);
    TRY(d.execute("PRAGMA query_only=1; PRAGMA cell_size_check=1; PRAGMA mmap_size=0"));
    // The first real look at the file: finds out whether it can be read at all.
    return d.execute("SELECT count(*) FROM sqlite_schema");
  };
  auto usable = harden(db);
  if (!usable && log_exists && usable.error().code != Code::corrupt) {
    // A log without an index: left by a crash. What the main file holds is whole but older.
    db = TRY(open_flags(uri_of(path, "mode=ro&immutable=1"), flags, path, 1000));
    usable = harden(db);
  }
  if (!usable) {
    return fail(usable.error().code, fmt::format("open database {}: {}", printable(path), usable.error().message), usable.error().os_errno);
  }
  db.questions_ = std::make_unique<int>(0);
  sqlite3_progress_handler(db.db_.get(), kStepsPerQuestion, &give_up_late, db.questions_.get());
  return db;
}

Status Database::execute(const std::string& sql) {
  const int rc = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return failed(db_.get(), rc, "database");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int rc = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (rc != SQLITE_OK) return failed(db_.get(), rc, "database");
  return Statement(statement);
}

std::int64_t Database::changes() const { return sqlite3_changes64(db_.get()); }

Result<Transaction> Transaction::begin(Database& db, bool write) {
  TRY(db.execute(write ? "BEGIN IMMEDIATE" : "BEGIN"));
  return Transaction(db);
}

Transaction::Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}

Transaction::~Transaction() {
  // If even this fails the connection is broken and its file is rolled back by whoever opens it next.
  if (db_ != nullptr) static_cast<void>(db_->execute("ROLLBACK"));
}

Status Transaction::commit() {
  TRY(db_->execute("COMMIT"));
  db_ = nullptr;
  return {};
}

}  // namespace mlxbase::sql
