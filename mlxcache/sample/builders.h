#pragma once
// The functions behind each row of sample.cpp's table, one file a kind (`sample_ollama.cpp` defines `ollama::build`), and what
// they share: writing files and links below a folder.
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/digest.h"
#include "mlxbase/core/result.h"
#include "mlxbase/os/environment.h"
#include "mlxcache/catalog/store.h"
#include "mlxcache/sample/sample.h"

namespace mlxcache::sample {

/// What build() was asked for.
struct Order {
  std::string home;             // absolute
  mlxbase::os::Platform platform{};  // decides the tool's default place below home
  std::string at;               // the root itself, if not empty
  const std::vector<Model>& models;
  Extras extras;

  /// `at` if given, else `home` joined with the default for the platform.
  std::string place(std::string_view on_linux, std::string_view on_macos) const;
  std::string place(std::string_view everywhere) const { return place(everywhere, everywhere); }
};

/// Makes the folders above, then the file. Errors: invalid (it is there already), io, out_of_space.
mlxbase::Status put(const std::string& path, std::string_view bytes, std::uint32_t mode = 0644);
/// Makes the folders above, then the symlink.
mlxbase::Status link(const std::string& text, const std::string& path);

std::string sha256_hex(std::string_view bytes);
std::string git_sha1_hex(std::string_view bytes);
/// 32 bytes of noise as 64 hex digits that stand for a digest of `bytes` nobody here can compute (xet), or of a commit (first 40).
std::string opaque_hex(std::string_view bytes);

namespace hf_hub {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace hf_local_dir {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace hf_xet {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace ollama {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace lm_studio {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace llama_cpp {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace mlx {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace docker_model_runner {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace ramalama {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace modelscope {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace localai {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace text_generation_webui {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace gpt4all {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace jan {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace foundry_local {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace comfyui {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace automatic1111 {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace invokeai {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace draw_things {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace openai_whisper {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace whisper_cpp {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace torch_hub {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace keras {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace kagglehub {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace tf_hub {
mlxbase::Result<catalog::Root> build(const Order& order);
}
namespace loose {
mlxbase::Result<catalog::Root> build(const Order& order);
}

}  // namespace mlxcache::sample
