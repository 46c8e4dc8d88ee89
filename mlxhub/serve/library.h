#pragma once
// The models of this machine by the names that people know, and those that are loaded.
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxhub/model/model.h"
#include "mlxhub/schedule/scheduler.h"
#include "mlxstudio/mlxstudio.h"

namespace mlxhub::serve {

struct Found {
  std::string id;      // as its store names it; foreign text
  std::string store;   // "ollama"
  std::string format;  // "gguf", "safetensors"
  std::string path;    // what model::open opens
  std::uint64_t bytes = 0;
};

/// Every model of every store that has a form we read; whether its architecture is built shows when it is opened. Errors: those of a scan.
mlxbase::Result<std::vector<Found>> find_models(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment);
/// The model of that name, or the file or folder. Errors: not_found (with names that are near), invalid (several models have the name).
mlxbase::Result<Found> find_model(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment, const std::string& name);

/// A model that answers.
struct Loaded {
  std::string id;
  std::int64_t created = 0;  // seconds since 1970, when it was loaded
  std::unique_ptr<model::Model> model;             // null with a scripted engine
  const text::Tokenizer* tokenizer = nullptr;
  std::unique_ptr<mlxstudio::jinja::Template> chat;  // null: the model has no chat template
  std::string chat_error;                          // why, if it has one that does not compile
  std::string bos, eos;
  std::vector<text::TokenId> ends;
  std::unique_ptr<schedule::Scheduler> scheduler;  // ends first
};

struct LibraryOptions {
  unsigned threads = 0;
  schedule::Options schedule;
};

class Library {
 public:
  Library(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment, const LibraryOptions& options) : fs_(fs), environment_(environment), options_(options) {}
  /// Loads it if it is not. Errors: those of find_model and model::open.
  mlxbase::Result<std::shared_ptr<Loaded>> get(const std::string& name);
  /// For tests: one that is there without a file.
  void put(std::shared_ptr<Loaded> loaded);
  std::vector<std::shared_ptr<Loaded>> loaded() const;
  mlxbase::Result<std::vector<Found>> found() const { return find_models(fs_, environment_); }
  /// Ends what runs; no model answers any more.
  void stop();

 private:
  mlxbase::os::FileSystem& fs_;
  const mlxbase::os::Environment& environment_;
  LibraryOptions options_;
  mutable std::mutex mutex_, loading_;
  std::map<std::string, std::shared_ptr<Loaded>> by_name_;
  bool stopped_ = false;
};

}  // namespace mlxhub::serve
