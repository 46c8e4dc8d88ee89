#pragma once
// The functions behind each row of the table, one file a namespace (`ollama.cpp` defines `ollama::`). Their contracts are
// Adapter's; only adapters.cpp, the files themselves and their tests include this.
#include <string>
#include <string_view>
#include <vector>

#include "mlxcache/stores/adapter.h"

namespace mlxcache::stores {

namespace hf_hub {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace hf_hub
namespace hf_local_dir {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace hf_local_dir
namespace hf_xet {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
}  // namespace hf_xet
namespace ollama {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace ollama
namespace lm_studio {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace lm_studio
namespace llama_cpp {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace llama_cpp
namespace mlx {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace mlx
namespace docker_model_runner {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace docker_model_runner
namespace ramalama {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace ramalama
namespace modelscope {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace modelscope
namespace localai {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace localai
namespace text_generation_webui {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace text_generation_webui
namespace gpt4all {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace gpt4all
namespace jan {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace jan
namespace foundry_local {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace foundry_local
namespace comfyui {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace comfyui
namespace automatic1111 {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace automatic1111
namespace invokeai {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace invokeai
namespace draw_things {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace draw_things
namespace openai_whisper {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace openai_whisper
namespace whisper_cpp {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace whisper_cpp
namespace torch_hub {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
std::optional<Root> default_root(const Context& context);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace torch_hub
namespace keras {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace keras
namespace kagglehub {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace kagglehub
namespace tf_hub {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace tf_hub
namespace loose {
std::vector<Root> discover(const Context& context);
Listing list(const Context& context, const Root& root);
std::string staging(const Root& root, const std::string& target, std::string_view token);
std::vector<LockFile> locks(const Root& root, const Entry& entry);
mlxbase::Result<Publication> publish(const Context& context, const Root& root, const ModelSource& source);
mlxbase::Result<Removal> remove(const Context& context, const Listing& listing, std::uint32_t model);
}  // namespace loose

}  // namespace mlxcache::stores
