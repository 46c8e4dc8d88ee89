#include <gtest/gtest.h>

#include "mlxbase/format/json.h"
#include "mlxcache/sample/sample.h"
#include "mlxcache/stores/ollama_manifest.h"
#include "mlxcache/stores/ollama_template.h"
#include "mlxcache/stores/publication_fixture.h"

namespace mlxcache::stores::ollama {
namespace {

using mlxbase::Code;
using mlxbase::testing::read_all;

constexpr std::string_view kRoot = ".ollama/models";
constexpr std::string_view kChatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}";

class OllamaPublish : public testing::Test, public PublicationHome {
 protected:
  OllamaPublish() { make_dir(std::string(kRoot) + "/blobs"); }
  Root store() const { return root(StoreKind::ollama, kRoot); }
  ModelSource gguf(const std::string& name = "alpha-Q4_K_M.gguf", std::uint64_t seed = 1) {
    auto out = source({{name, sample::gguf_bytes(seed, 40'000)}});
    out.gguf = GgufFacts{.architecture = "llama", .name = "Alpha", .size_label = "1B", .file_type = "Q4_K_M", .chat_template = std::string(kChatml), .parameters = 1'235'814'432};
    return out;
  }
  std::string blob(const mlxbase::Digest& digest) { return read_all(at(std::string(kRoot) + "/blobs/" + blob_name(digest))); }
  Listing listing() { return list(StoreKind::ollama, kRoot); }
};

TEST_F(OllamaPublish, ListsUnderTheNameOfItsOwnPullWithTemplateAndStops) {
  const auto model = gguf();
  const auto publication = publish(store(), model);
  ASSERT_TRUE(publication) << publication.error().message;
  EXPECT_EQ(publication->visible_as, "hf.co/org/alpha-GGUF:Q4_K_M");
  EXPECT_TRUE(says(publication->notes, "chatml"));
  EXPECT_EQ(publication->names.back().path, at(".ollama/models/manifests/hf.co/org/alpha-GGUF/Q4_K_M"));
  carry_out(*publication, model);

  const Listing seen = listing();
  EXPECT_TRUE(seen.problems.empty());
  const auto& listed = model_at(seen, "hf.co/org/alpha-GGUF:Q4_K_M");
  EXPECT_FALSE(listed.incomplete);
  EXPECT_EQ(listed.format, "gguf");
  const auto manifest = parse_manifest(publication->names.back().content);
  ASSERT_TRUE(manifest);
  ASSERT_EQ(manifest->layers.size(), 3U);
  EXPECT_EQ(manifest->layers[0].digest, model.files[0].sha256);
  EXPECT_EQ(manifest->layers[1].type, "template");
  EXPECT_TRUE(blob(manifest->layers[1].digest).contains("<|im_start|>assistant"));
  EXPECT_EQ(blob(manifest->layers[2].digest), R"({"stop":["<|im_start|>","<|im_end|>"]})");
  const auto config = mlxbase::json::parse(blob(manifest->config->digest));
  ASSERT_TRUE(config);
  EXPECT_EQ((*config)["model_family"].string(), "llama");
  EXPECT_EQ((*config)["model_type"].string(), "1.2B");
  EXPECT_EQ((*config)["file_type"].string(), "Q4_K_M");
  for (const auto& entry : seen.entries) EXPECT_NE(entry.role, Role::orphan) << entry.path;
}

TEST_F(OllamaPublish, DoingItTwiceAsksForTheSameNames) {
  const auto model = gguf();
  const auto first = publish(store(), model);
  ASSERT_TRUE(first);
  carry_out(*first, model);
  const auto before = names_below(kRoot);
  const auto again = publish(store(), model);
  ASSERT_TRUE(again) << again.error().message;
  carry_out(*again, model);
  EXPECT_EQ(names_below(kRoot), before);
}

TEST_F(OllamaPublish, AModelWithoutAHubIdGetsANameThatNoRegistryHas) {
  auto model = gguf("weights.gguf");
  model.id.clear();
  model.name = "-my.model";  // Ollama's names begin with a letter, a digit or "_"
  const auto named = publish(store(), model);
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(named->visible_as, "mlxcache.local/import/my.model:Q4_K_M");
}

TEST_F(OllamaPublish, AnOrganisationWithADotIsNoNamespace) {
  auto model = gguf();
  model.id = "org.x/alpha";
  const auto publication = publish(store(), model);
  ASSERT_TRUE(publication);
  EXPECT_EQ(publication->visible_as, "mlxcache.local/import/alpha:Q4_K_M");
}

TEST_F(OllamaPublish, RefusesWhatOllamaCannotLoad) {
  const auto refused = [&](const ModelSource& model, std::string_view why) {
    const auto publication = publish(store(), model);
    ASSERT_FALSE(publication);
    EXPECT_EQ(publication.error().code, Code::unsupported);
    EXPECT_TRUE(publication.error().message.contains(why)) << publication.error().message;
  };
  refused(source({{"model.safetensors", sample::safetensors_bytes(1, 4000)}}), "safetensors");
  refused(source({{"a-Q4_0-00001-of-00002.gguf", "x"}, {"a-Q4_0-00002-of-00002.gguf", "y"}}), "llama-gguf-split");
  refused(source({{"mmproj-F16.gguf", sample::gguf_bytes(3, 4000)}}), "projector alone");
  auto picture = gguf();
  picture.gguf->architecture = "flux";
  refused(picture, "flux");
}

TEST_F(OllamaPublish, OfSeveralQuantisationsTheTagTellsWhich) {
  auto model = source({{"a-Q4_K_M.gguf", sample::gguf_bytes(1, 4000)}, {"a-Q8_0.gguf", sample::gguf_bytes(2, 5000)}, {"mmproj-a-f16.gguf", sample::gguf_bytes(3, 3000)}});
  const auto open = publish(store(), model);
  ASSERT_FALSE(open);
  EXPECT_TRUE(open.error().message.contains("Q4_K_M, Q8_0")) << open.error().message;
  model.tag = "q8_0";
  const auto chosen = publish(store(), model);
  ASSERT_TRUE(chosen) << chosen.error().message;
  carry_out(*chosen, model);
  const auto manifest = parse_manifest(chosen->names.back().content);
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->layers[0].digest, model.files[1].sha256);
  EXPECT_EQ(manifest->layers[1].type, "projector");
  EXPECT_EQ(manifest->layers[1].digest, model.files[2].sha256);
}

TEST_F(OllamaPublish, AnotherModelOfTheNameIsNotReplaced) {
  const auto model = gguf();
  carry_out(*publish(store(), model), model);
  const auto other = gguf("alpha-Q4_K_M.gguf", 2);
  const auto publication = publish(store(), other);
  ASSERT_FALSE(publication);
  EXPECT_EQ(publication.error().code, Code::changed);
  // Names of another case are the same to the server.
  auto shouting = other;
  shouting.id = "ORG/ALPHA-gguf";
  const auto shouted = publish(store(), shouting);
  ASSERT_FALSE(shouted);
  EXPECT_EQ(shouted.error().code, Code::changed);
}

TEST_F(OllamaPublish, WhatOllamaPulledItselfIsLeftAsItIs) {
  const auto model = gguf();
  const std::string pulled = R"({"schemaVersion":2,"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" + model.files[0].sha256.to_string() +
                             R"(","size":)" + std::to_string(model.files[0].size) + "}]}";
  put(".ollama/models/manifests/hf.co/org/alpha-GGUF/Q4_K_M", pulled);
  const auto publication = publish(store(), model);
  ASSERT_TRUE(publication) << publication.error().message;
  EXPECT_EQ(publication->names.back().content, pulled);
  EXPECT_TRUE(says(publication->notes, "already"));
}

TEST_F(OllamaPublish, ARegistrysManifestIsWrittenAsReceivedAndTakesThePlaceOfAnOlderOne) {
  auto model = source({{"model", sample::gguf_bytes(1, 4000)}, {"config", "{}"}}, "");
  model.registry_name = "registry.ollama.ai/library/tiny:3b";
  model.registry_manifest = R"({ "schemaVersion":2,"config":{"digest":")" + model.files[1].sha256.to_string() + R"(","size":2},  "layers":[{"mediaType":"application/vnd.ollama.image.model","digest":")" +
                            model.files[0].sha256.to_string() + R"(","size":)" + std::to_string(model.files[0].size) + "}]}\n";
  const auto publication = publish(store(), model);
  ASSERT_TRUE(publication) << publication.error().message;
  EXPECT_EQ(publication->visible_as, "tiny:3b");
  carry_out(*publication, model);
  EXPECT_EQ(read_all(at(".ollama/models/manifests/registry.ollama.ai/library/tiny/3b")), model.registry_manifest);
  EXPECT_EQ(model_at(listing(), "tiny:3b").incomplete, false);

  put(".ollama/models/manifests/registry.ollama.ai/library/tiny/3b", R"({"schemaVersion":2,"layers":[]})");
  const auto update = publish(store(), model);
  ASSERT_TRUE(update);
  EXPECT_TRUE(update->names.back().replaces);
  EXPECT_TRUE(update->names.back().expected);

  model.files.pop_back();
  EXPECT_EQ(publish(store(), model).error().code, Code::corrupt);
}

