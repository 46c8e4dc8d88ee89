#pragma once
// A folder in which every run of bytes is kept once, small, and under its SHA-256: packs of objects, and frozen models made of them.
// One process writes at a time; any number read, also while one writes or collects. Format: docs/formats/vault.md.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mlxbase/core/progress.h"
#include "mlxbase/core/result.h"
#include "mlxbase/format/byte_source.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/codec/codec.h"
#include "mlxcache/vault/candidates.h"
#include "mlxcache/vault/frozen.h"
#include "mlxcache/vault/object.h"
#include "mlxcache/vault/pack_format.h"

namespace mlxcache::vault {

enum class Access : std::uint8_t {
  read,
  write,
  look,  // as read, but where there is no vault it is an empty one
};

/// Something in the vault that cannot be read; the rest goes on.
struct Damaged {
  std::string path;
  std::string what;
};

/// A frozen model by the name of its file.
struct ModelFile {
  std::string id;      // 16 hex digits
  FrozenModel model;
};

/// Where an object's bytes came from when it was put, and what it took.
struct Put {
  Head head;
  bool known = false;       // it was there already
  std::uint64_t added = 0;  // bytes of the pack
};

/// Whether `dir` holds a vault. Errors: io.
mlxbase::Result<bool> is_vault(mlxbase::os::FileSystem& fs, const std::string& dir);

/// find, put, read: from several threads at once.
class Vault {
 public:
  /// To write: makes what is missing, takes the lock, and removes what an earlier writer left unfinished.
  /// Errors: not_found (to read, and there is none), busy (another process writes), unsupported (a later version), io.
  static mlxbase::Result<std::unique_ptr<Vault>> open(mlxbase::os::FileSystem& fs, const std::string& dir, Access access);
  ~Vault();
  Vault(const Vault&) = delete;
  Vault& operator=(const Vault&) = delete;

  const std::string& dir() const { return dir_; }
  mlxbase::os::FileSystem& fs() { return fs_; }
  /// Packs and models that are damaged, as far as opening showed.
  std::vector<Damaged> damaged() const;

  /// Its head, less the sketch.
  std::optional<Head> find(const Digest& digest) const;
  /// Those of every object, in no order.
  std::vector<Head> heads() const;
  /// All bytes of an object; checksums of the pack's blocks are compared, not the SHA-256. Errors: not_found, corrupt (names pack and range), io.
  mlxbase::Result<std::vector<std::byte>> read(const Digest& digest);

  /// An object as it lies in its pack. `payload` holds the pack open and compares checksums of the blocks that it reads; it outlives the vault.
  struct Stored {
    Head head;
    mlxbase::ByteSource payload;
  };
  /// Errors: not_found, corrupt, io.
  mlxbase::Result<Stored> stored(const Digest& digest);
  /// Whether anything is there in more than one copy. read() takes the one that is good, and finds the others when it is asked for that object again.
  bool has_copies() const;
  /// Forgets, until it is put again, what of the model cannot be read or has other bytes. How many objects. Only of a vault that is open to be written.
  std::size_t doubt(const FrozenModel& model);
  /// Opens every pack and keeps them open, as many as descriptors allow: what collecting unlinks stays readable.
  void hold_packs();
  /// Looks for packs that came since, and for those that are gone. Only of a vault that is open to be read. Errors: io.
  mlxbase::Status refresh();

  /// Keeps the bytes in the cheapest way it knows. `digest` is their SHA-256. They are readable at once, and there for good after publish().
  mlxbase::Result<Put> put(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout);
  /// What put() would add, by coding them and forgetting them again.
  mlxbase::Result<Put> try_put(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout);
  /// Ends the pack that is being written: synced and under its final name.
  mlxbase::Status publish();

  /// Calls `see` for each frozen model, oldest first; one that cannot be read, whatever the reason, is added to `damaged`.
  mlxbase::Status each_model(const std::function<mlxbase::Status(ModelFile&)>& see, std::vector<Damaged>& damaged);
  /// Publishes what is still open, then the model. Its id.
  mlxbase::Result<std::string> add_model(const FrozenModel& model);
  mlxbase::Status remove_model(const std::string& id);

  /// Room that packs and models take on the disk.
  mlxbase::Result<std::uint64_t> stored_bytes();

