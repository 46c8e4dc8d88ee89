#include "mlxcache/cli/session.h"

#include <fmt/format.h>

#include <utility>

#include "mlxbase/core/log.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace os = mlxbase::os;
namespace path = mlxbase::path;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::size_t kPiece = std::size_t{64} << 10U;  // of a JSON document, written at once

/// Adds JSON of many lines, each but the first moved in. (Line breaks in strings are escaped, so that all others are the layout's.)
void append_indented(std::string& out, std::string_view text, std::string_view indent) {
  for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    out.append(text.substr(0, end + 1)).append(indent);
    text.remove_prefix(end + 1);
  }
  out.append(text);
}

bool colours(const Stream& stream, const os::Environment& environment, bool wanted) {
  return wanted && stream.terminal() && !environment.get_nonempty("NO_COLOR") && environment.get("TERM").value_or("") != "dumb";
}

ProgressFace::Manner manner(const World& world, const Preferences& p) {
  if (p.quiet || p.json) return ProgressFace::Manner::silent;
  const bool capable = world.err.terminal() && world.environment.get("TERM").value_or("") != "dumb";
  return capable ? ProgressFace::Manner::bar : ProgressFace::Manner::lines;
}

}  // namespace

std::string state_home(const os::Environment& environment) {
  if (auto moved = environment.get_nonempty("MLXCACHE_HOME")) return environment.absolute(environment.expand(*moved));
  if (environment.platform == os::Platform::macos) return path::join(environment.home, "Library/Application Support/mlxcache");
  // The XDG rule: a relative XDG_DATA_HOME is ignored.
  if (auto data = environment.get_nonempty("XDG_DATA_HOME"); data && path::is_absolute(*data)) return path::normal(path::join(*data, "mlxcache"));
  return path::join(environment.home, ".local/share/mlxcache");
}

Document::Document(Stream& out, std::string_view schema) : out_(out), text_(fmt::format("{{\n  \"schema\": {}", json::dump(json::Value(schema)))) {}

void Document::set(std::string_view member, const json::Value& value) {
  const json::Array& items = value.array();
  if (!items.empty()) return list(member, items.size(), [&](std::size_t i) { return items[i]; });
  name(member);
  append_indented(text_, json::dump(value, 2), "  ");
}

void Document::list(std::string_view member, std::size_t items, const std::function<json::Value(std::size_t)>& item) {
  if (items == 0) return set(member, json::Value(json::Array{}));
  name(member);
  for (std::size_t i = 0; i < items; ++i) {
    text_ += i == 0 ? "[\n    " : ",\n    ";
    append_indented(text_, json::dump(item(i), 2), "    ");
    if (text_.size() < kPiece) continue;
    out_.write(text_);
    text_.clear();
  }
  text_ += "\n  ]";
}

void Document::finish() { out_.write(text_ + "\n}\n"); }

void Document::name(std::string_view name) { text_ += fmt::format(",\n  {}: ", json::dump(json::Value(name))); }

Session::Session(World& world, Preferences preferences, std::string command_line)
    : world_(world),
      preferences_(preferences),
      command_line_(std::move(command_line)),
      home_(state_home(world.environment)),
      style_(colours(world.out, world.environment, preferences.colour)),
      error_style_(colours(world.err, world.environment, preferences.colour)),
      progress_(world.err, world.clock, manner(world, preferences), error_style_),
      context_{world.fs, world_.environment, &world.cancel} {}

Session::~Session() { progress_.finish(); }

dedup::Machinery Session::machinery() {
  return {.context = context_, .home = home_, .clock = world_.clock, .progress = progress_, .cancel = &world_.cancel, .command = command_line_};
}

void Session::say(std::string_view text) {
  if (preferences_.json) return;
  progress_.finish();
  world_.out.write(std::string(text) + "\n");
}

void Session::say_wrapped(std::string_view text) {
  print(wrap_text(text, columns() > 0 ? static_cast<std::size_t>(columns()) : 0, ""));
}

void Session::say_fitted(std::string_view text) {
  say(columns() > 0 ? elide_middle(text, static_cast<std::size_t>(columns())) : std::string(text));
}

void Session::print(std::string_view text) {
  if (preferences_.json) return;
  progress_.finish();
  world_.out.write(text);
}