TEST_F(OllamaPublish, AServerOfAnotherUserGetsOnlyClones) {
  const auto model = gguf();
  environment.uid += 1;
  const auto publication = publish(store(), model);
  ASSERT_TRUE(publication);
  for (const NewName& name : publication->names) {
    if (name.what != NewName::What::payload) continue;
    EXPECT_EQ(name.links, catalog::kReflinkOnly);
  }
  EXPECT_TRUE(says(publication->notes, "another user"));
}

TEST_F(OllamaPublish, TheDefaultFolderIsWhereTheServerLooks) {
  EXPECT_EQ(adapter_of(StoreKind::ollama).default_root(context())->path, at(kRoot));
  environment.variables["OLLAMA_MODELS"] = " '/srv/models/' ";
  EXPECT_EQ(adapter_of(StoreKind::ollama).default_root(context())->path, "/srv/models");
}

class OllamaRemove : public OllamaPublish {
 protected:
  void publish_and_place(const ModelSource& model) {
    const auto publication = publish(store(), model);
    ASSERT_TRUE(publication) << publication.error().message;
    carry_out(*publication, model);
  }
};

TEST_F(OllamaRemove, LeavesNothingButTheTwoFolders) {
  publish_and_place(gguf());
  const auto removal = remove(listing(), "hf.co/org/alpha-GGUF:Q4_K_M");
  ASSERT_TRUE(removal) << removal.error().message;
  EXPECT_TRUE(removal->names.front().ends_with("/Q4_K_M")) << "the manifest goes first";
  EXPECT_TRUE(removal->kept.empty());
  carry_out(*removal);
  EXPECT_TRUE(names_below(kRoot).empty());
  EXPECT_TRUE(is_there((".ollama/models/blobs")));
  EXPECT_TRUE(is_there((".ollama/models/manifests")));
  EXPECT_FALSE(is_there((".ollama/models/manifests/hf.co")));
}

