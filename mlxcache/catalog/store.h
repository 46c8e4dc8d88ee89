#pragma once
// The words every room of MLXCache shares: store, root, entry, model, and which links an entry tolerates.
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/catalog/rare.h"

namespace mlxcache::catalog {

using mlxbase::Digest;
using mlxbase::Error;

/// One a tool. The names (stores::adapter_of(kind).name) are public: `--store ollama`, JSON `kind`.
enum class StoreKind : std::uint8_t {
  hf_hub,         // Hugging Face hub cache, 0.x to 2.x
  hf_local_dir,   // a folder filled by `hf download --local-dir`, WhisperKit, Swift HubApi
  hf_xet,         // the xet chunk cache: no whole files, sizes only
  ollama,
  lm_studio,
  llama_cpp,      // both layouts
  mlx,            // oMLX and other folders of MLX models
  docker_model_runner,
  ramalama,
  modelscope,
  localai,
  text_generation_webui,
  gpt4all,
  jan,
  foundry_local,
  comfyui,
  automatic1111,  // and Forge
  invokeai,
  draw_things,
  openai_whisper,
  whisper_cpp,
  torch_hub,
  keras,
  kagglehub,
  tf_hub,
  loose,          // a folder given by --root
};
inline constexpr std::size_t kStoreKinds = 26;

/// A folder where a tool keeps models.
struct Root {
  StoreKind kind{};
  std::string path;    // absolute, lexically normal; may itself be a symlink
  std::string origin;  // how it was found: "HF_HOME", "~/.lmstudio/settings.json", "default", "--root"
  friend bool operator==(const Root&, const Root&) = default;
};

enum class Role : std::uint8_t {
  payload,   // weights and whatever else of a model may be shared
  metadata,  // the tool's own small files (manifests, refs, configs, sidecars): counted, never shared
  link,      // a symlink that is part of the store's layout and resolves
  broken,    // a symlink whose target is missing
  partial,   // a running or abandoned download: never touched
  orphan,    // a payload that no model of the store refers to: counted, may be shared from, reported
  lock,      // lock files, counted only
  foreign,   // not the tool's: a FIFO, a device, a stray folder entry; reported, never touched
};
std::string_view to_string(Role role);

/// Ways of sharing, best first. A set, since each store and entry tolerates some.
struct Links {
  bool reflink = false;
  bool hard_link = false;
  bool symlink = false;
  friend bool operator==(const Links&, const Links&) = default;
};
constexpr Links operator&(Links a, Links b) { return {a.reflink && b.reflink, a.hard_link && b.hard_link, a.symlink && b.symlink}; }
inline constexpr Links kNoLinks{};
inline constexpr Links kReflinkOnly{.reflink = true};
inline constexpr Links kReflinkOrHardLink{.reflink = true, .hard_link = true};
inline constexpr Links kAnyLink{.reflink = true, .hard_link = true, .symlink = true};

/// One name on disk. There may be millions, and scans hold them all: what few have takes little room in the others.
struct Entry {
  std::string path;             // absolute
  mlxbase::os::FileStat stat;   // of the name itself, never of a link's target
  RareDigest claim;             // what the store says of the bytes: narrows, never proves
  RareText link_target;         // of a symlink: its text
  RareText links_reason;        // why fewer links than the store's row allows: "ONNX external data"
  std::int32_t model = -1;      // index into Listing::models of the (first) model it belongs to; -1: none
  Role role = Role::payload;
  bool claim_checked_by_tool = false;  // the tool verified it when it wrote the file (Ollama pull): still only a claim
  Links links;                  // ways in which this name's bytes may be replaced by shared ones
};
/// None moves while others are added, and none is copied for it.
using Entries = std::deque<Entry>;

/// A model as its tool names it.
struct Model {
  std::string id;         // "org/name", "llama3.2:3b", "publisher/model", a folder or file name; foreign text: print it printable()
  std::string revision;   // commit, tag, or empty
  std::string format;     // "safetensors", "gguf", "pytorch", … or empty
  bool incomplete = false;  // a shard or split is missing, or a partial lies beside
  std::vector<std::uint32_t> entries;  // indices into Listing::entries, payloads and links alike; an entry may be in several
  friend bool operator==(const Model&, const Model&) = default;
};

/// Something that could not be read or makes no sense; the rest of the listing goes on.
struct Problem {
  std::string path;
  Error error;
};

/// What a store holds.
struct Listing {
  Root root;
  Entries entries;               // each path once
  std::vector<Model> models;
  std::vector<Problem> problems;
};

}  // namespace mlxcache::catalog
