#include "mlxcache/pull/pull.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxbase/core/units.h"
#include "mlxcache/cli/change_text.h"
#include "mlxcache/cli/commands/commands.h"
#include "mlxcache/cli/online.h"
#include "mlxcache/cli/parts.h"
#include "mlxcache/cli/table.h"

namespace mlxcache::cli {
namespace {

namespace json = mlxbase::json;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::format_bytes;
using mlxbase::printable;
using mlxbase::Result;
using pull::Local;
using pull::Plan;
using pull::PlannedFile;

constexpr std::size_t kShownFiles = 20;

/// Letters and digits alone: "LM Studio", "lmstudio" and "lm-studio" are one.
std::string bare(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

const stores::Adapter* find_tool(std::string_view word) {
  const std::string wanted = bare(word) == "hf" || bare(word) == "huggingface" ? "hfhub" : bare(word);
  for (const stores::Adapter& adapter : stores::adapters()) {
    if (bare(adapter.name) == wanted) return &adapter;
  }
  return nullptr;
}

/// "ollama,lm-studio", repeated, or "all".
mlxbase::Status read_targets(const Arguments& arguments, pull::Options& options) {
  for (const std::string& list : arguments.all("--to")) {
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      const std::string word = list.substr(begin, end - begin);
      begin = end + 1;
      if (word == "all") {
        options.to_all = true;
        continue;
      }
      const stores::Adapter* adapter = find_tool(word);
      if (adapter == nullptr || adapter->publish == nullptr) {
        std::string known;
        for (const stores::Adapter& row : stores::adapters()) {
          if (row.publish != nullptr) known += std::string(known.empty() ? "" : ", ") + std::string(row.name);
        }
        return fail(Code::invalid, fmt::format("--to: '{}' {}; there are: {}, all", printable(word), adapter == nullptr ? "is no tool" : "cannot be given models", known));
      }
      options.to.push_back(adapter->kind);
    }
  }
  return {};
}

Result<pull::Options> options_of(const Arguments& arguments) {
  pull::Options out;
  out.selection.include = arguments.all("--include");
  out.selection.exclude = arguments.all("--exclude");
  out.selection.quant = arguments.one("--quant").value_or("");
  out.allow_copy = arguments.flag("--copy");
  if (auto ok = read_targets(arguments, out); !ok) return fail(std::move(ok).error());
  return out;
}

std::string_view word_of(Local::Evidence evidence) {
  switch (evidence) {
    case Local::Evidence::measured: return "measured";
    case Local::Evidence::claimed: return "claimed";
    case Local::Evidence::alike: return "alike";
  }
  return {};
}

json::Value file_json(const PlannedFile& file) {
  json::Value item{json::Object{}};
  item.set("path", mlxbase::to_utf8(file.remote.path));
  item.set("size", file.remote.size);
  if (file.remote.sha256) item.set("sha256", file.remote.sha256->hex());
  if (file.remote.git_sha1) item.set("git_sha1", file.remote.git_sha1->hex());
  if (!file.remote.media_type.empty()) item.set("media_type", mlxbase::to_utf8(file.remote.media_type));
  item.set("state", file.locals.empty() ? "download" : "here");
  if (!file.locals.empty()) {
    set_path(item, "source", file.locals.front().path);
    item.set("source_store", kind_name(file.locals.front().store));
    item.set("evidence", word_of(file.locals.front().evidence));
  } else {
    item.set("resumable_bytes", file.resumable_bytes);
  }
  return item;
}

json::Value document_of(const Plan& plan) {
  json::Value document{json::Object{}};
  document.set("applied", false);
  document.set("id", mlxbase::to_utf8(fetch::shown(plan.resolved.id)));
  document.set("commit", plan.resolved.commit.empty() ? json::Value(nullptr) : json::Value(plan.resolved.commit));
  json::Value files{json::Array{}};
  for (const PlannedFile& file : plan.files) files.push(file_json(file));
  document.set("files", std::move(files));
  document.set("download_bytes", plan.download_bytes);
  document.set("here_bytes", plan.here_bytes);
  document.set("free_bytes", plan.free_bytes);
  document.set("fits", plan.fits);
  json::Value notes{json::Array{}};
  for (const std::string& note : plan.resolved.notes) notes.push(mlxbase::to_utf8(note));
  document.set("notes", std::move(notes));
  return document;
}

void set_targets(json::Value& document, const Plan& plan) {
  json::Value targets{json::Array{}};
  for (const publish::Target& target : plan.targets) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(target.root.kind));
    set_path(item, "root", target.root.path);
    targets.push(std::move(item));
  }
  document.set("targets", std::move(targets));
}

