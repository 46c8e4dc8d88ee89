#pragma once
// What each volume can do, asked once a device for a whole plan.
#include <map>
#include <string>

#include "mlxbase/os/file_system.h"

namespace mlxcache::dedup {

class Volumes {
 public:
  explicit Volumes(mlxbase::os::FileSystem& fs) : fs_(fs) {}
  /// Facts of the volume `device`, probed inside one of the folders offered for it (a store's root; the first that lets us write).
  const mlxbase::os::VolumeFacts& facts(std::uint64_t device, const std::string& folder);
  /// Files of one pool can share extents: the device, or the pool that several devices belong to.
  std::string pool(std::uint64_t device, const std::string& folder);

 private:
  struct Known {
    mlxbase::os::VolumeFacts facts;
    bool probed = false;
  };
  mlxbase::os::FileSystem& fs_;
  std::map<std::uint64_t, Known> known_;
};

}  // namespace mlxcache::dedup
