#include "mlxcache/stores/adapter.h"

#include <cassert>

#include "mlxcache/stores/kinds.h"

namespace mlxcache::stores {
namespace {

// A tool that may open a finished weight file for writing gets clones only: a hard link or symlink would pass its write on to the twin.
constexpr Adapter kAdapters[] = {
    // kind, name, title, links, writes in place, keeps mtime, caution, functions: discover, list, staging, locks, default_root, publish, remove
    {StoreKind::hf_hub, "hf-hub", "Hugging Face hub cache", catalog::kReflinkOrHardLink, false, false,
     "huggingface_hub before 2.0 deletes the file behind a blob that is a symlink when one of several revisions is removed, so no symlinks "
     "are made here.",
     &hf_hub::discover, &hf_hub::list, &hf_hub::staging, &hf_hub::locks, &hf_hub::default_root, &hf_hub::publish, &hf_hub::remove},
    {StoreKind::hf_local_dir, "hf-local-dir", "Hugging Face local folders", catalog::kReflinkOnly, true, true,
     "Refreshing the folder to another revision rewrites its files in place, so only clones are safe.", &hf_local_dir::discover,
     &hf_local_dir::list, &hf_local_dir::staging, &hf_local_dir::locks, nullptr, nullptr, &hf_local_dir::remove},
    {StoreKind::hf_xet, "hf-xet", "Hugging Face xet cache", catalog::kNoLinks, false, false,
     "Pieces of files, not files: nothing here can be shared. It is a cache and may be deleted while no download runs.", &hf_xet::discover,
     &hf_xet::list, &hf_xet::staging, &hf_xet::locks, nullptr, nullptr, nullptr},
    {StoreKind::ollama, "ollama", "Ollama", catalog::kAnyLink, false, false,
     "The server deletes blobs that no manifest refers to when it starts; another owner than the server's user rules out hard links.",
     &ollama::discover, &ollama::list, &ollama::staging, &ollama::locks, &ollama::default_root, &ollama::publish, &ollama::remove, true},
    {StoreKind::lm_studio, "lm-studio", "LM Studio", catalog::kAnyLink, false, false,
     "A symlink dangles when the other tool deletes the model, and LM Studio then lists a broken one.", &lm_studio::discover,
     &lm_studio::list, &lm_studio::staging, &lm_studio::locks, &lm_studio::default_root, &lm_studio::publish, &lm_studio::remove},
    {StoreKind::llama_cpp, "llama-cpp", "llama.cpp cache", catalog::kAnyLink, false, false,
     "Versions of spring 2026 move files of the flat cache when they start: only absolute symlinks survive that.", &llama_cpp::discover,
     &llama_cpp::list, &llama_cpp::staging, &llama_cpp::locks, &llama_cpp::default_root, &llama_cpp::publish, &llama_cpp::remove},
    {StoreKind::mlx, "mlx", "MLX model folders", catalog::kAnyLink, false, false,
     "mlx_lm.fuse, training and conversion rewrite files of an existing folder in place; sandboxed apps cannot follow symlinks out of "
     "their container.",
     &mlx::discover, &mlx::list, &mlx::staging, &mlx::locks, &mlx::default_root, &mlx::publish, &mlx::remove},
    {StoreKind::docker_model_runner, "docker-model-runner", "Docker Model Runner", catalog::kReflinkOrHardLink, false, false,
     "Runner bundles refuse symlinked blobs.", &docker_model_runner::discover, &docker_model_runner::list, &docker_model_runner::staging,
     &docker_model_runner::locks, &docker_model_runner::default_root, &docker_model_runner::publish, &docker_model_runner::remove},
    {StoreKind::ramalama, "ramalama", "RamaLama", catalog::kAnyLink, false, false,
     "Containers relabel (SELinux :Z) what they mount, and labels belong to the inode: every hard-linked name gets the new label.",
     &ramalama::discover, &ramalama::list, &ramalama::staging, &ramalama::locks, &ramalama::default_root, &ramalama::publish, &ramalama::remove},
    {StoreKind::modelscope, "modelscope", "ModelScope cache", catalog::kAnyLink, false, false, "", &modelscope::discover, &modelscope::list,
     &modelscope::staging, &modelscope::locks, &modelscope::default_root, &modelscope::publish, &modelscope::remove},
    {StoreKind::localai, "localai", "LocalAI", catalog::kAnyLink, false, false, "", &localai::discover, &localai::list, &localai::staging,
     &localai::locks, nullptr, &localai::publish, &localai::remove},
    {StoreKind::text_generation_webui, "text-generation-webui", "text-generation-webui", catalog::kReflinkOnly, true, false,
     "Its downloader appends to and truncates files under their final names, so only clones are safe.", &text_generation_webui::discover,
     &text_generation_webui::list, &text_generation_webui::staging, &text_generation_webui::locks, nullptr, &text_generation_webui::publish, &text_generation_webui::remove},
    {StoreKind::gpt4all, "gpt4all", "GPT4All", catalog::kReflinkOnly, true, false,
     "When a rename fails it copies over the final name in place, so only clones are safe.", &gpt4all::discover, &gpt4all::list,
     &gpt4all::staging, &gpt4all::locks, &gpt4all::default_root, &gpt4all::publish, &gpt4all::remove},
    {StoreKind::jan, "jan", "Jan", catalog::kReflinkOrHardLink, false, false,
     "Jan can refer to a file elsewhere by path; symlinked models were deleted with their originals before 0.5.15.", &jan::discover,
     &jan::list, &jan::staging, &jan::locks, &jan::default_root, &jan::publish, &jan::remove},
    {StoreKind::foundry_local, "foundry-local", "Foundry Local", catalog::kReflinkOnly, false, false,
     "ONNX loaders refuse links, so only clones are safe.", &foundry_local::discover, &foundry_local::list, &foundry_local::staging,
     &foundry_local::locks, nullptr, &foundry_local::publish, &foundry_local::remove},
    {StoreKind::comfyui, "comfyui", "ComfyUI", catalog::kAnyLink, false, false, "Custom nodes may write where they like.",
     &comfyui::discover, &comfyui::list, &comfyui::staging, &comfyui::locks, nullptr, &comfyui::publish, &comfyui::remove},
    {StoreKind::automatic1111, "automatic1111", "AUTOMATIC1111 and Forge", catalog::kAnyLink, false, true,
     "Hashes are cached by modification time, which is therefore kept.", &automatic1111::discover, &automatic1111::list,
     &automatic1111::staging, &automatic1111::locks, nullptr, &automatic1111::publish, &automatic1111::remove},
    {StoreKind::invokeai, "invokeai", "InvokeAI", catalog::kReflinkOrHardLink, false, false, "", &invokeai::discover, &invokeai::list,
     &invokeai::staging, &invokeai::locks, nullptr, &invokeai::publish, &invokeai::remove},
    {StoreKind::draw_things, "draw-things", "Draw Things", catalog::kReflinkOnly, false, false,
     "Weights are SQLite files, so only clones are safe.", &draw_things::discover, &draw_things::list, &draw_things::staging,
     &draw_things::locks, nullptr, &draw_things::publish, &draw_things::remove},
    {StoreKind::openai_whisper, "openai-whisper", "openai-whisper", catalog::kReflinkOnly, true, false,
     "A file whose hash is wrong is downloaded again into the same inode, so only clones are safe.", &openai_whisper::discover,
     &openai_whisper::list, &openai_whisper::staging, &openai_whisper::locks, &openai_whisper::default_root, &openai_whisper::publish, &openai_whisper::remove},
    {StoreKind::whisper_cpp, "whisper-cpp", "whisper.cpp", catalog::kAnyLink, false, false,
     "The download script writes the final name directly: a short file may be an unfinished download.", &whisper_cpp::discover,
     &whisper_cpp::list, &whisper_cpp::staging, &whisper_cpp::locks, nullptr, &whisper_cpp::publish, &whisper_cpp::remove},
    {StoreKind::torch_hub, "torch-hub", "PyTorch hub", catalog::kAnyLink, false, false, "", &torch_hub::discover, &torch_hub::list,
     &torch_hub::staging, &torch_hub::locks, &torch_hub::default_root, &torch_hub::publish, &torch_hub::remove},
    {StoreKind::keras, "keras", "Keras", catalog::kReflinkOnly, true, false,
     "Downloads write the final name in place, so only clones are safe.", &keras::discover, &keras::list, &keras::staging, &keras::locks, nullptr, nullptr, &keras::remove},
    {StoreKind::kagglehub, "kagglehub", "kagglehub", catalog::kAnyLink, false, false, "", &kagglehub::discover, &kagglehub::list,
     &kagglehub::staging, &kagglehub::locks, nullptr, nullptr, &kagglehub::remove},
    {StoreKind::tf_hub, "tf-hub", "TensorFlow Hub", catalog::kReflinkOrHardLink, false, false, "", &tf_hub::discover, &tf_hub::list,
     &tf_hub::staging, &tf_hub::locks, nullptr, nullptr, &tf_hub::remove},
    {StoreKind::loose, "loose", "Loose folder", catalog::kReflinkOrHardLink, false, false,
     "Nobody knows which tool writes here: training outputs may be rewritten in place.", &loose::discover, &loose::list, &loose::staging,
     &loose::locks, nullptr, &loose::publish, &loose::remove},
};
static_assert(std::size(kAdapters) == catalog::kStoreKinds);

}  // namespace

std::span<const Adapter> adapters() { return kAdapters; }

const Adapter& adapter_of(StoreKind kind) {
  const Adapter& row = kAdapters[static_cast<std::size_t>(kind)];
  assert(row.kind == kind);
  return row;
}

const Adapter* find_adapter(std::string_view name) {
  for (const Adapter& row : kAdapters) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace mlxcache::stores
