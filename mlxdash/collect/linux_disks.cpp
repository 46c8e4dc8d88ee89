// /proc/diskstats: sectors are of 512 bytes whatever the disk has. Partitions, loop and RAM disks are left out.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/text.h"
#include "mlxdash/sample/rate.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;
constexpr double kSector = 512;

class LinuxDisks final : public Looker {
 public:
  explicit LinuxDisks(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    const std::string text = TRY(read_kernel_file(fs_, path::join(root_, "proc/diskstats")));
    std::vector<Disk> disks;
    std::string_view rest = text;
    std::string_view line;
    while (take_line(rest, line)) {
      std::string_view words = line;
      take_word(words);
      take_word(words);
      const std::string name(take_word(words));
      if (name.empty() || !is_whole_disk(name)) continue;
      // reads, merged, sectors, ms; writes, merged, sectors, ms; in flight, ms busy
      std::vector<std::uint64_t> n;
      for (std::string_view word = take_word(words); !word.empty() && n.size() < 10; word = take_word(words)) n.push_back(to_integer(word).value_or(0));
      if (n.size() < 10) continue;
      Counters& counters = counters_[name];
      Disk disk;
      disk.name = name;
      disk.read = counters.read.per_second(static_cast<double>(n[2]) * kSector, now.steady_ns);
      disk.written = counters.written.per_second(static_cast<double>(n[6]) * kSector, now.steady_ns);
      disk.busy = counters.busy.per_second(static_cast<double>(n[9]) / 1000, now.steady_ns);
      if (disk.busy) *disk.busy = std::min(*disk.busy, 1.0);
      disks.push_back(std::move(disk));
    }
    return [disks = std::move(disks)](Snapshot& s) { s.disks = disks; };
  }

 private:
  struct Counters {
    Rate read, written, busy;
  };

  /// A disk has a folder of its own in /sys/block; a partition has none.
  bool is_whole_disk(const std::string& name) {
    if (name.starts_with("loop") || name.starts_with("ram") || name.starts_with("zram")) return false;
    const auto known = whole_.find(name);
    if (known != whole_.end()) return known->second;
    // '!' stands for '/' in names such as cciss/c0d0.
    std::string folder = name;
    std::ranges::replace(folder, '/', '!');
    const bool whole = fs_.stat(path::join(root_, "sys/block", folder), mlxbase::os::Follow::yes).has_value();
    whole_[name] = whole;
    return whole;
  }

  mlxbase::os::FileSystem& fs_;
  std::string root_;
  std::map<std::string, Counters> counters_;
  std::map<std::string, bool> whole_;
};

/// /proc/net/dev: "eth0: bytes packets errs drop fifo frame compressed multicast bytes …"
class LinuxNetworks final : public Looker {
 public:
  explicit LinuxNetworks(const Parts& parts) : fs_(parts.fs), root_(parts.root) {}

  mlxbase::Result<Apply> look(const Moment& now) override {
    const std::string text = TRY(read_kernel_file(fs_, path::join(root_, "proc/net/dev")));
    std::vector<Network> networks;
    std::string_view rest = text;
    std::string_view line;
    while (take_line(rest, line)) {
      const auto colon = line.find(':');
      if (colon == std::string_view::npos) continue;  // the two lines of headings
      const std::string name(trimmed(line.substr(0, colon)));
      std::string_view words = line.substr(colon + 1);
      std::vector<std::uint64_t> n;
      for (std::string_view word = take_word(words); !word.empty(); word = take_word(words)) n.push_back(to_integer(word).value_or(0));
      if (name == "lo" || n.size() < 16 || (n[0] == 0 && n[8] == 0)) continue;  // of itself, or never used
      auto& [received, sent] = counters_[name];
      Network network;
      network.name = name;
      network.received = received.per_second(static_cast<double>(n[0]), now.steady_ns);
      network.sent = sent.per_second(static_cast<double>(n[8]), now.steady_ns);
      networks.push_back(std::move(network));
    }
    return [networks = std::move(networks)](Snapshot& s) { s.networks = networks; };
  }

 private:
  mlxbase::os::FileSystem& fs_;
  std::string root_;
  std::map<std::string, std::pair<Rate, Rate>> counters_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_disks(const Parts& parts) { return std::make_unique<LinuxDisks>(parts); }
std::unique_ptr<Looker> make_linux_networks(const Parts& parts) { return std::make_unique<LinuxNetworks>(parts); }

}  // namespace mlxdash::collect