TEST_F(OllamaRemove, KeepsLayersThatAnotherModelNeeds) {
  publish_and_place(gguf("alpha-Q4_K_M.gguf", 1));
  publish_and_place(gguf("alpha-Q8_0.gguf", 2));  // the same template and stops
  const auto removal = remove(listing(), "hf.co/org/alpha-GGUF:Q4_K_M");
  ASSERT_TRUE(removal);
  EXPECT_TRUE(says(removal->kept, "needed by hf.co/org/alpha-GGUF:Q8_0"));
  carry_out(*removal);
  const auto after = listing();
  EXPECT_EQ(after.models.size(), 1U);
  EXPECT_FALSE(after.models[0].incomplete);
  for (const auto& entry : after.entries) EXPECT_NE(entry.role, Role::orphan) << entry.path;
}

TEST_F(OllamaRemove, CallsNoBlobUnusedWhileAManifestCannotBeRead) {
  publish_and_place(gguf());
  put(".ollama/models/manifests/hf.co/org/beta/latest", "{");
  const auto removal = remove(listing(), "hf.co/org/alpha-GGUF:Q4_K_M");
  ASSERT_TRUE(removal);
  EXPECT_TRUE(says(removal->kept, "cannot be read"));
  EXPECT_FALSE(says(removal->names, "/blobs/"));
}

TEST_F(OllamaRemove, AManifestChangedSinceItWasListedIsAnotherModel) {
  publish_and_place(gguf());
  const auto seen = listing();
  put(".ollama/models/manifests/hf.co/org/alpha-GGUF/Q4_K_M", R"({"layers":[]})");
  EXPECT_EQ(remove(seen, "hf.co/org/alpha-GGUF:Q4_K_M").error().code, Code::changed);
}

