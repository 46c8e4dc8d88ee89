// Jan, LocalAI, ComfyUI, AUTOMATIC1111 and those that only say how it is done: what is published and what goes.
#include <gtest/gtest.h>

#include "mlxbase/format/safetensors.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/image_kind.h"
#include "mlxcache/stores/jan_model.h"
#include "mlxcache/stores/publication_fixture.h"

namespace mlxcache::stores {
namespace {

using mlxbase::Code;
using mlxbase::testing::read_all;

class AppPublish : public testing::Test, public PublicationHome {
 protected:
  ModelSource gguf(std::uint64_t seed = 1) { return source({{"alpha-Q4_K_M.gguf", sample::gguf_bytes(seed, 20'000)}}); }
  /// A safetensors file with tensors of these names.
  ModelSource image(const std::vector<std::string>& tensors, const std::string& name = "picture.safetensors") {
    mlxbase::safetensors::Header header;
    std::uint64_t at = 0;
    for (const std::string& t : tensors) {
      header.tensors.push_back({t, mlxbase::safetensors::Dtype::f16, {2}, at, at + 4});
      at += 4;
    }
    const auto bytes = mlxbase::safetensors::encode_header(header);
    return source({{name, std::string(mlxbase::as_text(bytes)) + std::string(at, 'x')}});
  }
  Publication place(const Root& to, const ModelSource& model) {
    auto made = publish(to, model);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return {};
    carry_out(*made, model);
    return *made;
  }
  void take_out(StoreKind kind, std::string_view below, std::string_view id) {
    const auto removal = remove(list(kind, below), id);
    ASSERT_TRUE(removal) << removal.error().message;
    carry_out(*removal);
  }
};

TEST_F(AppPublish, JanReadsTheFileWhereItIs) {
  const Root jan = root(StoreKind::jan, "Jan/data");
  const auto model = gguf();
  const auto made = place(jan, model);
  EXPECT_EQ(made.visible_as, "org/alpha-Q4_K_M");
  for (const NewName& name : made.names) EXPECT_NE(name.what, NewName::What::payload) << name.path;
  const auto yaml = jan::parse_model_yaml(read_all(at("Jan/data/llamacpp/models/org/alpha-Q4_K_M/model.yml")));
  ASSERT_TRUE(yaml);
  ASSERT_EQ(yaml->files.size(), 1U);
  EXPECT_EQ(yaml->files[0].path, model.files[0].path);
  EXPECT_EQ(yaml->files[0].sha256, model.files[0].sha256);
  EXPECT_EQ(yaml->files[0].size, model.files[0].size);
  EXPECT_FALSE(model_at(list(StoreKind::jan, "Jan/data"), made.visible_as).incomplete);
  EXPECT_EQ(publish(jan, gguf(2)).error().code, Code::changed);
  take_out(StoreKind::jan, "Jan/data", made.visible_as);
  EXPECT_TRUE(names_below("Jan/data").empty());
  EXPECT_TRUE(is_there("source/alpha-Q4_K_M.gguf")) << "the original stays";
}

TEST_F(AppPublish, JanTakesADownloadAndSplitsIntoItsOwnFolder) {
  const Root jan = root(StoreKind::jan, "Jan/data");
  auto moving = gguf();
  moving.files[0].moves = true;
  const auto made = place(jan, moving);
  EXPECT_TRUE(is_there("Jan/data/llamacpp/models/org/alpha-Q4_K_M/alpha-Q4_K_M.gguf"));
  const auto split = source({{"b-Q8_0-00001-of-00002.gguf", "GGUF1"}, {"b-Q8_0-00002-of-00002.gguf", "GGUF22"}});
  place(jan, split);
  const auto seen = list(StoreKind::jan, "Jan/data");
  for (const auto& model : seen.models) EXPECT_FALSE(model.incomplete) << model.id;
  EXPECT_EQ(seen.models.size(), 2U);
  take_out(StoreKind::jan, "Jan/data", made.visible_as);
  EXPECT_EQ(list(StoreKind::jan, "Jan/data").models.size(), 1U);
}

TEST_F(AppPublish, JanLoadsNoSafetensors) {
  EXPECT_EQ(publish(root(StoreKind::jan, "Jan/data"), source({{"model.safetensors", sample::safetensors_bytes(1, 4000)}})).error().code, Code::unsupported);
}

TEST_F(AppPublish, LocalAiGetsADefinitionBesideTheFile) {
  const Root localai = root(StoreKind::localai, "localai/models");
  auto model = gguf();
  model.gguf = GgufFacts{.architecture = "llama", .name = {}, .size_label = {}, .file_type = {}, .chat_template = "{{ x }}"};
  const auto made = place(localai, model);
  EXPECT_EQ(made.visible_as, "alpha-Q4_K_M");
  EXPECT_TRUE(read_all(at("localai/models/alpha-Q4_K_M.yaml")).contains("use_tokenizer_template: true"));
  const auto seen = list(StoreKind::localai, "localai/models");
  EXPECT_EQ(seen.models.size(), 1U);
  EXPECT_EQ(model_at(seen, made.visible_as).entries.size(), 1U);
  put("localai/models/._gallery_alpha-Q4_K_M.yaml", "name: alpha\nfiles: []\n");
  take_out(StoreKind::localai, "localai/models", made.visible_as);
  EXPECT_TRUE(names_below("localai/models").empty());
}

TEST_F(AppPublish, LocalAiKeepsDefinitionsOfSeveralModelsWhole) {
  put("localai/models/both.yaml", "- name: one\n  parameters:\n    model: one.gguf\n- name: two\n  parameters:\n    model: two.gguf\n");
  put("localai/models/one.gguf", sample::gguf_bytes(1, 4000));
  put("localai/models/two.gguf", sample::gguf_bytes(2, 4000));
  const auto removal = remove(list(StoreKind::localai, "localai/models"), "one");
  ASSERT_FALSE(removal);
  EXPECT_EQ(removal.error().code, Code::unsupported);
  // A model of the name, in another file.
  put("localai/models/mine.yaml", "name: alpha-Q4_K_M\nparameters:\n  model: two.gguf\n");
  EXPECT_EQ(publish(root(StoreKind::localai, "localai/models"), gguf()).error().code, Code::changed);
}

TEST_F(AppPublish, ImageModelsGoToTheFolderOfTheirKind) {
  make_dir("ComfyUI/models/checkpoints");
  make_dir("ComfyUI/models/unet");  // an older install
  make_dir("webui/models/Stable-diffusion");
  const Root comfy = root(StoreKind::comfyui, "ComfyUI/models");
  const Root webui = root(StoreKind::automatic1111, "webui");
  const auto checkpoint = image({"model.diffusion_model.input_blocks.0.weight", "first_stage_model.decoder.conv_in.weight", "cond_stage_model.x"});
  EXPECT_EQ(place(comfy, checkpoint).visible_as, "checkpoints/picture.safetensors");
  EXPECT_EQ(place(webui, checkpoint).visible_as, "Stable-diffusion/picture.safetensors");
  const auto lora = image({"lora_unet_x.lora_down.weight"}, "style.safetensors");
  EXPECT_EQ(place(comfy, lora).visible_as, "loras/style.safetensors");
  EXPECT_EQ(place(webui, lora).visible_as, "Lora/style.safetensors");
  const auto diffusion = image({"double_blocks.0.x"}, "flux.safetensors");
  EXPECT_EQ(place(comfy, diffusion).visible_as, "unet/flux.safetensors");
  EXPECT_EQ(publish(webui, diffusion).error().code, Code::unsupported);
  EXPECT_EQ(place(comfy, image({"encoder.conv_in.weight", "decoder.up.0.x"}, "v.safetensors")).visible_as, "vae/v.safetensors");

  put("ComfyUI/models/loras/style.preview.png", "png");
  take_out(StoreKind::comfyui, "ComfyUI/models", "loras/style");
  EXPECT_FALSE(is_there("ComfyUI/models/loras"));
  take_out(StoreKind::automatic1111, "webui", "Stable-diffusion/picture");
  EXPECT_TRUE(is_there("ComfyUI/models/checkpoints/picture.safetensors"));
}

TEST_F(AppPublish, WhatItsKindCannotBeToldOfIsRefused) {
  make_dir("ComfyUI/models/checkpoints");
  const Root comfy = root(StoreKind::comfyui, "ComfyUI/models");
  EXPECT_EQ(publish(comfy, image({"model.layers.0.self_attn.q_proj.weight"})).error().code, Code::unsupported);  // a language model
  EXPECT_EQ(publish(comfy, source({{"old.ckpt", "pickle"}})).error().code, Code::unsupported);
  EXPECT_EQ(publish(comfy, source({{"model_index.json", "{}"}, {"unet/x.safetensors", "x"}})).error().code, Code::unsupported);
  EXPECT_EQ(publish(comfy, source({{"a.safetensors", "x"}, {"b.safetensors", "y"}})).error().code, Code::invalid);
  EXPECT_EQ(publish(comfy, source({{"broken.safetensors", "x"}})).error().code, Code::unsupported);
  EXPECT_EQ(publish(root(StoreKind::comfyui, "loras-elsewhere"), image({"x.lora_down.y"})).error().code, Code::unsupported);
}

TEST_F(AppPublish, WhatOnlyTheToolItselfCanDoIsSaid) {
  const auto model = gguf();
  const auto invoke = publish(root(StoreKind::invokeai, "invokeai"), model);
  ASSERT_FALSE(invoke);
  EXPECT_EQ(invoke.error().code, Code::unsupported);
  EXPECT_TRUE(invoke.error().message.contains("inplace=true&source=" + model.files[0].path));
  EXPECT_EQ(publish(root(StoreKind::foundry_local, "foundry"), model).error().code, Code::unsupported);
  EXPECT_EQ(publish(root(StoreKind::draw_things, "dt"), model).error().code, Code::unsupported);
}

TEST_F(AppPublish, AFoundryModelGoesWithItsFolder) {
  put(".foundry/cache/models/Pub/alpha/v1/model.onnx", "onnx");
  put(".foundry/cache/models/Pub/alpha/v1/inference_model.json", R"({"Name":"alpha"})");
  put(".foundry/cache/models/Pub/beta/model.onnx", "onnx");
  take_out(StoreKind::foundry_local, ".foundry/cache/models", "alpha");
  EXPECT_EQ(names_below(".foundry/cache/models"), (std::vector<std::string>{"Pub/beta/model.onnx"}));
}

}  // namespace
}  // namespace mlxcache::stores
