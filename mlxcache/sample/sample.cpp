#include "mlxcache/sample/sample.h"

#include <cassert>
#include <iterator>

#include "mlxbase/core/bytes.h"
#include "mlxbase/core/path.h"
#include "mlxbase/format/hasher.h"
#include "mlxbase/os/file_system.h"
#include "mlxcache/sample/builders.h"

namespace mlxcache::sample {
namespace {

using catalog::StoreKind;

struct Builder {
  StoreKind kind;
  mlxbase::Result<catalog::Root> (*build)(const Order&);
};

constexpr Builder kBuilders[] = {
    {StoreKind::hf_hub, &hf_hub::build},
    {StoreKind::hf_local_dir, &hf_local_dir::build},
    {StoreKind::hf_xet, &hf_xet::build},
    {StoreKind::ollama, &ollama::build},
    {StoreKind::lm_studio, &lm_studio::build},
    {StoreKind::llama_cpp, &llama_cpp::build},
    {StoreKind::mlx, &mlx::build},
    {StoreKind::docker_model_runner, &docker_model_runner::build},
    {StoreKind::ramalama, &ramalama::build},
    {StoreKind::modelscope, &modelscope::build},
    {StoreKind::localai, &localai::build},
    {StoreKind::text_generation_webui, &text_generation_webui::build},
    {StoreKind::gpt4all, &gpt4all::build},
    {StoreKind::jan, &jan::build},
    {StoreKind::foundry_local, &foundry_local::build},
    {StoreKind::comfyui, &comfyui::build},
    {StoreKind::automatic1111, &automatic1111::build},
    {StoreKind::invokeai, &invokeai::build},
    {StoreKind::draw_things, &draw_things::build},
    {StoreKind::openai_whisper, &openai_whisper::build},
    {StoreKind::whisper_cpp, &whisper_cpp::build},
    {StoreKind::torch_hub, &torch_hub::build},
    {StoreKind::keras, &keras::build},
    {StoreKind::kagglehub, &kagglehub::build},
    {StoreKind::tf_hub, &tf_hub::build},
    {StoreKind::loose, &loose::build},
};
static_assert(std::size(kBuilders) == catalog::kStoreKinds);

std::string hex_of(mlxbase::Algorithm algorithm, std::string_view bytes) {
  mlxbase::Hasher hasher(algorithm, bytes.size());
  hasher.update(mlxbase::as_bytes(bytes));
  return hasher.finish().hex();
}

}  // namespace

mlxbase::Result<catalog::Root> build(StoreKind kind, const std::string& home, const std::vector<Model>& models, const Extras& extras,
                                     const std::string& at, std::optional<mlxbase::os::Platform> platform) {
  const Builder& row = kBuilders[static_cast<std::size_t>(kind)];
  assert(row.kind == kind);
  return row.build(Order{
      .home = home, .platform = platform.value_or(mlxbase::os::real_environment().platform), .at = at, .models = models, .extras = extras});
}

std::string Order::place(std::string_view on_linux, std::string_view on_macos) const {
  if (!at.empty()) return at;
  return mlxbase::path::join(home, platform == mlxbase::os::Platform::macos ? on_macos : on_linux);
}

mlxbase::Status put(const std::string& path, std::string_view bytes, std::uint32_t mode) {
  auto& fs = mlxbase::os::real_file_system();
  TRY(mlxbase::os::make_dirs(fs, std::string(mlxbase::path::parent(path))));
  auto file = TRY(fs.create(path, mode));
  return file->pwrite(0, mlxbase::as_bytes(bytes));
}

mlxbase::Status link(const std::string& text, const std::string& path) {
  auto& fs = mlxbase::os::real_file_system();
  TRY(mlxbase::os::make_dirs(fs, std::string(mlxbase::path::parent(path))));
  return fs.make_symlink(text, path);
}

std::string sha256_hex(std::string_view bytes) { return hex_of(mlxbase::Algorithm::sha256, bytes); }
std::string git_sha1_hex(std::string_view bytes) { return hex_of(mlxbase::Algorithm::git_sha1, bytes); }
std::string opaque_hex(std::string_view bytes) { return sha256_hex("opaque " + sha256_hex(bytes)); }

}  // namespace mlxcache::sample
