#include "mlxhub/model/model.h"

#include <gtest/gtest.h>

#include "mlxbase/testing/temporary_folder.h"
#include "mlxhub/model/seeded_fixture.h"

namespace mlxhub::model {
namespace {

using mlxbase::Code;
using mlxbase::json::Value;
using mlxbase::testing::TemporaryFolder;

/// A llama of one layer, told as decoders.json tells one.
Value small_case() {
  Value test = *mlxbase::json::parse(R"({"config": {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "eos_token_id": [2, 1]}, "tensors": [["model.embed_tokens.weight", [96, 32]],
    ["model.layers.0.self_attn.q_proj.weight", [32, 32]], ["model.layers.0.self_attn.k_proj.weight", [16, 32]], ["model.layers.0.self_attn.v_proj.weight", [16, 32]],
    ["model.layers.0.self_attn.o_proj.weight", [32, 32]], ["model.layers.0.mlp.gate_proj.weight", [32, 32]], ["model.layers.0.mlp.up_proj.weight", [32, 32]],
    ["model.layers.0.mlp.down_proj.weight", [32, 32]], ["model.layers.0.input_layernorm.weight", [32]], ["model.layers.0.post_attention_layernorm.weight", [32]],
    ["model.norm.weight", [32]]]})");
  return test;
}
void write(const TemporaryFolder& folder, const Value& test) {
  folder.write("config.json", mlxbase::json::dump(test["config"]));
  folder.write("tokenizer.json", letter_tokenizer());
  folder.write("model.safetensors", seeded_weights(test));
}
mlxbase::Result<std::unique_ptr<Model>> open_it(const TemporaryFolder& folder) { return open(mlxbase::os::real_file_system(), folder.path()); }

TEST(Model, OpensAFolderAndUsesItsWeightsWhereTheyAreMapped) {
  const TemporaryFolder folder;
  write(folder, small_case());
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "<bos>"}, "eos_token": "<|im_end|>", "chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}]})");
  const auto model = open_it(folder);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->decoder.layers.size(), 1U);
  EXPECT_EQ((*model)->chat_template, "y");
  EXPECT_EQ((*model)->bos, "<bos>");
  EXPECT_EQ((*model)->ends, (std::vector<text::TokenId>{1, 2}));
  const auto map = (*model)->mappings.at(0).bytes();
  const std::byte* const query = (*model)->decoder.layers[0].query.data;
  EXPECT_TRUE(query > map.data() && query < map.data() + map.size());
}

TEST(Model, RefusesATensorThatNothingUses) {
  const TemporaryFolder folder;
  Value test = small_case();
  mlxbase::json::Array tensors = test["tensors"].array();
  tensors.push_back(Value(mlxbase::json::Array{"model.layers.0.mlp.gate_proj.bias", mlxbase::json::Array{32}}));
  test.set("tensors", std::move(tensors));
  write(folder, test);
  const auto model = open_it(folder);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Code::unsupported);
  EXPECT_NE(model.error().message.find("gate_proj.bias"), std::string::npos) << model.error().message;
}

TEST(Model, RefusesAMissingTensorAndOneOfAnotherShape) {
  for (const std::uint64_t rows : {0U, 17U}) {
    const TemporaryFolder folder;
    Value test = small_case();
    mlxbase::json::Array tensors = test["tensors"].array();
    if (rows == 0) {
      tensors.erase(tensors.begin() + 3);
    } else {
      tensors[3] = Value(mlxbase::json::Array{"model.layers.0.self_attn.v_proj.weight", mlxbase::json::Array{rows, 32}});
    }
    test.set("tensors", std::move(tensors));
    write(folder, test);
    const auto model = open_it(folder);
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Code::corrupt);
    EXPECT_NE(model.error().message.find("v_proj"), std::string::npos) << model.error().message;
  }
}

TEST(Model, RefusesByNameWhatIsNotBuilt) {
  for (const auto& [key, value, said] : std::vector<std::tuple<std::string, Value, std::string>>{
           {"model_type", "mamba", "mamba"}, {"hidden_act", "gelu", "gelu"}, {"rope_scaling", *mlxbase::json::parse(R"({"type": "yarn", "factor": 4})"), "yarn"}}) {
    const TemporaryFolder folder;
    Value test = small_case();
    Value config = test["config"];
    config.set(key, value);
    test.set("config", config);
    write(folder, test);
    const auto model = open_it(folder);
    ASSERT_FALSE(model) << key;
    EXPECT_EQ(model.error().code, Code::unsupported);
    EXPECT_NE(model.error().message.find(said), std::string::npos) << model.error().message;
  }
}

TEST(Model, RefusesWeightsThatWereCutShort) {
  const TemporaryFolder folder;
  const Value test = small_case();
  write(folder, test);
  const std::string whole = seeded_weights(test);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{7}, std::size_t{100}, whole.size() - 1}) {
    folder.write("model.safetensors", whole.substr(0, cut));
    const auto model = open_it(folder);
    ASSERT_FALSE(model) << cut;
    EXPECT_EQ(model.error().code, Code::corrupt) << model.error().message;
  }
}

TEST(Model, ReadsASlidingModelUpToItsWindow) {
  const TemporaryFolder folder;
  Value test = small_case();
  Value config = test["config"];
  config.set("model_type", "mistral").set("sliding_window", 48);
  test.set("config", config);
  write(folder, test);
  const auto model = open_it(folder);
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->decoder.context, 48U);
}

}  // namespace
}  // namespace mlxhub::model
