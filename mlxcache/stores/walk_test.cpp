#include "mlxcache/stores/walk.h"

#include <sys/stat.h>
#include <unistd.h>

#include "mlxbase/core/parallel.h"
#include "mlxcache/stores/test_home.h"

namespace mlxcache::stores {
namespace {

TEST(Walk, GivesEveryNameOnceInSortedOrderAndFollowsNoLink) {
  TestHome home;
  home.put("r/b/file", "1");
  home.put("r/a/file", "1");
  home.link("r/c-dir", home.at("r/a"));
  home.link("r/d-gone", "nowhere");
  std::vector<catalog::Problem> problems;
  const auto found = walk(home.fs, home.at("r"), problems);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_TRUE(found[0].path.ends_with("a/file"));
  EXPECT_TRUE(found[1].path.ends_with("b/file"));
  EXPECT_TRUE(found[2].link_resolves);
  EXPECT_EQ(found[2].target_kind, mlxbase::os::FileKind::directory);
  EXPECT_FALSE(found[3].link_resolves);
  EXPECT_EQ(found[3].link_target, "nowhere");
  EXPECT_TRUE(problems.empty());
}

TEST(Walk, GoesThroughALinkAtTheRootOnly) {
  TestHome home;
  home.put("r/file", "1");
  home.link("alias", home.at("r"));
  std::vector<catalog::Problem> problems;
  EXPECT_EQ(walk(home.fs, home.at("alias"), problems).size(), 1U);
}

TEST(Walk, TellsWhereLinksLeadAsTheKernelDoes) {
  TestHome home;
  home.put("r/blobs/b", "1");
  home.put("r/blobs/deep/x", "1");
  home.put("outside/o", "1");
  home.put("outside/blobs/b", "1");
  home.link("r/s/1/plain", "../../blobs/b");
  home.link("r/s/1/absolute", home.at("r/blobs/b"));
  home.link("r/s/1/gone", "../../blobs/c");
  home.link("r/s/1/folder", "../../blobs");
  home.link("r/s/1/past-a-file", "../../blobs/b/");
  home.link("r/s/1/below-a-file", "../../blobs/b/../b");
  home.link("r/s/1/out", "../../../outside/o");
  home.link("r/s/1/to-link", "plain");
  home.link("r/s/1/to-gone", "gone");
  home.link("r/s/1/loop", "loop");
  home.link("r/aside", home.at("outside/blobs"));
  home.link("r/s/1/up-from-aside", "../../aside/../o");          // by the text alone: r/o, which is not there
  home.link("r/s/1/not-there", "../../aside/../blobs/deep/x");   // by the text alone: there
  std::vector<catalog::Problem> problems;
  std::size_t links = 0;
  for (const Found& f : walk(home.fs, home.at("r"), problems)) {
    if (f.link_target.empty()) continue;
    ++links;
    const auto truth = home.fs.stat(f.path, mlxbase::os::Follow::yes);
    EXPECT_EQ(f.link_resolves, truth.has_value()) << f.path;
    EXPECT_EQ(f.target_kind, truth ? truth->kind : mlxbase::os::FileKind::unknown) << f.path;
  }
  EXPECT_EQ(links, 13U);
  EXPECT_TRUE(problems.empty());
}

TEST(Walk, GivesTheSameToManyThreads) {
  TestHome home;
  for (int a = 0; a < 12; ++a) {
    for (int b = 0; b < 6; ++b) home.put("r/" + std::to_string(a) + "/" + std::to_string(b) + "/file", "1");
    home.put("r/" + std::to_string(a) + "-file", "1");
  }
  WalkOptions options;
  options.max_depth = 1;
  auto& real = mlxbase::os::real_file_system();
  const auto names = [&](unsigned workers) {
    std::vector<std::string> out;
    mlxbase::crew_for(1, workers, [&](std::size_t) {
      std::vector<catalog::Problem> problems;
      for (const Found& f : walk(real, home.at("r"), problems)) out.push_back(f.path);
      (void)walk(real, home.at("r"), problems, options);
      for (const auto& p : problems) out.push_back(p.path);
    });
    return out;
  };
  const auto alone = names(1);
  EXPECT_EQ(alone.size(), 12U * 7 + 12U * 6);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(names(4), alone);
}

TEST(Walk, StopsAtItsDepthAndSaysSo) {
  TestHome home;
  home.put("r/1/2/3/file", "1");
  std::vector<catalog::Problem> problems;
  WalkOptions options;
  options.max_depth = 2;
  EXPECT_TRUE(walk(home.fs, home.at("r"), problems, options).empty());
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_TRUE(problems[0].path.ends_with("1/2/3"));
}

TEST(MissingSplit, IsToldFromTheNamesAlone) {
  const auto missing = [](std::vector<std::string_view> names) { return has_missing_split(names); };
  EXPECT_FALSE(missing({"model.safetensors", "a-00001-of-00001.gguf"}));
  EXPECT_TRUE(missing({"a-00001-of-00002.gguf"}));
  EXPECT_FALSE(missing({"a-00001-of-00002.gguf", "a-00002-of-00002.gguf"}));
  EXPECT_TRUE(missing({"a-00001-of-00002.gguf", "b-00002-of-00002.gguf"})) << "two sets, each with a hole";
  EXPECT_TRUE(missing({"x/a-00001-of-00002.gguf", "y/a-00002-of-00002.gguf"})) << "in two folders";
  EXPECT_FALSE(missing({"variables.data-00000-of-00001"})) << "TensorFlow counts from nought";
  EXPECT_FALSE(missing({"-00001-of-00002.gguf", "a-1-of-2.gguf", "a-0001-of-00002.gguf"})) << "no such numbering";
}

TEST(PartialName, CoversEveryToolsSpelling) {
  for (const std::string_view name :
       {"x.incomplete", "x.part", "x.partial", "sha256-ab-partial-3", "x.downloading", "downloading_x", "incomplete-x.gguf",
        "x.downloadInProgress", "x.tmp", "._____temp", "tmpinstall_1", "x.sync.part", "x.parallel_tmp"}) {
    EXPECT_TRUE(is_partial_name(name)) << name;
  }
  for (const std::string_view name : {"model.safetensors", "partial.gguf", "x.party", "incomplete"})
    EXPECT_FALSE(is_partial_name(name)) << name;
}

TEST(Onnx, IsTheModelAndItsExternalData) {
  for (const std::string_view name : {"model.onnx", "model.onnx_data", "model.onnx_data_1", "model.onnx.data", "MODEL.ONNX"})
    EXPECT_TRUE(is_onnx(name)) << name;
  for (const std::string_view name : {"onnx", "model.safetensors", "onnx.bin"}) EXPECT_FALSE(is_onnx(name)) << name;
}

TEST(Format, IsToldByTheEnding) {
  EXPECT_EQ(format_of("a/b.safetensors"), "safetensors");
  EXPECT_EQ(format_of("B.GGUF"), "gguf");
  EXPECT_EQ(format_of("ggml-tiny.en.bin"), "ggml");
  EXPECT_EQ(format_of("pytorch_model.bin"), "pytorch");
  EXPECT_EQ(format_of("config.json"), "");
}

}  // namespace
}  // namespace mlxcache::stores
