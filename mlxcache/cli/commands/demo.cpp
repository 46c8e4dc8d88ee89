#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/run.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
namespace os = mlxbase::os;
namespace path = mlxbase::path;
using catalog::StoreKind;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;

constexpr std::size_t kLarge = 12'000'000;  // big enough to see, small enough for any temporary folder
constexpr std::size_t kSmall = 5'000'000;

/// Removes a folder that this program made, whatever is in it. Follows no symlink.
void remove_tree(os::FileSystem& fs, const std::string& dir) {
  if (auto entries = fs.list(dir)) {
    for (const os::DirEntry& e : *entries) {
      const std::string p = path::join(dir, e.name);
      const auto stat = fs.stat(p);
      if (stat && stat->kind == os::FileKind::directory) {
        remove_tree(fs, p);
      } else if (!fs.unlink(p)) {
        continue;  // it shows when the folder itself cannot be removed
      }
    }
  }
  (void)fs.remove_dir(dir).has_value();
}

/// The folder of the demonstration; gone at the end unless it is to be kept.
class Folder {
 public:
  Folder(os::FileSystem& fs, std::string dir, bool keep) : fs_(fs), dir_(std::move(dir)), keep_(keep) {}
  Folder(Folder&& other) noexcept : fs_(other.fs_), dir_(std::exchange(other.dir_, {})), keep_(other.keep_) {}
  Folder& operator=(Folder&&) = delete;
  ~Folder() {
    if (!keep_ && !dir_.empty()) remove_tree(fs_, dir_);
  }
  const std::string& dir() const { return dir_; }
  bool keep() const { return keep_; }

 private:
  os::FileSystem& fs_;
  std::string dir_;
  bool keep_;
};

Result<Folder> make_folder(Session& session, const Arguments& arguments) {
  os::FileSystem& fs = session.fs();
  const bool keep = arguments.flag("--keep");
  if (const auto at = arguments.one("--at")) {
    const std::string dir = session.environment().absolute(session.environment().expand(*at));
    // Only a folder that we make ourselves is one that we may remove.
    if (fs.stat(dir)) return fail(Code::invalid, fmt::format("--at: '{}' exists already; name a folder that does not", printable(dir)));
    TRY(os::make_dirs(fs, std::string(path::parent(dir))));
    TRY(fs.make_dir(dir, 0700));
    return Folder(fs, TRY(fs.real_path(dir)), keep);
  }
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string dir = path::join(session.environment().temp_directory,
                                       fmt::format("mlxcache-demo-{:08x}", static_cast<std::uint32_t>(session.world().clock.wall_ns() / 1000 + attempt)));
    auto made = fs.make_dir(dir, 0700);
    if (made) return Folder(fs, TRY(fs.real_path(dir)), keep);
    if (fs.stat(dir)) continue;  // taken: another name
    return fail(made.error());
  }
  return fail(Code::busy, fmt::format("no free name for a folder in {}", printable(session.environment().temp_directory)));
}

Status build_stores(const std::string& home, os::Platform platform) {
  const std::string llama = sample::gguf_bytes(1, kLarge);
  const std::string qwen = sample::safetensors_bytes(2, kSmall);
  const std::string other = sample::gguf_bytes(3, kSmall);
  const std::string config = "{\n  \"model_type\": \"qwen3\",\n  \"hidden_size\": 1024\n}\n";
  const sample::Model gguf_repo{"demo/Llama-3.2-1B-Instruct-GGUF", {{"Llama-3.2-1B-Instruct-Q4_K_M.gguf", llama}}};
  const sample::Model mlx_repo{"demo/Qwen3-0.6B-4bit", {{"config.json", config}, {"model.safetensors", qwen}}};
  TRY(sample::build(StoreKind::hf_hub, home, {gguf_repo, mlx_repo}, {}, {}, platform));
  TRY(sample::build(StoreKind::ollama, home, {{"llama3.2:1b", {{"model.gguf", llama}}}, {"gemma3:270m", {{"model.gguf", other}}}},
                    {.partial = true, .orphan = true}, {}, platform));
  TRY(sample::build(StoreKind::lm_studio, home, {gguf_repo, mlx_repo}, {}, {}, platform));
  return {};
}

