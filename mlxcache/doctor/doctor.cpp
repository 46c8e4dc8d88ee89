#include "mlxcache/doctor/doctor.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "mlxbase/core/path.h"
#include "mlxbase/core/units.h"

namespace mlxcache::doctor {
namespace {

namespace os = mlxbase::os;

std::string platform_text() {
  utsname name{};
  if (::uname(&name) != 0) return "unknown";
  return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

Way way(std::string_view name, std::optional<bool> possible, std::string why_not, const os::VolumeFacts& facts) {
  Way w{.name = name, .possible = possible, .why = {}};
  if (facts.read_only) {
    w.possible = false;
    w.why = "the volume is read-only";
  } else if (!possible) {
    w.why = facts.why_not_probed.empty() ? "could not be tried" : facts.why_not_probed;
  } else if (!*possible) {
    w.why = std::move(why_not);
  }
  return w;
}

bool can_write(const os::FileStat& stat, std::uint32_t uid) { return uid == 0 || stat.uid == uid; }

Store store_of(const catalog::Listing& listing, std::uint32_t uid) {
  Store store{.root = listing.root, .files = 0, .foreign_owned = 0, .caution = stores::adapter_of(listing.root.kind).caution, .problems = listing.problems};
  for (const catalog::Entry& entry : listing.entries) {
    if (entry.stat.kind != os::FileKind::regular) continue;
    ++store.files;
    if (entry.role == catalog::Role::payload && !can_write(entry.stat, uid)) ++store.foreign_owned;
  }
  return store;
}

void judge_volumes(const Report& report, std::vector<Finding>& findings) {
  for (const Volume& v : report.volumes) {
    const std::string name = v.facts.mount_point.empty() ? v.roots.front() : v.facts.mount_point;
    if (v.facts.read_only) {
      findings.push_back({Weight::note, fmt::format("{} is read-only: its stores can be read and verified, but nothing there can share", name), ""});
    }
    if (v.facts.network) {
      findings.push_back({Weight::note, fmt::format("{} is a network volume: locks and file identities may not be reliable there", name),
                          "run mlxcache on the machine that owns the disk"});
    }
    if (v.facts.total_bytes > 0 && v.facts.free_bytes < v.facts.total_bytes / 50) {
      findings.push_back({Weight::note, fmt::format("{} has only {} free; undo needs room for separate copies", name, mlxbase::format_bytes(v.facts.free_bytes)), ""});
    }
  }
}

void judge_stores(const Report& report, std::vector<Finding>& findings) {
  for (const Store& s : report.stores) {
    if (!s.problems.empty()) {
      const bool denied = std::any_of(s.problems.begin(), s.problems.end(),
                                      [](const catalog::Problem& p) { return p.error.code == mlxbase::Code::permission; });
      findings.push_back({Weight::hazard, fmt::format("{} of {} could not be read", s.problems.size() == 1 ? "1 path" : fmt::format("{} paths", s.problems.size()), s.root.path),
                          denied ? "run mlxcache as the user who owns this store to see all of it" : "the list is above"});
    }
    if (s.foreign_owned > 0) {
      findings.push_back({Weight::note, fmt::format("{} of {} belong to another user: other stores may share their blocks, but they themselves stay as they are",
                                                    s.foreign_owned == 1 ? "1 file" : fmt::format("{} files", s.foreign_owned), s.root.path),
                          ""});
    }
  }
}

/// Each program and version once, however many environments have it.
void judge_clients(const Report& report, std::vector<Finding>& findings) {
  std::map<std::string, std::size_t> seen;
  for (const Client& c : report.clients) {
    if (!c.hazard.empty()) ++seen[fmt::format("{} {}: {}", c.program, c.version, c.hazard)];
  }
  for (const auto& [what, times] : seen) {
    findings.push_back({Weight::hazard, times > 1 ? fmt::format("{} (in {} places)", what, times) : what, ""});
  }
}

}  // namespace

std::vector<Way> ways_of(const os::VolumeFacts& facts) {
  std::optional<bool> reflink = facts.clone;
  if (facts.dedupe && *facts.dedupe) reflink = true;
  if (!reflink) reflink = facts.dedupe;
  const std::string type = facts.type.empty() ? "this file system" : facts.type;
  return {
      way("reflink", reflink, fmt::format("{} cannot share blocks between files (btrfs, XFS and APFS can)", type), facts),
      way("hardlink", facts.hard_links, fmt::format("{} has no hard links", type), facts),
      way("symlink", facts.symlinks, fmt::format("{} has no symlinks", type), facts),
  };
}

Report examine(const stores::Context& context, const catalog::Inventory& inventory) {
  Report report;
  report.platform = platform_text();
  std::map<std::uint64_t, std::size_t> by_device;
  for (const catalog::Listing& listing : inventory.listings) {
    report.stores.push_back(store_of(listing, context.environment.uid));
    const auto stat = context.fs.stat(listing.root.path, os::Follow::yes);
    if (!stat) continue;
    const auto known = by_device.find(stat->id.device);
    if (known != by_device.end()) {
      Volume& volume = report.volumes[known->second];
      volume.roots.push_back(listing.root.path);
      // A root that may not be written to says nothing; another on the same volume may.
      if (!volume.facts.why_not_probed.empty()) {
        if (auto again = context.fs.volume(listing.root.path, true); again && again->why_not_probed.empty()) {
          volume.facts = std::move(*again);
          volume.ways = ways_of(volume.facts);
        }
      }
      continue;
    }
    auto facts = context.fs.volume(listing.root.path, true);
    if (!facts) {
      report.findings.push_back({Weight::hazard, fmt::format("the volume of {} could not be examined: {}", listing.root.path, facts.error().message), ""});
      continue;
    }
    by_device.emplace(stat->id.device, report.volumes.size());
    report.volumes.push_back({.facts = *facts, .roots = {listing.root.path}, .ways = ways_of(*facts)});
  }
  report.clients = find_clients(context);
  report.servers = find_servers(context);
  judge_volumes(report, report.findings);
  judge_stores(report, report.findings);
  judge_clients(report, report.findings);
  std::stable_sort(report.findings.begin(), report.findings.end(), [](const Finding& a, const Finding& b) { return a.weight > b.weight; });
  return report;
}

}  // namespace mlxcache::doctor