void set_targets(json::Value& document, std::span<const publish::Published> visible) {
  json::Value targets{json::Array{}};
  for (const publish::Published& published : visible) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(published.root.kind));
    set_path(item, "root", published.root.path);
    item.set("visible_as", mlxbase::to_utf8(published.visible_as));
    item.set("new_bytes", published.new_bytes);
    json::Value notes{json::Array{}};
    for (const std::string& note : published.notes) notes.push(mlxbase::to_utf8(note));
    item.set("notes", std::move(notes));
    targets.push(std::move(item));
  }
  document.set("targets", std::move(targets));
}

void set_refused(json::Value& document, std::span<const publish::Refused> refused) {
  json::Value list{json::Array{}};
  for (const publish::Refused& r : refused) {
    json::Value item{json::Object{}};
    item.set("store", kind_name(r.kind));
    item.set("reason", mlxbase::to_utf8(r.reason));
    list.push(std::move(item));
  }
  document.set("refused", std::move(list));
}

/// A registry's files have digests for names: what they are says more.
std::string name_of(const PlannedFile& file) {
  const fetch::RemoteFile& remote = file.remote;
  if (remote.media_type.empty() || !remote.sha256) return printable(remote.path);
  return fmt::format("{} ({})", printable(remote.media_type), remote.sha256->hex().substr(0, 12));
}

std::string state_of(Session& session, const PlannedFile& file) {
  if (file.locals.empty()) {
    return file.resumable_bytes > 0 ? fmt::format("to download; {} of it came before", format_bytes(file.resumable_bytes)) : "to download";
  }
  const Local& local = file.locals.front();
  const std::string where = session.show_path(local.path);
  switch (local.evidence) {
    case Local::Evidence::measured: return "here: " + where;
    case Local::Evidence::claimed: return "here, to be measured: " + where;
    case Local::Evidence::alike: return "perhaps here, to be measured: " + where;
  }
  return {};
}

void print_plan(Session& session, const Plan& plan) {
  std::uint64_t bytes = 0;
  for (const PlannedFile& file : plan.files) bytes += file.remote.size;
  const std::string commit = plan.resolved.commit.empty() ? "" : " at " + plan.resolved.commit.substr(0, 12);
  session.say(fmt::format("{}{}: {}, {}", session.style().bold(printable(fetch::shown(plan.resolved.id))), commit, count(plan.files.size(), "file"),
                          format_bytes(bytes)));
  for (const std::string& note : plan.resolved.notes) session.note(printable(note));
  Table table({{"FILE", Align::left, true}, {"SIZE", Align::right}, {"", Align::left, true}});
  std::vector<const PlannedFile*> order;
  for (const PlannedFile& file : plan.files) order.push_back(&file);
  std::stable_sort(order.begin(), order.end(), [](const PlannedFile* a, const PlannedFile* b) { return a->remote.size > b->remote.size; });
  const std::size_t shown = session.preferences().verbose ? order.size() : std::min(order.size(), kShownFiles);
  for (std::size_t i = 0; i < shown; ++i) table.row({name_of(*order[i]), format_bytes(order[i]->remote.size), state_of(session, *order[i])});
  if (shown < order.size()) table.below(fmt::format("and {} smaller (--verbose lists them)", count(order.size() - shown, "file")));
  session.print(table.render(session.columns(), session.style()));
  if (plan.download_bytes == 0) {
    session.say("Nothing has to be downloaded.");
  } else {
    session.say(fmt::format("{} to download; {} free.", format_bytes(plan.download_bytes), format_bytes(plan.free_bytes)));
  }
}