/// What a file is, as far as a person could tell: for the claim that everything is as before.
struct Face {
  std::string digest;
  std::string link;
  std::uint32_t mode = 0;
  std::uint64_t links = 0;
  std::int64_t mtime_ns = 0;
  friend bool operator==(const Face&, const Face&) = default;
};

Status look(os::FileSystem& fs, const std::string& dir, std::map<std::string, Face>& faces) {
  const auto entries = TRY(fs.list(dir));
  for (const os::DirEntry& e : entries) {
    const std::string p = path::join(dir, e.name);
    const os::FileStat stat = TRY(fs.stat(p));
    if (stat.kind == os::FileKind::directory) {
      TRY(look(fs, p, faces));
      continue;
    }
    Face face{.digest = {}, .link = {}, .mode = stat.mode, .links = stat.links, .mtime_ns = stat.mtime_ns};
    if (stat.kind == os::FileKind::symlink) {
      face.link = TRY(fs.read_link(p));
    } else {
      auto file = TRY(fs.open_read(p));
      mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
      std::vector<std::byte> buffer(std::size_t{1} << 20U);
      for (std::uint64_t at = 0;;) {
        const std::size_t n = TRY(file->pread(at, buffer));
        if (n == 0) break;
        hasher.update(std::span(buffer).first(n));
        at += n;
      }
      face.digest = hasher.finish().hex();
    }
    faces.emplace(p, std::move(face));
  }
  return {};
}

/// Names that differ between the two looks. Empty lock files that the tools themselves leave behind do not count: whoever takes a
/// lock makes its file, and removing it would let two holders in.
std::vector<std::string> differences(const std::map<std::string, Face>& before, const std::map<std::string, Face>& after) {
  std::vector<std::string> names;
  for (const auto& [name, face] : before) {
    const auto now = after.find(name);
    if (now == after.end() || now->second != face) names.push_back(name);
  }
  for (const auto& [name, face] : after) {
    if (!before.contains(name) && !name.ends_with(".lock")) names.push_back(name);
  }
  return names;
}

/// Runs the real commands on the made-up home.
class Stage {
 public:
  Stage(Session& session, const std::string& dir) : session_(session), environment_(session.environment()) {
    // The person's own variables (HF_HOME, OLLAMA_MODELS, …) would lead to their own stores.
    std::map<std::string, std::string, std::less<>> kept;
    for (const char* name : {"TERM", "COLUMNS", "LANG", "LC_ALL", "TZ", "NO_COLOR"}) {
      if (auto value = session.environment().get(name)) kept.emplace(name, *value);
    }
    environment_.variables = std::move(kept);
    environment_.home = path::join(dir, "home");
    environment_.variables["MLXCACHE_HOME"] = path::join(dir, "state");
    environment_.working_directory = environment_.home;
    environment_.temp_directory = path::join(dir, "tmp");
    environment_.root = path::join(dir, "system");
    environment_.etc = path::join(dir, "system/etc");
  }
  const std::string& home() const { return environment_.home; }

  /// Explains, runs, and remembers. Returns the command's status.
  Exit step(std::string_view explanation, std::vector<std::string> words) {
    const std::size_t width = session_.columns() > 0 ? static_cast<std::size_t>(session_.columns()) : 80;
    session_.say(session_.style().cyan("── " + std::string(explanation).substr(0, explanation.find('\n'))));
    if (const auto more = explanation.find('\n'); more != std::string_view::npos) {
      std::string text = wrap_text(explanation.substr(more + 1), width, "   ");
      session_.print(session_.style().dim(text));
    }
    std::string line = "$ mlxcache";
    for (const std::string& word : words) line += " " + word;
    session_.say("\n" + session_.style().bold(line));
    const Preferences& p = session_.preferences();
    if (p.json) words.emplace_back("--json");
    if (p.quiet) words.emplace_back("--quiet");
    if (p.verbose) words.emplace_back("--verbose");
    if (!p.colour) words.emplace_back("--no-color");
    StringStream captured;
    NoInput nobody;
    World world{.fs = session_.fs(),
                .environment = environment_,
                .clock = session_.world().clock,
                .cancel = session_.world().cancel,
                .out = p.json ? static_cast<Stream&>(captured) : session_.world().out,
                .err = session_.world().err,
                .in = nobody};
    const Exit status = cli::run(world, words);
    session_.say("");
    if (p.json) {
      json::Value item{json::Object{}};
      item.set("command", line.substr(2));
      item.set("exit", static_cast<unsigned>(status));
      auto document = json::parse(captured.text());
      item.set("output", document ? std::move(*document) : json::Value());
      steps_.push(std::move(item));
    }
    return status;
  }
  json::Value take_steps() { return std::move(steps_); }

