#pragma once
// Asks a server that runs: what it has loaded, to let a model go, to chat.
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::cli {

class Remote {
 public:
  /// `key`: empty, or what the server asks for. Errors: invalid (no URL).
  static mlxbase::Result<std::unique_ptr<Remote>> at(const std::string& url, const std::string& key);
  virtual ~Remote() = default;

  /// Errors: io (it does not answer), invalid (it refuses; with its words).
  virtual mlxbase::Result<mlxbase::json::Value> loaded() = 0;
  virtual mlxbase::Status stop(const std::string& model) = 0;
  /// Text comes in pieces. Returns all of it.
  virtual mlxbase::Result<std::string> chat(const std::string& model, const mlxbase::json::Value& messages, const std::function<void(std::string_view)>& piece) = 0;
};

}  // namespace mlxhub::cli
