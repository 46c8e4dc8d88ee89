#pragma once
// A thin, owning face over SQLite: databases, statements and transactions that close themselves, failures as Result.
// Our own files are opened to write; other tools' are only looked at, and may be hostile.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace mlxbase::sql {

/// Compiled SQL. Columns count from 0, parameters from 1, as in SQLite. Must not outlive its Database.
class Statement {
 public:
  /// Text and blobs are copied. Errors: out_of_memory; invalid (no such parameter).
  Status bind(int parameter, std::int64_t value);
  Status bind(int parameter, std::string_view text);
  Status bind(int parameter, std::span<const std::byte> blob);
  Status bind_number(int parameter, double value);
  Status bind_null(int parameter);
  /// Goes to the next row; false when there is none left (the statement is then ready to be bound and run again).
  /// Errors: busy, corrupt, out_of_space, permission, io, unsupported (tables are not as the SQL wants them).
  Result<bool> step();
  /// Runs a statement that gives no rows (any that come are skipped).
  Status run();
  /// Ends a query before its last row.
  void reset();

  // Of the current row. What is of another type is converted as SQLite does; views hold until the next step.
  bool is_null(int column) const;
  std::int64_t i64(int column) const;
  double number(int column) const;
  std::string_view text(int column) const;
  std::span<const std::byte> blob(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// One connection; not for two threads at once.
class Database {
 public:
  /// Opens or makes a database of ours. Another process's lock is waited for up to `busy_ms`.
  /// Errors: not_found (the folder), permission, busy, corrupt, io.
  static Result<Database> open(const std::string& path, int busy_ms = 5000);
  /// Opens another tool's database to read. Nothing beside it is made, changed or rolled back, its schema is not trusted, and a
  /// query that would run for very long ends with `corrupt`. What a live writer has not yet moved out of its write-ahead log
  /// is seen if the log's index is there.
  /// Errors: not_found, permission, invalid (not a regular file), busy (a crash left it half-written), corrupt, io.
  static Result<Database> open_read_only(const std::string& path);
  static Result<Database> in_memory();

  /// Runs one or more statements that give no rows.
  Status execute(const std::string& sql);
  /// Errors: unsupported (tables or columns that the SQL names are missing), corrupt, busy.
  Result<Statement> prepare(std::string_view sql);
  /// Rows the last statement changed.
  std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Database(sqlite3* db) : db_(db) {}
  static Result<Database> open_flags(const std::string& name, int flags, std::string_view shown, int busy_ms);
  std::unique_ptr<int> questions_;  // how often a foreign query was asked whether it takes too long; outlives db_
  std::unique_ptr<sqlite3, Close> db_;
};

/// All or nothing: rolled back unless commit() was reached. The Database must stay where it is meanwhile.
class Transaction {
 public:
  /// With `write` the write lock is taken at once, so that two writers wait for each other instead of failing half-way.
  static Result<Transaction> begin(Database& db, bool write);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& db) : db_(&db) {}
  Database* db_;
};

}  // namespace mlxbase::sql
