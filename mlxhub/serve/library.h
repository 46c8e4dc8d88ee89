#pragma once
// The models of this machine by the names that people know, and those that are loaded.
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxbase/os/file_system.h"
#include "mlxhub/grammar/guide.h"
#include "mlxhub/model/model.h"
#include "mlxhub/schedule/scheduler.h"
#include "mlxhub/text/tool_calls.h"
#include "mlxstudio/mlxstudio.h"

namespace mlxhub::serve {

struct Found {
  std::string id;      // as its store names it; foreign text
  std::string store;   // "ollama"
  std::string format;  // "gguf", "safetensors"
  std::string path;    // what model::open opens
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  // since 1970
  std::string digest;            // SHA-256 of the weights, if the store claims one
};

/// Every model of every store that has a form we read; whether its architecture is built shows when it is opened. Errors: those of a scan.
mlxbase::Result<std::vector<Found>> find_models(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment);
/// The model of that name, or the file or folder. Errors: not_found (with names that are near), invalid (several models have the name).
mlxbase::Result<Found> find_model(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment, const std::string& name);

/// A model that answers.
struct Loaded {
  std::string id;
  Found found;               // where it came from; empty if it was put there by a test
  std::int64_t created = 0;  // seconds since 1970, when it was loaded
  std::unique_ptr<model::Model> model;             // null with a scripted engine
  const text::Tokenizer* tokenizer = nullptr;
  std::unique_ptr<mlxstudio::jinja::Template> chat;  // null: the model has no chat template
  std::string chat_error;                          // why, if it has one that does not compile
  bool chat_takes_tools = false;
  text::ToolSyntax tool_syntax;                    // as the chat template writes calls
  std::string bos, eos;
  std::vector<text::TokenId> ends;
  std::unique_ptr<schedule::Scheduler> scheduler;  // ends first
  std::uint64_t memory_bytes = 0;                  // that it was counted with: weights, keys and values of some tokens
  bool pinned = false;                             // never goes by itself
  std::atomic<std::int64_t> keep_ns{-1};           // after the last request; negative: for ever
  std::atomic<std::int64_t> used_ns{0};            // steady clock, of the last request

  /// Made when it is first needed.
  std::shared_ptr<const grammar::Vocabulary> vocabulary();

 private:
  std::once_flag vocabulary_once_;
  std::shared_ptr<const grammar::Vocabulary> vocabulary_;
};

struct LibraryOptions {
  unsigned threads = 0;
  std::int64_t keep_seconds = 1800;  // a model goes when nobody asked it for so long; negative: never
  std::optional<std::uint64_t> memory_bytes;  // of all models together, with their keys and values; not said: what the machine has left
  schedule::Options schedule;
};

class Library {
 public:
  Library(mlxbase::os::FileSystem& fs, const mlxbase::os::Environment& environment, const LibraryOptions& options);
  ~Library();
  /// Loads it if it is not; models that nobody asks go, the longest unused first, if there is no room. `pinned`: it never goes by itself.
  /// Errors: those of find_model and model::open; out_of_memory, with the sum.
  mlxbase::Result<std::shared_ptr<Loaded>> get(const std::string& name, bool pinned = false);
  /// Null if it is not loaded.
  std::shared_ptr<Loaded> if_loaded(const std::string& name) const;
  /// For tests: one that is there without a file.
  void put(std::shared_ptr<Loaded> loaded);
  std::vector<std::shared_ptr<Loaded>> loaded() const;
  mlxbase::Result<std::vector<Found>> found() const { return find_models(fs_, environment_); }
  mlxbase::Result<Found> find(const std::string& name) const { return find_model(fs_, environment_, name); }
  mlxbase::os::FileSystem& fs() const { return fs_; }
  /// It goes once its requests have ended; who asks for it meanwhile gets a fresh one. False: it is not loaded.
  bool let_go(const std::string& name);
  /// Ends what runs; no model answers any more.
  void stop();

 private:
  struct Entry {
    std::shared_ptr<Loaded> loaded;
    std::set<std::string> names;
  };
  std::shared_ptr<Loaded> known(const std::string& name) const;
  std::shared_ptr<Loaded> intact(const std::string& name);
  /// Bytes that are left besides it.
  mlxbase::Result<std::uint64_t> make_room(const Loaded& loaded);
  void sweep();

  mlxbase::os::FileSystem& fs_;
  const mlxbase::os::Environment& environment_;
  LibraryOptions options_;
  mutable std::mutex mutex_;
  std::mutex loading_;
  std::condition_variable stopping_;
  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<Loaded>> leaving_;  // until nobody holds them
  bool stopped_ = false;
  std::thread sweeper_;  // a model must not end on its own scheduler's thread
};

}  // namespace mlxhub::serve
