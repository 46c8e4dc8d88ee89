#include "mlxcache/verify/select.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/printable.h"

namespace mlxcache::verify {
namespace {

using catalog::Entry;
using catalog::Inventory;
using catalog::NameRef;
using catalog::Role;
using mlxbase::Algorithm;
using mlxbase::os::FileId;

using ById = std::map<FileId, std::uint32_t>;

ById inodes_by_id(const Inventory& inventory) {
  ById out;
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) out.emplace(inventory.inodes[i].stat.id, i);
  return out;
}

bool is_link(const Entry& entry) { return entry.role == Role::link || !entry.link_target.empty(); }

/// The inode behind an entry: its own, or that of a link's target.
std::optional<std::uint32_t> inode_of(const stores::Context& context, const ById& ids, const Entry& entry) {
  FileId id = entry.stat.id;
  if (is_link(entry)) {
    const auto stat = context.fs.stat(entry.path, mlxbase::os::Follow::yes);
    if (!stat) return std::nullopt;
    id = stat->id;
  }
  const auto it = ids.find(id);
  return it == ids.end() ? std::nullopt : std::optional(it->second);
}

struct Chosen {
  bool all = true;
  std::unordered_map<std::uint32_t, NameRef> inodes;  // with the name through which the model has it
};

mlxbase::Result<Chosen> choose(const stores::Context& context, const Inventory& inventory, const ById& ids, const std::vector<std::string>& models) {
  Chosen chosen;
  chosen.all = models.empty();
  for (const std::string& wanted : models) {
    bool known = false;
    for (std::uint32_t s = 0; s < inventory.listings.size(); ++s) {
      const catalog::Listing& listing = inventory.listings[s];
      for (const catalog::Model& model : listing.models) {
        if (model.id != wanted) continue;
        known = true;
        for (const std::uint32_t e : model.entries) {
          if (const auto inode = inode_of(context, ids, listing.entries[e])) chosen.inodes.emplace(*inode, NameRef{s, e});
        }
      }
    }
    if (!known) return mlxbase::fail(mlxbase::Code::invalid, fmt::format("no store has a model named {}; `mlxcache ls` shows the names", mlxbase::printable(wanted)));
  }
  return chosen;
}

void add_claim(Subject& subject, const Entry& entry, NameRef name) {
  if (!entry.claim) return;
  if (!can_measure(entry.claim->algorithm())) {
    subject.xet_only = subject.claims.empty();
    return;
  }
  subject.xet_only = false;
  for (const Claim& claim : subject.claims) {
    if (claim.digest == *entry.claim) return;
  }
  subject.claims.push_back({*entry.claim, name});
}

/// Better to speak of: a name that claims, then a payload, then any.
int rank(const Entry& entry) { return entry.claim ? 0 : entry.role == Role::payload ? 1 : 2; }

}  // namespace

Container container_of(std::string_view file_name) {
  const std::string_view ending = mlxbase::path::extension(file_name);
  if (ending == ".safetensors" || ending == ".sft") return Container::safetensors;
  if (ending == ".gguf") return Container::gguf;
  return Container::none;
}

bool can_measure(Algorithm algorithm) { return algorithm != Algorithm::none && algorithm != Algorithm::xet; }

mlxbase::Result<std::vector<Subject>> select(const stores::Context& context, const Inventory& inventory, const std::vector<std::string>& models,
                                             bool follow_links_for_containers) {
  const ById ids = inodes_by_id(inventory);
  const Chosen chosen = TRY(choose(context, inventory, ids, models));

  std::vector<Subject> out;
  std::unordered_map<std::uint32_t, std::size_t> place;
  for (std::uint32_t i = 0; i < inventory.inodes.size(); ++i) {
    const catalog::Inode& inode = inventory.inodes[i];
    const auto through = chosen.inodes.find(i);
    if (!chosen.all && through == chosen.inodes.end()) continue;
    Subject subject;
    subject.inode = i;
    bool wanted = false;
    int best = 3;
    for (const NameRef name : inode.names) {
      const Entry& entry = inventory.entry(name);
      if (entry.role == Role::partial || entry.role == Role::foreign) {
        wanted = false;  // somebody may be writing it under that name
        break;
      }
      wanted = wanted || entry.role == Role::payload || entry.role == Role::orphan || entry.claim.has_value();
      add_claim(subject, entry, name);
      if (const Container container = container_of(entry.path); container != Container::none) subject.container = container;
      if (rank(entry) < best) {
        best = rank(entry);
        subject.name = name;
      }
    }
    if (!wanted) continue;
    // In the chosen model's words, if its entry is a name of the file and not a link to it.
    if (through != chosen.inodes.end() && !is_link(inventory.entry(through->second))) subject.name = through->second;
    place.emplace(i, out.size());
    out.push_back(std::move(subject));
  }

  if (follow_links_for_containers) {  // blobs carry no ending; the links to them do
    for (const catalog::Listing& listing : inventory.listings) {
      for (const Entry& entry : listing.entries) {
        const Container container = is_link(entry) ? container_of(entry.path) : Container::none;
        if (container == Container::none) continue;
        const auto inode = inode_of(context, ids, entry);
        const auto at = inode ? place.find(*inode) : place.end();
        if (at != place.end()) out[at->second].container = container;
      }
    }
  }
  return out;
}

}  // namespace mlxcache::verify
