// Processes that have model files mapped or open: a notebook, a script, a server of an unknown kind. /proc/PID/maps of large programs is long, so only
// processes with a good deal of file-backed memory are asked, and seldom.
#include <algorithm>
#include <string>
#include <vector>

#include "mlxbase/core/path.h"
#include "mlxdash/collect/makers.h"
#include "mlxdash/collect/processes.h"
#include "mlxdash/collect/text.h"

namespace mlxdash::collect {
namespace {

namespace path = mlxbase::path;
constexpr std::uint64_t kLeastMapped = std::uint64_t{16} << 20U;  // less file-backed memory than this holds no model
constexpr std::size_t kMostFiles = 8;

bool is_model(std::string_view file) {
  if (file.ends_with(".gguf") || file.ends_with(".safetensors")) return true;
  return file.find("/blobs/sha256-") != std::string_view::npos;  // Ollama's
}

class LinuxHolders final : public Looker {
 public:
  explicit LinuxHolders(const Parts& parts) : fs_(parts.fs), root_(parts.root), processes_(parts.fs, parts.root) {}

  mlxbase::Result<Apply> look(const Moment&) override {
    TRY(processes_.refresh());
    std::vector<Holder> holders;
    for (const auto& [pid, running] : processes_.all()) {
      const auto memory = processes_.memory(pid);
      if (!memory.file || *memory.file < kLeastMapped) continue;
      const auto maps = read_kernel_file(fs_, path::join(root_, "proc", std::to_string(pid), "maps"), std::size_t{8} << 20U);
      if (!maps) continue;
      Holder holder{.pid = pid, .name = running.name, .files = {}, .resident = memory.resident};
      std::string_view rest = *maps;
      std::string_view line;
      while (take_line(rest, line) && holder.files.size() < kMostFiles) {
        const auto slash = line.find('/');
        if (slash == std::string_view::npos) continue;
        const std::string_view file = line.substr(slash);
        if (is_model(file) && std::ranges::find(holder.files, file) == holder.files.end()) holder.files.emplace_back(file);
      }
      if (!holder.files.empty()) holders.push_back(std::move(holder));
    }
    return [holders = std::move(holders)](Snapshot& s) { s.holders = holders; };
  }

 private:
  mlxbase::os::FileSystem& fs_;
  std::string root_;
  ProcessTable processes_;
};

}  // namespace

std::unique_ptr<Looker> make_linux_holders(const Parts& parts) { return std::make_unique<LinuxHolders>(parts); }

}  // namespace mlxdash::collect
