// The volumes that models lie on or could fill: of the home folder, the system, and the folders that tools were told to use.
#include <set>
#include <string>
#include <vector>

#include "mlxdash/collect/makers.h"

namespace mlxdash::collect {
namespace {

class Volumes final : public Looker {
 public:
  explicit Volumes(const Parts& parts) : fs_(parts.fs) {
    const auto& env = parts.environment;
    places_ = {env.root, env.home};
    for (const char* name : {"HF_HOME", "HF_HUB_CACHE", "OLLAMA_MODELS", "LLAMA_CACHE"}) {
      if (const auto value = env.get_nonempty(name)) places_.push_back(env.absolute(env.expand(*value)));
    }
    if (env.platform == mlxbase::os::Platform::macos) places_.push_back("/System/Volumes/Data");  // where a person's files lie
  }

  mlxbase::Result<Apply> look(const Moment&) override {
    std::vector<Volume> volumes;
    std::set<std::uint64_t> seen;
    for (const std::string& place : places_) {
      const auto facts = fs_.volume(place, /*probe=*/false);
      if (!facts || !seen.insert(facts->device).second) continue;
      Volume v;
      v.mount = facts->mount_point.empty() ? place : facts->mount_point;
      v.type = facts->type;
      v.total = facts->total_bytes;
      v.free = facts->free_bytes;
      volumes.push_back(std::move(v));
    }
    return [volumes = std::move(volumes)](Snapshot& s) { s.volumes = volumes; };
  }

 private:
  mlxbase::os::FileSystem& fs_;
  std::vector<std::string> places_;
};

}  // namespace

std::unique_ptr<Looker> make_volumes(const Parts& parts) { return std::make_unique<Volumes>(parts); }

}  // namespace mlxdash::collect
