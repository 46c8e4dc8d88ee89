#pragma once
// Model servers that run right now. They may hold models open or prune their store when they restart.
#include <cstdint>
#include <string>
#include <vector>

#include "mlxcache/stores/adapter.h"

namespace mlxcache::doctor {

struct Server {
  std::string program;
  std::int64_t pid = 0;
};

struct Servers {
  bool known = false;  // false: this system shows no process list that could be read
  std::vector<Server> running;
};

/// By the names of this user's and, where visible, other processes (/proc).
Servers find_servers(const stores::Context& context);

}  // namespace mlxcache::doctor
