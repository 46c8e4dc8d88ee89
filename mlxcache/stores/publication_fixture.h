#pragma once
// For tests of publish and remove: sources made of bytes, and the plainest way to carry a publication out. Tests only: no journal, no links.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxcache/stores/test_home.h"
#include "mlxcache/stores/walk.h"

namespace mlxcache::stores {

inline mlxbase::Digest sha256_of_bytes(std::string_view bytes) {
  mlxbase::Hasher hasher(mlxbase::Algorithm::sha256);
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish();
}

class PublicationHome : public TestHome {
 public:
  PublicationHome() { environment.uid = 0; }

  /// Files of one model, as they lie outside the store, below home/source/.
  ModelSource source(const std::vector<std::pair<std::string, std::string>>& files, std::string id = "org/alpha-GGUF") {
    ModelSource out;
    out.id = std::move(id);
    out.name = "alpha";
    out.tag = "latest";
    out.revision = "main";
    for (const auto& [name, bytes] : files) {
      SourceFile file;
      file.name = name;
      file.path = put("source/" + name, bytes);
      file.size = bytes.size();
      file.sha256 = sha256_of_bytes(bytes);
      const auto stat = mlxbase::os::real_file_system().stat(file.path);
      if (stat) {
        file.state = catalog::fingerprint_of(*stat);
        environment.uid = stat->uid;
      }
      out.files.push_back(std::move(file));
      if (out.format.empty()) out.format = name.ends_with(".gguf") ? "gguf" : "safetensors";
    }
    return out;
  }
  Root root(StoreKind kind, std::string_view below_home) const { return {kind, at(below_home), "test"}; }
  mlxbase::Result<Publication> publish(const Root& root, const ModelSource& source) { return adapter_of(root.kind).publish(context(), root, source); }

  /// Copies and writes in the order given; what is there already with the same bytes stays.
  void carry_out(const Publication& publication, const ModelSource& source) {
    auto& real = mlxbase::os::real_file_system();
    for (const NewName& name : publication.names) {
      const bool there = real.stat(name.path).has_value();
      if (name.what == NewName::What::folder) {
        EXPECT_TRUE(mlxbase::os::make_dirs(real, name.path)) << name.path;
      } else if (name.what == NewName::What::link_text) {
        if (there) continue;
        EXPECT_TRUE(mlxbase::os::make_dirs(real, std::string(mlxbase::path::parent(name.path))) && real.make_symlink(name.content, name.path)) << name.path;
      } else {
        const std::string bytes = name.what == NewName::What::text ? name.content : mlxbase::testing::read_all(source.files[name.file].path);
        if (there && !name.replaces) {
          EXPECT_EQ(mlxbase::testing::read_all(name.path), bytes) << name.path;
          continue;
        }
        folder.write(mlxbase::path::relative_to(folder.path(), name.path), bytes);
      }
    }
  }
  void carry_out(const Removal& removal) {
    auto& real = mlxbase::os::real_file_system();
    for (const NewName& name : removal.rewritten) folder.write(mlxbase::path::relative_to(folder.path(), name.path), name.content);
    for (const std::string& name : removal.names) {
      const auto stat = real.stat(name);
      ASSERT_TRUE(stat) << name;
      if (stat->kind == mlxbase::os::FileKind::directory) {
        EXPECT_TRUE(real.remove_dir(name)) << name;
      } else {
        EXPECT_TRUE(real.unlink(name)) << name;
      }
    }
  }
  mlxbase::Result<Removal> remove(const Listing& listing, std::string_view id) {
    for (std::uint32_t m = 0; m < listing.models.size(); ++m) {
      if (listing.models[m].id == id) return adapter_of(listing.root.kind).remove(context(), listing, m);
    }
    return mlxbase::fail(mlxbase::Code::not_found, std::string(id));
  }
  bool is_there(std::string_view below_home) const { return mlxbase::os::real_file_system().stat(at(below_home)).has_value(); }
  /// All names below, relative, sorted.
  std::vector<std::string> names_below(std::string_view below_home) {
    std::vector<catalog::Problem> problems;
    std::vector<std::string> out;
    for (const Found& f : walk(mlxbase::os::real_file_system(), at(below_home), problems)) out.emplace_back(mlxbase::path::relative_to(at(below_home), f.path));
    return out;
  }
};

/// Whether a sequence of texts has one that contains `part`.
inline bool says(const std::vector<std::string>& lines, std::string_view part) {
  return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) { return line.contains(part); });
}

}  // namespace mlxcache::stores
