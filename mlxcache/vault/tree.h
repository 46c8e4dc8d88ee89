#pragma once
// Every frozen model as ordinary files: STORE/MODEL/…, folders that are no tool's below "folders". What a mount shows.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/os/file_tree.h"
#include "mlxcache/vault/reader.h"

namespace mlxcache::vault {

/// Of several frozen models with one name the newest has it, the others are NAME@ID. Models that are frozen later appear by themselves, those that
/// leave the vault go from the lists; a file that is open stays readable as long as the tree lives, whatever is collected meanwhile.
class FrozenTree final : public mlxbase::os::FileTree {
 public:
  /// Vault (open to be read) and reader must outlive it. Errors: io.
  static mlxbase::Result<std::unique_ptr<FrozenTree>> make(Vault& vault, Reader& reader);

  mlxbase::Result<std::uint64_t> find(std::uint64_t folder, std::string_view name) override;
  mlxbase::Result<Node> node(std::uint64_t node) override;
  mlxbase::Result<std::uint64_t> parent(std::uint64_t folder) override;
  mlxbase::Status list(std::uint64_t folder, std::uint64_t after, const std::function<bool(const Name&)>& see) override;
  mlxbase::Result<std::size_t> read(std::uint64_t file, std::uint64_t offset, std::span<std::byte> out) override;
  void expect(std::uint64_t file, std::uint64_t offset, std::uint64_t length) override;
  mlxbase::Result<std::string> read_link(std::uint64_t link) override;
  mlxbase::Result<std::uint64_t> seek(std::uint64_t file, std::uint64_t offset, bool data) override;
  mlxbase::Result<std::vector<mlxbase::os::ExtendedAttribute>> attributes(std::uint64_t node) override;
  std::uint64_t total_bytes() override;

  /// Models that it shows now, and what could not be shown.
  std::size_t models();
  std::vector<Damaged> damaged();

 private:
  struct Place {
    std::uint64_t parent = kTop;
    mlxbase::os::FileKind kind = mlxbase::os::FileKind::directory;
    std::shared_ptr<const FrozenModel> model;  // null: a folder above the models
    std::size_t name = 0;                      // in model->names; of a folder that the model does not speak of: their number
    std::uint64_t inode = 0;
    std::uint64_t links = 1;
    std::uint64_t allocated_bytes = 0;         // of a file: what is no hole
    std::map<std::string, std::uint64_t, std::less<>> names;  // of a folder
    std::set<std::uint64_t> numbers;                          // the same, by number
    std::shared_ptr<const FrozenFile> file;                   // once it was read
    std::string shown_as;
  };

  FrozenTree(Vault& vault, Reader& reader) : vault_(vault), reader_(reader) { places_.resize(kTop + 1); }
  mlxbase::Status look();
  mlxbase::Status look_at_packs();
  mlxbase::Status look_if_changed();
  std::uint64_t add(std::uint64_t parent, const std::string& name, Place place);
  void attach(std::uint64_t parent, const std::string& name, std::uint64_t node);
  std::uint64_t build(const std::shared_ptr<const FrozenModel>& model);
  void show(std::uint64_t root, const std::string& id, const FrozenModel& model);
  mlxbase::Result<std::shared_ptr<const FrozenFile>> file_of(std::uint64_t node);

  Vault& vault_;
  Reader& reader_;
  std::mutex mutex_;
  std::vector<Place> places_;                     // by number
  std::map<std::string, std::uint64_t> roots_;    // of models, by id: also of those that have gone
  std::map<std::string, std::uint64_t> above_;    // folders above the models, by path
  std::set<std::string> shown_;                   // ids
  std::int64_t looked_at_ns_ = 0;                 // the time of the folder of models then
  std::int64_t packs_at_ns_ = 0;                  // the same of that of packs
  std::vector<Damaged> damaged_;
};

}  // namespace mlxcache::vault