  /// A pack is ended when it has grown this long.
  void set_pack_bytes(std::uint64_t bytes) { pack_bytes_ = bytes; }

  /// What collecting would free, and does with `apply`: objects that no model needs, directly or as a base.
  struct Collected {
    std::uint64_t objects = 0;        // that nobody needs
    std::uint64_t payload_bytes = 0;  // of those
    std::uint64_t packs_rewritten = 0;
    std::uint64_t bytes_freed = 0;    // of the disk
  };
  /// Errors: corrupt (a model, or the head of something that a model needs, cannot be read: nothing is removed then), io, cancelled.
  mlxbase::Result<Collected> collect(bool apply, mlxbase::Progress& progress, const mlxbase::Cancel* cancel);

  /// Reads every object and compares its SHA-256; `damaged` gets what is not as it should be, with the objects that depend on it.
  struct Verified {
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
    std::vector<Digest> bad;
    std::vector<Damaged> damaged;
  };
  mlxbase::Result<Verified> verify(unsigned workers, mlxbase::Progress& progress, const mlxbase::Cancel* cancel);

  /// Copies an object's record as it lies there, bases first, if its bytes have that SHA-256. True if it was not there yet. `from` is another vault.
  /// Errors: not_found, corrupt, io.
  mlxbase::Result<bool> take_over(Vault& from, const Digest& digest, int most_depth = kMaxDepth);

 private:
  static constexpr std::size_t kOpenPacks = 48;  // macOS gives 256 descriptors
  struct Pack;
  struct Writer;
  struct Place {
    std::uint32_t pack = 0;
    Entry entry;
  };
  struct Choice {
    Head head;
    std::vector<std::byte> payload;
  };

  Vault(mlxbase::os::FileSystem& fs, std::string dir, Access access);
  mlxbase::Status load();
  mlxbase::Status load_pack(std::uint32_t number);
  void keep_what_is_open(const std::unordered_map<Digest, Place>& before);
  mlxbase::Status begin_pack();
  mlxbase::Status close_pack();
  mlxbase::Result<std::shared_ptr<mlxbase::os::File>> file_of(std::uint32_t pack);
  std::optional<Place> place_of(const Digest& digest) const;
  void index(const Place& place);
  std::vector<Place> copies_of(const Digest& digest) const;
  void prefer(const Place& place);
  mlxbase::Result<Stored> stored_at(const Place& place);
  static mlxbase::Result<std::vector<std::byte>> payload_of(const Stored& stored);
  bool can_be_read(const Place& place);
  bool may_go(std::uint32_t pack, const std::vector<Place>& keep, const std::unordered_set<Digest>& needed);
  mlxbase::Result<std::vector<std::byte>> decode(const Head& head, std::vector<std::byte> payload, int depth);
  mlxbase::Result<std::vector<std::byte>> read_at(const Digest& digest, int depth);
  /// The known object that is most like these bytes, if one is; with its place.
  std::optional<Place> nearest(const codec::Sketch& sketch, std::uint64_t bytes) const;
  /// Whether a recipe makes these bytes of a known object; fills the choice then.
  bool derive(Choice& choice, std::span<const std::byte> bytes);
  mlxbase::Result<Choice> choose(const Digest& digest, std::span<const std::byte> bytes, const Layout& layout);
  mlxbase::Result<Put> append(const Choice& choice);

  mlxbase::os::FileSystem& fs_;
  std::string dir_;
  bool finds_bases_;  // not of a vault that is only read: their index would take memory for nothing
  std::unique_ptr<mlxbase::os::Lock> lock_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Pack>> packs_;
  std::vector<std::uint32_t> open_packs_;  // whose files are open, oldest first
  std::unordered_map<Digest, Place> places_;
  std::unordered_multimap<Digest, Place> copies_;  // further ones: a collection that was cut short, or what was doubted and put again
  std::vector<Damaged> damaged_;
  std::unique_ptr<Writer> writer_;
  std::size_t most_open_ = kOpenPacks;
  std::uint64_t pack_bytes_ = std::uint64_t{1} << 30U;

  /// Possible bases, by elements a row.
  std::unordered_map<std::uint64_t, Candidates> candidates_;
  std::unordered_map<std::uint64_t, std::size_t> last_made_;  // of which of them a recipe made something last
};

}  // namespace mlxcache::vault