void warn_of_refusals(Session& session, std::span<const publish::Refused> refused) {
  for (const publish::Refused& r : refused) session.warn(fmt::format("not for {}: {}", stores::adapter_of(r.kind).title, printable(r.reason)));
}

void print_pulled(Session& session, const pull::Pulled& pulled, std::int64_t took_ns) {
  if (pulled.changes.empty() && pulled.downloaded_bytes == 0) {
    session.say("It was complete already; nothing was downloaded or changed.");
  } else {
    std::string line = fmt::format("{} downloaded", format_bytes(pulled.downloaded_bytes));
    if (pulled.downloaded_bytes > 0 && took_ns > 0) {
      line += fmt::format(" in {} ({}/s)", mlxbase::format_duration(std::chrono::nanoseconds(took_ns)),
                          format_bytes(static_cast<std::uint64_t>(static_cast<double>(pulled.downloaded_bytes) * 1e9 / static_cast<double>(took_ns))));
    }
    session.say_wrapped(line + fmt::format("; {} were on this machine already.", format_bytes(pulled.shared_bytes)));
  }
  for (const publish::Published& p : pulled.visible) {
    session.say(fmt::format("{} has it as {}", session.style().bold(stores::adapter_of(p.root.kind).title), printable(p.visible_as)));
    if (p.new_bytes > 0) session.say(fmt::format("  a copy: takes {}", format_bytes(p.new_bytes)));
    for (const std::string& note : p.notes) {
      session.print(wrap_text(printable(note), session.columns() > 0 ? static_cast<std::size_t>(session.columns()) : 0, "  "));
    }
  }
}

void show_progress(Session& session, fetch::DownloadOptions& download) {
  download.on_resumed = [&session](std::uint64_t bytes) { session.progress_face().already(bytes); };
  download.on_parts = [&session](std::span<const fetch::Part> parts) {
    std::vector<ProgressPart> shown;
    for (const fetch::Part& part : parts) shown.push_back({part.name, part.done, part.total});
    session.progress_face().parts(shown);
  };
}

pull::Watcher watcher_of(Session& session) {
  pull::Watcher out;
  out.on_downloaded = [&session](const PlannedFile& file, std::uint64_t) {
    if (!session.preferences().quiet) session.say_fitted(fmt::format("{}  {}  {}", session.style().green("downloaded"), format_bytes(file.remote.size), name_of(file)));
  };
  out.on_wait = [&session](const std::string& name) {
    session.note(fmt::format("{}: another program is downloading it; waiting for it to finish.", printable(name)));
  };
  return out;
}

Result<Exit> run(Session& session, const Arguments& arguments) {
  const fetch::Id id = TRY(fetch::parse_id(*arguments.one("ID")));
  pull::Options options = TRY(options_of(arguments));
  show_progress(session, options.download);
  const Online online = TRY(go_online(session));
  const auto& [endpoints, client] = online;
  scan::Options look;
  look.extra_roots = arguments.all("--root");
  look.find_duplicates = false;
  look.ask_sharing = false;
  const catalog::Inventory inventory = TRY(session.scan(look));
  catalog::Catalog* catalog = TRY(session.open_catalog());
  const change::Machinery machinery = change_machinery(session);
  const Plan plan = TRY(pull::make_plan(machinery, *catalog, *client, endpoints, inventory, id, options));
  session.progress_done();
  json::Value document = document_of(plan);
  print_plan(session, plan);

  if (arguments.flag("--plan")) {
    set_targets(document, plan);
    set_refused(document, plan.refused);
    session.emit("mlxcache.pull/1", std::move(document));
    for (const publish::Target& target : plan.targets) session.say(fmt::format("For {} ({})", stores::adapter_of(target.root.kind).title, session.show_path(target.root.path)));
    warn_of_refusals(session, plan.refused);
    if (!plan.fits) session.warn("there is not enough space for it");
    return plan.refused.empty() ? Exit::ok : Exit::partly;
  }

  const std::int64_t began = session.world().clock.steady_ns();
  const pull::Pulled pulled = TRY(pull::run(machinery, *catalog, *client, plan, options, watcher_of(session)));
  session.progress_done();
  document.set("applied", true);
  set_targets(document, pulled.visible);
  set_refused(document, pulled.refused);
  document.set("downloaded_bytes", pulled.downloaded_bytes);
  document.set("shared_bytes", pulled.shared_bytes);
  json::Value transactions{json::Array{}};
  for (const change::Done& done : pulled.changes) transactions.push(done.transaction);
  document.set("transactions", std::move(transactions));
  session.emit("mlxcache.pull/1", std::move(document));
  print_pulled(session, pulled, session.world().clock.steady_ns() - began);
  warn_of_refusals(session, pulled.refused);
  return pulled.refused.empty() ? Exit::ok : Exit::partly;
}

