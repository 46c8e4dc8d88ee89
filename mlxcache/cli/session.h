#pragma once
// What every command has at hand: the machine it works on, how to speak, and the one way to look at the stores.
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/clock.h"
#include "mlxbase/core/progress.h"
#include "mlxbase/format/json.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/catalog.h"
#include "mlxcache/catalog/inventory.h"
#include "mlxcache/cli/exit_status.h"
#include "mlxcache/cli/progress_face.h"
#include "mlxcache/cli/stream.h"
#include "mlxcache/cli/style.h"
#include "mlxcache/dedup/apply.h"
#include "mlxcache/scan/scan.h"
#include "mlxcache/stores/adapter.h"

namespace mlxcache::cli {

/// The parts a run is wired from; main makes the real ones, tests and the demo others.
struct World {
  mlxbase::os::FileSystem& fs;
  mlxbase::os::Environment environment;
  mlxbase::Clock& clock;
  mlxbase::Cancel& cancel;
  Stream& out;
  Stream& err;
  Input& in;
  std::string program = "mlxcache";
};

struct Preferences {
  bool json = false;
  bool yes = false;
  bool quiet = false;
  bool verbose = false;
  bool colour = true;
};

/// Where our own state lies: MLXCACHE_HOME, or what the platform's convention says.
std::string state_home(const mlxbase::os::Environment& environment);

enum class Answer : std::uint8_t { yes, no, nobody };  // nobody: no terminal and no --yes

/// A document of --json, written as its members come: a list of all duplicates may have more text than the rest of the program takes.
class Document {
 public:
  Document(Stream& out, std::string_view schema);
  void set(std::string_view name, const mlxbase::json::Value& value);
  /// A list whose items are made one at a time.
  void list(std::string_view name, std::size_t items, const std::function<mlxbase::json::Value(std::size_t)>& item);
  void finish();

 private:
  void name(std::string_view name);

  Stream& out_;
  std::string text_;  // not yet written
};

class Session {
 public:
  Session(World& world, Preferences preferences, std::string command_line);
  ~Session();

  World& world() { return world_; }
  mlxbase::os::FileSystem& fs() { return world_.fs; }
  const mlxbase::os::Environment& environment() const { return world_.environment; }
  const Preferences& preferences() const { return preferences_; }
  const std::string& home() const { return home_; }
  /// "dedup --apply --store ollama", as typed: for the journal.
  const std::string& command_line() const { return command_line_; }
  const stores::Context& context() const { return context_; }
  dedup::Machinery machinery();
  mlxbase::Progress& progress() { return progress_; }
  ProgressFace& progress_face() { return progress_; }
  void progress_done() { progress_.finish(); }
  bool cancelled() const { return world_.cancel.requested(); }

  // Speaking. What is foreign must have gone through printable() before.
  /// A result, to standard output (not with --json: then the document is the result).
  void say(std::string_view text);
  /// A result that is already whole lines.
  void print(std::string_view text);
  /// The same, broken at spaces where the terminal ends.
  void say_wrapped(std::string_view text);
  /// The same, its middle cut where the terminal ends.
  void say_fitted(std::string_view text);
  /// A remark or hint, to standard error; not with --quiet or --json. Broken at spaces where the terminal ends.
  void note(std::string_view text);
  /// Something the person must know, to standard error, always.
  void warn(std::string_view text);
  /// The one document of --json; gets its "schema" first.
  void emit(std::string_view schema, const mlxbase::json::Value& document);
  /// The same, for one too long to be held; only with --json.
  Document begin_document(std::string_view schema);
  const Style& style() const { return style_; }            // of standard output
  const Style& error_style() const { return error_style_; }
  int columns() const { return world_.out.columns(); }
  /// A path for people: printable, with the home folder as "~".
  std::string show_path(std::string_view path) const;
  /// Asks yes or no; --yes answers yes.
  Answer ask(std::string_view question);

  /// Our catalog of measurements; where it cannot be kept (a home that cannot be written), one in memory, with a warning.
  mlxbase::Result<catalog::Catalog*> open_catalog();
  mlxbase::Result<catalog::Inventory> scan(const scan::Options& options);
  /// Our own changes moved fingerprints; what was measured of those files stays true.
  void remember_moves(std::span<const dedup::Moved> moved);
  /// Settles transactions that were cut short and says what it did.
  mlxbase::Status settle_first();

 private:
  World& world_;
  Preferences preferences_;
  std::string command_line_;
  std::string home_;
  Style style_;
  Style error_style_;
  ProgressFace progress_;
  stores::Context context_;
  std::optional<catalog::Catalog> catalog_;
};

/// The kinds that --store named.
std::vector<catalog::StoreKind> kinds_of(const std::vector<std::string>& names);

}  // namespace mlxcache::cli
