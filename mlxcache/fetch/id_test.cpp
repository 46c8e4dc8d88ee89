#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mlxcache/fetch/fetch.h"

namespace mlxcache::fetch {
namespace {

HubId hub(std::string_view text) {
  const auto id = parse_id(text);
  EXPECT_TRUE(id) << text;
  return id && std::holds_alternative<HubId>(*id) ? std::get<HubId>(*id) : HubId{};
}

TEST(Id, NamesARepoARevisionAndAFileOfAHub) {
  EXPECT_EQ(hub("org/name").repo, "org/name");
  EXPECT_EQ(hub("org/name").revision, "main");
  EXPECT_EQ(hub("hf:gpt2").repo, "gpt2");
  EXPECT_EQ(hub("hf:org/name@v1.0").revision, "v1.0");
  EXPECT_EQ(hub("hf:org/name@v1.0/onnx/model.onnx").file, "onnx/model.onnx");
  EXPECT_EQ(hub("hf:org/name/model-Q4_K_M.gguf").file, "model-Q4_K_M.gguf");
  EXPECT_EQ(hub("hf:org/name/a@b.txt").file, "a@b.txt");
  EXPECT_EQ(hub("hf:org/name@refs/pr/12").revision, "refs/pr/12");
  EXPECT_EQ(hub("hf:org/name@refs/pr/12/config.json").file, "config.json");
  EXPECT_EQ(hub("hf:org/name@feature%2Fx/config.json").revision, "feature/x");
  EXPECT_EQ(hub("hf:gpt2@main/onnx/config.json").repo, "gpt2");
  EXPECT_EQ(hub("hf:gpt2@main/onnx/config.json").file, "onnx/config.json");
}

TEST(Id, NamesAModelOfARegistry) {
  const auto id = parse_id("ollama:hf.co/org/repo:Q4_K_M");
  ASSERT_TRUE(id);
  const auto& name = std::get<OllamaId>(*id);
  EXPECT_EQ(name.host, "hf.co");
  EXPECT_EQ(name.tag, "Q4_K_M");
  EXPECT_EQ(to_string(*parse_id("ollama:llama3.2")), "ollama:llama3.2:latest");
}

TEST(Id, NamesAFileByAddressAndDigest) {
  const std::string digest(64, 'a');
  const auto id = parse_id("https://example.org/models/My%20Model.gguf?sig=secret#sha256=" + digest);
  ASSERT_TRUE(id);
  EXPECT_EQ(std::get<UrlId>(*id).file, "My Model.gguf");
  EXPECT_EQ(std::get<UrlId>(*id).sha256.hex(), digest);
  EXPECT_EQ(shown(*id).find("secret"), std::string::npos);
  EXPECT_NE(to_string(*id).find("secret"), std::string::npos);
}

TEST(Id, RefusesWhatCouldLeadElsewhere) {
  const std::vector<std::string> refused{
       "", "name", "hf:", "../../etc/passwd", "hf:../name", "hf:org/..", "hf:org/na--me", "hf:org/name@../x", "hf:org/name@", "hf:org/name@a b",
        "hf:org/name@.hidden", "hf:org/name@a..b", "hf:org/name@-/../x", "hf:org/name/../../x", "hf:org/name//x", "hf:org/name/a/./b", "hf:org/name/C:x",
        "hf:org/name/a\\..\\b", "hf:org/na\nme", "hf:org/name:Q4_K_M", "hf:datasets/org/name", "ollama:", "ollama:../x", "ollama:a/b/c/d/e",
        "ollama:https://x/y/z", "https://example.org/x.gguf", "https://example.org/x.gguf#sha256=12", "https://example.org/..%2Fx#sha256=" + std::string(64, 'a'),
        "https://example.org/#sha256=" + std::string(64, 'a'), "http://example.org/x.gguf#sha256=" + std::string(64, 'a'), "ftp://example.org/x",
        "https://u:p@example.org/x#sha256=" + std::string(64, 'a'), "https://huggingface.co/org/name", "hf.co/org/name:Q4"};
  for (const std::string& text : refused) {
    const auto id = parse_id(text);
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().code, mlxbase::Code::invalid) << text;
    EXPECT_NE(id.error().message.find("hf:org/repo"), std::string::npos) << text;
  }
}

TEST(Id, HasOneTextThatMeansTheSame) {
  for (const std::string text : {"hf:org/name", "hf:gpt2", "hf:org/name@v1", "hf:org/name@feature%2Fx/a/b.json", "hf:org/name@refs/pr/3/a.json", "hf:gpt2@main/x.json",
                                 "hf:org/name/x.json", "ollama:llama3.2:3b", "ollama:user/model:latest", "ollama:hf.co/org/repo:Q4_K_M"}) {
    const auto id = parse_id(text);
    ASSERT_TRUE(id) << text;
    EXPECT_EQ(to_string(*id), text);
  }
}

}  // namespace
}  // namespace mlxcache::fetch