 private:
  Session& session_;
  os::Environment environment_;
  json::Value steps_{json::Array{}};
};

Result<Exit> run(Session& session, const Arguments& arguments) {
  const Folder folder = TRY(make_folder(session, arguments));
  os::FileSystem& fs = session.fs();
  Stage stage(session, folder.dir());
  for (const std::string& dir : {stage.home(), path::join(folder.dir(), "tmp")}) TRY(fs.make_dir(dir, 0700));
  const std::size_t width = session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 80;
  session.print(wrap_text(fmt::format("A made-up home with three tools in {}. Files are noise in valid containers; your own stores are not touched.",
                                      printable(folder.dir())),
                          width, ""));
  session.say("");
  TRY(build_stores(stage.home(), session.environment().platform));
  std::map<std::string, Face> before;
  TRY(look(fs, stage.home(), before));

  const auto stopped = [&](Exit status) { return session.cancelled() || (status != Exit::ok && status != Exit::partly); };
  Exit status = stage.step("Look at what is there\nTwo of the models are in several tools, each with its own copy of the same bytes.", {"scan"});
  if (stopped(status)) return status;
  status = stage.step("Ask what could be shared\nThis is only the plan. Nothing has been changed yet.", {"dedup"});
  if (stopped(status)) return status;
  status = stage.step("Do it\nThe very same plan, written to a journal first; every pair of files is compared once more right before it. "
                      "(--yes answers the question that comes up where a volume can only do hard links.)",
                      {"dedup", "--apply", "--yes"});
  if (stopped(status)) return status;
  status = stage.step("See what is left\nEvery name is still there and every tool finds its files; the blocks are there once.", {"scan"});
  if (stopped(status)) return status;
  status = stage.step("Check the bytes\nEvery file against the digest that its store gives for it.", {"verify"});
  if (stopped(status)) return status;
  status = stage.step("Take it back\nEach file gets its own bytes, permissions and times again, from the journal.", {"undo"});
  if (stopped(status)) return status;

  std::map<std::string, Face> after;
  TRY(look(fs, stage.home(), after));
  const std::vector<std::string> different = differences(before, after);
  const bool same = different.empty();
  session.say_wrapped(same ? fmt::format("{} All {} files of the made-up home are as they were: bytes, permissions, times, links.",
                                 session.style().green("Compared:"), before.size())
                   : session.style().red("The made-up home is not as it was. Please report this."));
  for (const std::string& name : different) session.say("  " + printable(name));
  json::Value document{json::Object{}};
  set_path(document, "folder", folder.dir());
  document.set("kept", folder.keep());
  document.set("steps", stage.take_steps());
  document.set("restored_exactly", same);
  session.emit("mlxcache.demo/1", std::move(document));
  session.say(folder.keep() ? fmt::format("Kept in {}", printable(folder.dir())) : std::string("The folder has been removed. On your own stores: mlxcache scan"));
  return same ? Exit::ok : Exit::failed;
}

constexpr Option kOptions[] = {
    {"--at", "DIR", Kind::folder, false, "make the home here (a folder that does not exist yet) instead of in the temporary folder"},
    {"--keep", "", Kind::text, false, "leave the folder there at the end"},
};
constexpr Example kExamples[] = {
    {"mlxcache demo", "the whole round: scan, plan, apply, verify, undo"},
    {"mlxcache demo --at /mnt/btrfs/demo --keep", "on another volume, and keep it to look around"},
};

}  // namespace

const Command kDemo{
    "demo",
    "show everything on a small made-up home in a temporary folder",
    Group::more,
    false,
    "Builds a small home with the stores of several tools in a temporary folder and walks through scan, dedup, verify and undo on it, with "
    "the real commands. Your own stores are not touched. The folder (about 60 MB) is removed at the end.",
    {},
    kOptions,
    kExamples,
    {},
    &run,
};

}  // namespace mlxcache::cli
