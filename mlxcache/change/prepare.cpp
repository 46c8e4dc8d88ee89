#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/change/bytes.h"
#include "mlxcache/change/work.h"

namespace mlxcache::change {

using catalog::fingerprint_of;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::printable;
using mlxbase::Result;
using mlxbase::Status;
namespace os = mlxbase::os;
namespace path = mlxbase::path;

namespace {

constexpr std::uint64_t kMaxText = std::uint64_t{64} << 20U;  // registries and tokenizers are smaller

bool has_text(How how) { return how == How::text || how == How::link_text; }
bool is_link(How how) { return how == How::link_text || how == How::symlink; }

std::string digest_of(const std::string& content) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(content));
  return hasher.finish().to_string();
}

}  // namespace

Work Preparation::begin(const Change& change) const {
  Work w;
  w.change = change;
  w.intent.method = static_cast<std::uint8_t>(change.kind);
  w.intent.target = change.path;
  w.intent.target_root = change.root.path;
  w.intent.target_kind = static_cast<std::uint8_t>(change.root.kind);
  w.intent.bytes = change.bytes;
  w.intent.index = static_cast<std::uint32_t>(works_.size());
  return w;
}

Status Preparation::add(const Change& change) {
  TRY(check_parents(fs_, change.root.path, change.path));
  const auto now = TRY(look(fs_, change.path));
  switch (change.kind) {
    case Kind::make_folder: return add_folders(change, change.path);
    case Kind::place: return place(change, now);
    case Kind::replace: return replace(change, now);
    case Kind::remove: return remove(change, now);
  }
  return fail(Code::invalid, "no such kind of change");
}

/// Whatever is missing above `dir`, and `dir`.
Status Preparation::add_folders(const Change& change, const std::string& dir) {
  if (folders_.contains(dir)) return {};
  const auto now = fs_.stat(dir, os::Follow::yes);
  if (now && now->kind == os::FileKind::directory) {
    if (dir == change.root.path || !path::is_within(change.root.path, dir)) return {};  // the root may be a symlink
    if (TRY(fs_.stat(dir)).kind == os::FileKind::directory) return {};
  }
  if (TRY(look(fs_, dir))) return fail(Code::changed, fmt::format("{} is there and no folder", printable(dir)));
  TRY(add_folders(change, folder_of(dir)));
  return add_folder(change, dir);
}

Status Preparation::add_folder(const Change& change, const std::string& dir) {
  Change made = change;
  made.kind = Kind::make_folder;
  made.path = dir;
  made.bytes = 0;
  Work w = begin(made);
  w.intent.before.kind = os::FileKind::directory;
  folders_.insert(dir);
  works_.push_back(std::move(w));
  return {};
}

/// Whether the name has the very bytes already that it shall get.
Result<bool> Preparation::holds_already(const Change& change, const os::FileStat& now) {
  for (const How how : change.ways) {
    if (is_link(how)) {
      if (now.kind == os::FileKind::symlink && TRY(fs_.read_link(change.path)) == (how == How::symlink ? change.source : change.content)) return true;
      continue;
    }
    if (now.kind != os::FileKind::regular) continue;
    if (how == How::text) {
      if (now.size != change.content.size() || now.size > kMaxText) continue;
      if (TRY(os::read_small_file(fs_, change.path, kMaxText, os::Follow::no)) == change.content) return true;
      continue;
    }
    auto source = TRY(fs_.open_read(change.source));
    const auto from = TRY(source->stat());
    if (from.id == now.id) return true;
    if (from.size != now.size) continue;
    auto target = TRY(fs_.open_read(change.path));
    return TRY(compare(*source, *target, machinery_.cancel, mlxbase::no_progress())).equal;
  }
  return false;
}

Status Preparation::check_source(const Change& change, journal::Intent& intent) {
  if (std::ranges::all_of(change.ways, has_text)) return {};
  if (path::normal(change.source) != change.source || !path::is_absolute(change.source)) return fail(Code::invalid, fmt::format("{} is not a plain absolute path", printable(change.source)));
  const auto source = TRY(fs_.stat(change.source));
  if (source.kind != os::FileKind::regular) return fail(Code::changed, fmt::format("{} is a {}", printable(change.source), to_string(source.kind)));
  if (change.source_state && !(fingerprint_of(source) == *change.source_state)) return fail(Code::changed, fmt::format("{} changed since it was looked at", printable(change.source)));
  if (source.dataless) return fail(Code::unsupported, fmt::format("{} is a placeholder whose bytes are in a cloud", printable(change.source)));
  intent.source = change.source;
  intent.source_id = source.id;
  intent.size = source.size;
  return {};
}

Status Preparation::name_staging(Work& work) {
  work.intent.staging = TRY(places_.staging(work.change.root, work.change.path, false));
  return {};
}