TEST_F(OllamaRemove, AModelThatIsBeingPulledIsBusy) {
  const auto model = gguf();
  publish_and_place(model);
  put(".ollama/models/blobs/" + blob_name(model.files[0].sha256) + "-partial", "half");
  EXPECT_EQ(remove(listing(), "hf.co/org/alpha-GGUF:Q4_K_M").error().code, Code::busy);
}

std::string family(std::string_view jinja, std::string_view end = "</s>") {
  const auto found = chat_template_of(jinja, end);
  return found ? std::string(found->family) : "";
}

TEST(OllamaTemplate, KnowsTheFamiliesByTheirTokens) {
  EXPECT_EQ(family(kChatml), "chatml");
  EXPECT_EQ(family("'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + '<|eot_id|>'"), "llama3");
  EXPECT_EQ(family("{{ '[INST] <<SYS>>\\n' + s + '\\n<</SYS>>\\n\\n' + m + ' [/INST]' }}"), "llama2");
  EXPECT_EQ(family("{{ '[INST] ' + m + '[/INST]' }}"), "mistral");
  EXPECT_EQ(family("{{ '<start_of_turn>' + role + '\\n' + m + '<end_of_turn>\\n' }}"), "gemma");
  EXPECT_EQ(family("{{ '<|user|>\\n' + m + '<|end|>\\n<|assistant|>\\n' }}"), "phi3");
  EXPECT_EQ(family("{{ '<|user|>\\n' + m + eos_token }}{{ '<|assistant|>' }}"), "zephyr");
  EXPECT_EQ(family("{{ '<|user|>\\n' + m + eos_token }}{{ '<|assistant|>' }}", ""), "") << "its end token is not known";
  EXPECT_EQ(family("{{ '<｜User｜>' + m + '<｜Assistant｜>' }}"), "deepseek");
  EXPECT_EQ(family("{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' }}"), "command-r");
  EXPECT_EQ(family("{{ '<|start_of_role|>user<|end_of_role|>' }}"), "granite");
  EXPECT_EQ(family("{{ 'GPT4 Correct User: ' }}"), "openchat");
  EXPECT_EQ(family("{{ messages }}"), "");
  EXPECT_EQ(family(""), "");
}

TEST(OllamaTemplate, TakesMistralsBlanksFromTheTemplateItself) {
  EXPECT_TRUE(chat_template_of("'[INST] ' + m + ' [/INST]'", "")->go.contains("[INST] {{ if"));
  EXPECT_TRUE(chat_template_of("'[INST]' + m + '[/INST]'", "")->go.contains("[INST]{{ if"));
}

TEST(OllamaTemplate, ClosesAndLeadsAsTheTemplateDoes) {
  // Some close the user's turn with the end of text, some only the answer's.
  EXPECT_TRUE(chat_template_of("{{ '<|user|>\\n' + content + eos_token }}{% x %}<|assistant|>", "</s>")->go.contains("<|user|>\n{{ .Content }}</s>\n"));
  EXPECT_TRUE(chat_template_of("{{ '<|user|>\\n' + content }}{% x %}{{ eos_token }}<|assistant|>", "</s>")->go.contains("<|user|>\n{{ .Content }}\n"));
  EXPECT_TRUE(chat_template_of("'[INST]' '[/INST]' eos_token + ' '", "")->go.contains("</s> "));
  // An answer that was given has a blank before it, the one to come has none.
  const auto open = chat_template_of("GPT4 Correct User: ", "")->go;
  EXPECT_TRUE(open.contains("GPT4 Correct Assistant:{{ if not $last }} {{ end }}{{ .Content }}"));
  EXPECT_TRUE(open.ends_with("GPT4 Correct Assistant:{{ end }}{{ end }}"));
}

TEST(OllamaTemplate, SaysTheDefaultSystemMessageOnlyWhereItIsALiteral) {
  const auto spoken = chat_template_of("{{ '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}", "");
  EXPECT_TRUE(spoken->go.starts_with("{{ if not .System }}<|im_start|>system\nYou are Qwen.<|im_end|>\n{{ end }}"));
  EXPECT_FALSE(chat_template_of("{{ '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}", "")->go.contains("not .System"));
  EXPECT_FALSE(chat_template_of("{{ '<|im_start|>system\\n{{ evil }}<|im_end|>\\n' }}", "")->go.contains("evil"));
}

}  // namespace
}  // namespace mlxcache::stores::ollama