void Session::note(std::string_view text) {
  if (preferences_.json || preferences_.quiet) return;
  progress_.finish();
  world_.err.write(wrap_text(text, static_cast<std::size_t>(world_.err.columns()), ""));
}

void Session::warn(std::string_view text) {
  progress_.finish();
  world_.err.write(wrap_text(error_style_.yellow("warning:") + " " + std::string(text), static_cast<std::size_t>(world_.err.columns()), ""));
}

Document Session::begin_document(std::string_view schema) {
  progress_.finish();
  return {world_.out, schema};
}

void Session::emit(std::string_view schema, const json::Value& document) {
  if (!preferences_.json) return;
  Document out = begin_document(schema);
  for (const auto& [name, value] : document.object()) out.set(name, value);
  out.finish();
}

std::string Session::show_path(std::string_view p) const {
  const std::string& home = world_.environment.home;
  if (home.size() > 1 && p.starts_with(home) && (p.size() == home.size() || p[home.size()] == '/')) {
    return "~" + printable(p.substr(home.size()));
  }
  return printable(p);
}

Answer Session::ask(std::string_view question) {
  if (preferences_.yes) return Answer::yes;
  if (preferences_.json || !world_.in.terminal() || !world_.err.terminal()) return Answer::nobody;
  progress_.finish();
  for (;;) {
    world_.err.write(fmt::format("{} {} ", question, error_style_.bold("[y/N]")));
    const auto line = world_.in.line(world_.cancel);
    if (!line) {
      world_.err.write("\n");
      return Answer::no;
    }
    if (line->empty() || *line == "n" || *line == "N" || *line == "no") return Answer::no;
    if (*line == "y" || *line == "Y" || *line == "yes") return Answer::yes;
    world_.err.write("Please answer y or n.\n");
  }
}

Result<catalog::Catalog*> Session::open_catalog() {
  if (catalog_) return &*catalog_;
  auto opened = catalog::Catalog::open(home_);
  if (!opened) {
    warn(fmt::format("what is measured now will not be remembered: {}", printable(opened.error().message)));
    opened = catalog::Catalog::in_memory();
  }
  if (!opened) return fail(opened.error());
  catalog_.emplace(std::move(*opened));
  return &*catalog_;
}

Result<catalog::Inventory> Session::scan(const scan::Options& options) {
  catalog::Catalog* catalog = TRY(open_catalog());
  auto inventory = scan::scan(context_, *catalog, options, progress_);
  progress_.finish();
  return inventory;
}

void Session::remember_moves(std::span<const dedup::Moved> moved) {
  auto catalog = open_catalog();
  if (!catalog) return;
  for (const dedup::Moved& m : moved) {
    // The catalog only saves work: a file it forgets is measured again.
    if (auto kept = (*catalog)->moved(m.before, m.after); !kept) {
      mlxbase::log::warning("catalog.moved", {{"error", kept.error().message}});
      return;
    }
  }
}

Status Session::settle_first() {
  auto recovered = dedup::recover(machinery());
  progress_.finish();
  if (!recovered) {
    if (recovered.error().code == Code::cancelled) return fail(recovered.error());
    warn(fmt::format("an earlier change that was cut short could not be settled yet: {}", printable(recovered.error().message)));
    return {};
  }
  if (recovered->transactions.empty()) return {};
  warn(fmt::format("{} earlier change{} had been cut short and {} settled first: {} file{} have their original again, {} {} complete.",
                   recovered->transactions.size(), recovered->transactions.size() == 1 ? "" : "s",
                   recovered->transactions.size() == 1 ? "was" : "were", recovered->rolled_back.size(),
                   recovered->rolled_back.size() == 1 ? "" : "s", recovered->finished.size(),
                   recovered->finished.size() == 1 ? "was" : "were"));
  for (const dedup::Skipped& left : recovered->left) {
    warn(fmt::format("not settled: {}: {}", show_path(left.path), printable(left.reason)));
  }
  return {};
}

std::vector<catalog::StoreKind> kinds_of(const std::vector<std::string>& names) {
  std::vector<catalog::StoreKind> kinds;
  for (const std::string& name : names) {
    if (const stores::Adapter* adapter = stores::find_adapter(name)) kinds.push_back(adapter->kind);
  }
  return kinds;
}

}  // namespace mlxcache::cli