Status Preparation::place(const Change& change, const Seen& now) {
  if (change.ways.empty()) return fail(Code::invalid, fmt::format("no way is given to make {}", printable(change.path)));
  if (now) {
    if (TRY(holds_already(change, *now))) return {};
    return fail(Code::changed, fmt::format("{} is there already, with other content", printable(change.path)));
  }
  Work probe = begin(change);
  TRY(check_source(change, probe.intent));
  TRY(add_folders(change, folder_of(change.path)));
  Work w = begin(change);  // behind its folders
  w.intent.source = probe.intent.source;
  w.intent.source_id = probe.intent.source_id;
  w.intent.size = probe.intent.size;
  TRY(name_staging(w));
  const How how = change.ways.front();
  w.intent.source_kind = static_cast<std::uint8_t>(how);
  if (how == How::text) {
    w.intent.size = change.content.size();
    w.intent.digest = digest_of(change.content);
  } else if (how == How::link_text) {
    w.intent.size = change.content.size();
  } else if (change.source_digest) {
    w.intent.digest = change.source_digest->to_string();
  }
  w.intent.before.kind = is_link(how) ? os::FileKind::symlink : os::FileKind::regular;
  w.intent.before.metadata.mode = change.mode;
  w.intent.before.metadata.mtime_ns = change.mtime_ns.value_or(machinery_.clock.wall_ns());
  works_.push_back(std::move(w));
  return {};
}

Status Preparation::replace(const Change& change, const Seen& now) {
  Change text = change;
  // A file of ours that was made whole on this volume (a mended one) takes the place; all else is a text.
  const bool adopts = change.ways == std::vector{How::adopt};
  if (!adopts) text.ways = {How::text};
  if (adopts && !change.source_digest) return fail(Code::invalid, "a file that takes another's place needs its digest");
  if (!adopts && now && TRY(holds_already(text, *now))) return {};
  if (!now && !adopts) {
    if (change.expected) return fail(Code::changed, fmt::format("{} is gone", printable(change.path)));
    text.kind = Kind::place;
    return place(text, now);
  }
  if (!now) return fail(Code::changed, fmt::format("{} is gone", printable(change.path)));
  if (now->kind != os::FileKind::regular || !change.expected || !(fingerprint_of(*now) == *change.expected)) {
    return fail(Code::changed, fmt::format("{} changed since it was looked at", printable(change.path)));
  }
  if (now->immutable) return fail(Code::permission, fmt::format("{} is marked immutable", printable(change.path)));
  Work w = begin(text);
  TRY(name_staging(w));
  w.intent.keep = TRY(places_.staging(change.root, change.path, false));
  w.intent.source = TRY(places_.trash(change.root, change.path, w.intent.index, false));
  w.intent.source_kind = static_cast<std::uint8_t>(How::text);
  w.intent.size = change.content.size();
  if (adopts) w.intent.size = TRY(fs_.stat(change.source)).size;
  w.intent.digest = adopts ? change.source_digest->to_string() : digest_of(change.content);
  w.intent.before = {.kind = now->kind, .id = now->id, .size = now->size, .links = now->links, .ctime_ns = now->ctime_ns,
                     .metadata = {}, .link_text = {}, .other_names = {}, .holes = {}};
  w.intent.before.metadata = TRY(fs_.metadata(change.path));
  works_.push_back(std::move(w));
  return {};
}

Status Preparation::remove(const Change& change, const Seen& now) {
  if (!now) return {};  // gone already
  const bool folder = now->kind == os::FileKind::directory;
  if (!folder && now->kind != os::FileKind::regular && now->kind != os::FileKind::symlink) {
    return fail(Code::invalid, fmt::format("{} is a {}", printable(change.path), to_string(now->kind)));
  }
  if (!folder && change.expected && !(fingerprint_of(*now) == *change.expected)) return fail(Code::changed, fmt::format("{} changed since it was looked at", printable(change.path)));
  if (now->immutable) return fail(Code::permission, fmt::format("{} is marked immutable", printable(change.path)));
  Work w = begin(change);
  if (!folder) {
    TRY(name_staging(w));
    w.intent.source = TRY(places_.trash(change.root, change.path, w.intent.index, false));
  }
  w.intent.size = now->size;
  w.intent.before = {.kind = now->kind, .id = now->id, .size = now->size, .links = now->links, .ctime_ns = now->ctime_ns,
                     .metadata = {}, .link_text = {}, .other_names = {}, .holes = {}};
  w.intent.before.metadata = TRY(fs_.metadata(change.path));
  if (now->kind == os::FileKind::symlink) w.intent.before.link_text = TRY(fs_.read_link(change.path));
  works_.push_back(std::move(w));
  return {};
}

}  // namespace mlxcache::change
