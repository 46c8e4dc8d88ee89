#include "mlxcache/journal/record.h"

#include "mlxbase/core/bytes.h"

namespace mlxcache::journal {
namespace {

using mlxbase::ByteReader;
using mlxbase::ByteWriter;
using mlxbase::os::FileId;
using mlxbase::os::FileKind;
using mlxbase::os::Metadata;

enum class Type : std::uint8_t { begin = 1, intent, staged, settled, undo_begin, undo_intent, closed };

void put(ByteWriter& w, const FileId& id) {
  w.put(id.device);
  w.put(id.inode);
}
FileId get_id(ByteReader& r) {
  FileId id;
  id.device = r.get<std::uint64_t>();
  id.inode = r.get<std::uint64_t>();
  return id;
}

void put(ByteWriter& w, const Metadata& m) {
  w.put(m.mode);
  w.put(m.uid);
  w.put(m.gid);
  w.put(m.atime_ns);
  w.put(m.mtime_ns);
  w.put(m.flags);
  w.put(static_cast<std::uint32_t>(m.attributes.size()));
  for (const auto& a : m.attributes) {
    w.put_string(a.name);
    w.put_string(a.value);
  }
}
Metadata get_metadata(ByteReader& r) {
  Metadata m;
  m.mode = r.get<std::uint32_t>();
  m.uid = r.get<std::uint32_t>();
  m.gid = r.get<std::uint32_t>();
  m.atime_ns = r.get<std::int64_t>();
  m.mtime_ns = r.get<std::int64_t>();
  m.flags = r.get<std::uint32_t>();
  // A count is believed only as far as there are bytes for it: the loop ends with the payload.
  for (auto n = r.get<std::uint32_t>(); n > 0 && r.ok(); --n) {
    auto name = r.get_string();
    auto value = r.get_string();
    m.attributes.push_back({std::move(name), std::move(value)});
  }
  return m;
}

template <class E>
bool get_enum(ByteReader& r, E& out, E last) {
  const auto raw = r.get<std::uint8_t>();
  if (raw > static_cast<std::uint8_t>(last)) return false;
  out = static_cast<E>(raw);
  return true;
}

struct Encoder {
  ByteWriter& w;
  void type(Type t) { w.put(static_cast<std::uint8_t>(t)); }