constexpr Operand kOperands[] = {{"ID", Kind::text, true, false, "hf:org/repo[@revision][/file] or org/repo, ollama:name[:tag], https://…#sha256=…"}};
constexpr Option kOptions[] = {
    {"--to", "TOOLS", Kind::text, true, "also show it to these tools: names with commas between, or 'all' that have a store here"},
    {"--include", "GLOB", Kind::text, true, "only files of the repo that fit (may be given several times)"},
    {"--exclude", "GLOB", Kind::text, true, "no files of the repo that fit (may be given several times)"},
    {"--quant", "NAME", Kind::text, false, "of a repo of GGUF files this quantisation, such as Q4_K_M: all its parts, and the projector"},
    {"--plan", "", Kind::text, false, "show what is here and what would be downloaded; change nothing"},
    {"--copy", "", Kind::text, false, "where a tool's disk or rules allow no sharing, give it a copy"},
    kRootOption,
};
constexpr Example kExamples[] = {
    {"mlxcache pull mlx-community/Qwen3-0.6B-4bit", "into the Hugging Face cache, for mlx-lm and every hub client"},
    {"mlxcache pull hf:unsloth/Qwen3-0.6B-GGUF --quant Q4_K_M --to ollama,lm-studio", "one quantisation, for three tools, stored once"},
    {"mlxcache pull ollama:llama3.2:3b", "as Ollama itself would"},
    {"mlxcache pull hf:org/repo@refs/pr/1 --include '*.json' --plan", "look first"},
    {"mlxcache pull 'https://example.org/model.gguf#sha256=3fa9…' --to lm-studio", "one file, by its digest"},
};
constexpr ExitNote kExits[] = {
    {Exit::ok, "the model is there for every tool that was asked for"},
    {Exit::usage, "the id, a pattern or a tool's name makes no sense; or no file fits"},
    {Exit::partly, "it is there, but not for every tool; the reasons are listed"},
    {Exit::failed, "there is no such model, the server cannot be reached, or what it sent was wrong: no store shows anything of it"},
    {Exit::busy, "another mlxcache is at work, or the server asks for patience"},
    {Exit::permission, "the model is gated or private: the message says where to go"},
    {Exit::out_of_space, "it does not fit; nothing was downloaded"},
    {Exit::cancelled, "cancelled; a next run goes on where this one stopped"},
};

}  // namespace

const Command kPull{
    "pull",
    "get a model once, for every tool",
    Group::add,
    true,
    "Asks the hub or registry which files the model has, and with which digests. What any store on this machine has already is not downloaded: the new name "
    "shares its bytes. The rest comes in parallel ranges and is checked against its digest before any tool sees it. Then the model appears in the store "
    "that its id belongs to, and in the tools named with --to, in one step.\n\n"
    "A run that was cut short, even by kill or a power cut, goes on where it stopped. While it downloads for the Hugging Face cache it holds that cache's "
    "own locks: another client waits for it, and it for them.\n\n"
    "HF_ENDPOINT names another hub or mirror, which is then asked for everything. HF_TOKEN or the token of `hf auth login` goes to that hub alone. Proxies are taken "
    "from https_proxy, all_proxy and no_proxy. With HF_HUB_OFFLINE=1 nothing is asked.",
    kOperands,
    kOptions,
    kExamples,
    kExits,
    &run,
};

}  // namespace mlxcache::cli