  void operator()(const Begin& b) {
    type(Type::begin);
    w.put(b.time_ns);
    w.put_string(b.id);
    w.put_string(b.command);
    w.put_string(b.version);
  }
  void operator()(const Intent& i) {
    type(Type::intent);
    w.put(i.index);
    w.put(i.method);
    w.put(i.source_kind);
    w.put(i.target_kind);
    w.put(static_cast<std::uint8_t>(i.before.kind));
    put(w, i.source_id);
    w.put(i.size);
    w.put(i.bytes);
    w.put_string(i.source);
    w.put_string(i.target);
    w.put_string(i.staging);
    w.put_string(i.keep);
    w.put_string(i.source_root);
    w.put_string(i.target_root);
    w.put_string(i.digest);
    put(w, i.before.id);
    w.put(i.before.size);
    w.put(i.before.links);
    w.put(i.before.ctime_ns);
    put(w, i.before.metadata);
    w.put_string(i.before.link_text);
    w.put(static_cast<std::uint32_t>(i.before.other_names.size()));
    for (const auto& name : i.before.other_names) w.put_string(name);
    w.put(static_cast<std::uint32_t>(i.before.holes.size()));
    for (const auto& h : i.before.holes) {
      w.put(h.logical);
      w.put(h.length);
    }
  }
  void operator()(const Staged& s) {
    type(Type::staged);
    w.put(s.index);
    w.put(static_cast<std::uint8_t>(s.undo ? 1 : 0));
    put(w, s.new_id);
    w.put_string(s.digest);
  }
  void operator()(const Settled& s) {
    type(Type::settled);
    w.put(s.index);
    w.put(static_cast<std::uint8_t>(s.outcome));
    put(w, s.after_id);
    w.put(s.after_mtime_ns);
    w.put(s.after_size);
    w.put_string(s.digest);
    w.put_string(s.reason);
  }
  void operator()(const UndoBegin& u) {
    type(Type::undo_begin);
    w.put(u.time_ns);
  }
  void operator()(const UndoIntent& u) {
    type(Type::undo_intent);
    w.put(u.index);
    w.put(u.in_place);
    w.put(static_cast<std::uint8_t>(u.old_kind));
    put(w, u.old_id);
    w.put(u.old_size);
    w.put(u.old_mtime_ns);
    w.put_string(u.staging);
    w.put_string(u.keep);
  }
  void operator()(const Closed& c) {
    type(Type::closed);
    w.put(static_cast<std::uint8_t>(c.state));
    w.put(c.time_ns);
    w.put(c.actions);
    w.put(c.bytes_freed);
  }
};

std::optional<Record> decode_intent(ByteReader& r) {
  Intent i;
  i.index = r.get<std::uint32_t>();
  i.method = r.get<std::uint8_t>();
  i.source_kind = r.get<std::uint8_t>();
  i.target_kind = r.get<std::uint8_t>();
  if (!get_enum(r, i.before.kind, FileKind::unknown)) return std::nullopt;
  i.source_id = get_id(r);
  i.size = r.get<std::uint64_t>();
  i.bytes = r.get<std::uint64_t>();
  i.source = r.get_string();
  i.target = r.get_string();
  i.staging = r.get_string();
  i.keep = r.get_string();
  i.source_root = r.get_string();
  i.target_root = r.get_string();
  i.digest = r.get_string();
  i.before.id = get_id(r);
  i.before.size = r.get<std::uint64_t>();
  i.before.links = r.get<std::uint64_t>();
  i.before.ctime_ns = r.get<std::int64_t>();
  i.before.metadata = get_metadata(r);
  i.before.link_text = r.get_string();
  for (auto n = r.get<std::uint32_t>(); n > 0 && r.ok(); --n) i.before.other_names.push_back(r.get_string());
  for (auto n = r.get<std::uint32_t>(); n > 0 && r.ok(); --n) {
    mlxbase::os::Extent hole;
    hole.logical = r.get<std::uint64_t>();
    hole.length = r.get<std::uint64_t>();
    i.before.holes.push_back(hole);
  }
  return i;
}

std::optional<Record> decode_any(ByteReader& r) {
  switch (static_cast<Type>(r.get<std::uint8_t>())) {
    case Type::begin: {
      Begin b;
      b.time_ns = r.get<std::int64_t>();
      b.id = r.get_string();
      b.command = r.get_string();
      b.version = r.get_string();
      return b;
    }
    case Type::intent: return decode_intent(r);
    case Type::staged: {
      Staged s;
      s.index = r.get<std::uint32_t>();
      const auto undo = r.get<std::uint8_t>();
      if (undo > 1) return std::nullopt;
      s.undo = undo == 1;
      s.new_id = get_id(r);
      s.digest = r.get_string();
      return s;
    }
    case Type::settled: {
      Settled s;
      s.index = r.get<std::uint32_t>();
      if (!get_enum(r, s.outcome, Outcome::emptied)) return std::nullopt;
      s.after_id = get_id(r);
      s.after_mtime_ns = r.get<std::int64_t>();
      s.after_size = r.get<std::uint64_t>();
      s.digest = r.get_string();
      s.reason = r.get_string();
      return s;
    }
    case Type::undo_begin: return UndoBegin{.time_ns = r.get<std::int64_t>()};
    case Type::undo_intent: {
      UndoIntent u;
      u.index = r.get<std::uint32_t>();
      u.in_place = r.get<std::uint8_t>();
      if (u.in_place > 1 || !get_enum(r, u.old_kind, FileKind::unknown)) return std::nullopt;
      u.old_id = get_id(r);
      u.old_size = r.get<std::uint64_t>();
      u.old_mtime_ns = r.get<std::int64_t>();
      u.staging = r.get_string();
      u.keep = r.get_string();
      return u;
    }
    case Type::closed: {
      Closed c;
      if (!get_enum(r, c.state, State::partly_undone)) return std::nullopt;
      c.time_ns = r.get<std::int64_t>();
      c.actions = r.get<std::uint64_t>();
      c.bytes_freed = r.get<std::uint64_t>();
      return c;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::byte> encode(const Record& record) {
  ByteWriter w;
  std::visit(Encoder{w}, record);
  return w.take();
}

std::optional<Record> decode(std::span<const std::byte> payload) {
  ByteReader r(payload);
  auto record = decode_any(r);
  if (!r.ok() || r.left() != 0) return std::nullopt;
  return record;
}

}  // namespace mlxcache::journal
