#include "mlxhub/cpu/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "mlxbase/testing/temporary_folder.h"
#include "mlxhub/model/seeded_fixture.h"

namespace mlxhub::cpu {
namespace {

using engine::Part;
using engine::Token;
using mlxbase::json::Value;
using model::Coding;
using model::Matrix;

const Value& reference() {
  static const Value cases = *mlxbase::json::parse(mlxbase::testing::read_all(MLXHUB_CPU_REFERENCE "/decoders.json"));
  return cases;
}
std::unique_ptr<model::Model> seeded_model(const Value& test, const mlxbase::testing::TemporaryFolder& folder) {
  folder.write("config.json", mlxbase::json::dump(test["config"]));
  folder.write("tokenizer.json", model::letter_tokenizer());
  folder.write("model.safetensors", model::seeded_weights(test));
  auto opened = model::open(mlxbase::os::real_file_system(), folder.path());
  if (!opened) ADD_FAILURE() << opened.error().message;
  return opened ? std::move(*opened) : nullptr;
}
std::vector<Token> tokens_of(const Value& list) {
  std::vector<Token> out;
  for (const Value& v : list.array()) out.push_back(static_cast<Token>(v.u64()));
  return out;
}
Token likeliest(const std::vector<float>& logits) { return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin()); }

TEST(Executor, GivesTheLogitsAndTokensOfTransformersForEveryFamilyOnEveryKernel) {
  ASSERT_GE(reference().object().size(), 7U);
  for (const auto& [name, test] : reference().object()) {
    const mlxbase::testing::TemporaryFolder folder;
    const auto model = seeded_model(test, folder);
    ASSERT_NE(model, nullptr) << name;
    for (const Kernels* kernels : kernels()) {
      for (const unsigned threads : {1U, 2U}) {
        if (threads > 1 && kernels != &best_kernels()) continue;
        const auto engine = make_executor(*model, {.threads = threads, .kernels = kernels});
        const auto sequence = engine->open(64);
        ASSERT_TRUE(sequence);
        std::vector<float> logits(engine->facts().vocabulary);
        const std::vector<Token> prompt = tokens_of(test["prompt"]);
        Part part{*sequence, prompt, logits};
        ASSERT_TRUE(engine->forward({&part, 1}));
        for (std::size_t i = 0; i < logits.size(); ++i) {
          ASSERT_NEAR(logits[i], test["logits"].array()[i].number(), 2e-4) << name << " on " << kernels->name << ", token " << i;
        }
        std::vector<Token> greedy{likeliest(logits)};
        while (greedy.size() < test["greedy"].array().size()) {
          const Token last = greedy.back();
          part.tokens = {&last, 1};
          ASSERT_TRUE(engine->forward({&part, 1}));
          greedy.push_back(likeliest(logits));
        }
        EXPECT_EQ(greedy, tokens_of(test["greedy"])) << name << " on " << kernels->name;
      }
    }
  }
}

class SeededLlama : public ::testing::Test {
 protected:
  SeededLlama() : model_(seeded_model(reference()["llama"], folder_)), engine_(make_executor(*model_, {.threads = 2})) {}
  std::vector<float> logits_after(const std::vector<std::vector<Token>>& pieces) {
    const auto sequence = *engine_->open(64);
    std::vector<float> logits(engine_->facts().vocabulary);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const Part part{sequence, pieces[i], i + 1 == pieces.size() ? std::span<float>(logits) : std::span<float>()};
      EXPECT_TRUE(engine_->forward({&part, 1}));
    }
    engine_->close(sequence);
    return logits;
  }
  static void expect_close(const std::vector<float>& a, const std::vector<float>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4) << i;
  }
  mlxbase::testing::TemporaryFolder folder_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<engine::Engine> engine_;
};

TEST_F(SeededLlama, SaysTheSameHoweverThePromptIsCut) {
  const std::vector<Token> whole = {5, 12, 19, 26, 33, 40, 47, 54, 61};
  const auto at_once = logits_after({whole});
  expect_close(logits_after({{5}, {12, 19}, {26, 33, 40, 47, 54, 61}}), at_once);
  std::vector<std::vector<Token>> singly;
  for (const Token t : whole) singly.push_back({t});
  expect_close(logits_after(singly), at_once);
}

TEST_F(SeededLlama, SaysInABatchWhatItSaysAlone) {
  const std::vector<std::vector<Token>> prompts = {{5, 6, 7}, {90}, {11, 12, 13, 14, 15, 16}, {3, 3}};
  std::vector<std::vector<float>> logits(prompts.size(), std::vector<float>(engine_->facts().vocabulary));
  std::vector<Part> parts;
  for (std::size_t i = 0; i < prompts.size(); ++i) parts.push_back({*engine_->open(16), prompts[i], logits[i]});
  ASSERT_TRUE(engine_->forward(parts));
  for (std::size_t i = 0; i < prompts.size(); ++i) expect_close(logits[i], logits_after({prompts[i]}));
}

TEST_F(SeededLlama, ContinuesACopiedPrefixAsIfItHadBeenRun) {
  const std::vector<Token> prefix = {8, 16, 24, 32, 40}, rest = {7, 9};
  const auto from = *engine_->open(32), to = *engine_->open(16);
  std::vector<float> logits(engine_->facts().vocabulary);
  const Part first{from, prefix, {}};
  ASSERT_TRUE(engine_->forward({&first, 1}));
  engine_->copy_prefix(from, to, 4);
  engine_->close(from);
  const Part second{to, rest, logits};
  ASSERT_TRUE(engine_->forward({&second, 1}));
  expect_close(logits, logits_after({{8, 16, 24, 32, 7, 9}}));
}

TEST_F(SeededLlama, RefusesWhatDoesNotFit) {
  EXPECT_FALSE(engine_->open(257));
  const auto sequence = *engine_->open(2);
  std::vector<float> logits(engine_->facts().vocabulary);
  const std::vector<Token> three = {1, 2, 3}, strange = {96};
  for (const auto& tokens : {three, strange, std::vector<Token>{}}) {
    const Part part{sequence, tokens, logits};
    const auto done = engine_->forward({&part, 1});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, mlxbase::Code::invalid);
  }
}

TEST(Kernels, MultiplyEveryCodingAsItsFloats) {
  struct Case {
    Coding coding;
    std::size_t block, bytes;
    std::vector<std::size_t> halves;
    unsigned bits = 0;
  };
  const std::vector<Case> cases = {
      {Coding::q4_0, 32, 18, {0}},     {Coding::q4_1, 32, 20, {0, 2}},  {Coding::q5_0, 32, 22, {0}},     {Coding::q5_1, 32, 24, {0, 2}},    {Coding::q8_0, 32, 34, {0}},
      {Coding::q2_k, 256, 84, {80, 82}}, {Coding::q3_k, 256, 110, {108}}, {Coding::q4_k, 256, 144, {0, 2}}, {Coding::q5_k, 256, 176, {0, 2}}, {Coding::q6_k, 256, 210, {208}},
      {Coding::iq4_nl, 32, 18, {0}},   {Coding::f16, 1, 2, {0}},        {Coding::bf16, 1, 2, {0}},       {Coding::f32, 1, 4, {}},           {Coding::affine, 8, 4, {}, 4},
      {Coding::affine, 4, 4, {}, 8},   {Coding::affine, 16, 6, {}, 3},
  };
  constexpr std::size_t kRows = 13;
  for (const Case& c : cases) {
    for (const std::size_t columns : {std::size_t{256}, std::size_t{768}, c.block == 1 ? std::size_t{83} : std::size_t{512}}) {
      const std::size_t row_bytes = columns / c.block * c.bytes;
      std::vector<unsigned char> data(kRows * row_bytes + 64);
      for (std::size_t i = 0; i < kRows * row_bytes; ++i) data[i] = static_cast<unsigned char>(model::noise_at("data", i));
      for (std::size_t at = 0; at < kRows * row_bytes; at += c.bytes) {
        for (const std::size_t half : c.halves) data[at + half + 1] = (data[at + half + 1] & 0x83) | (c.coding == Coding::bf16 ? 0x3C : 0x20);
        if (c.coding == Coding::f32) data[at + 3] = (data[at + 3] & 0x80) | 0x3D;
      }
      const std::size_t groups = columns / 64;
      std::vector<float> scales(kRows * (groups + 1)), biases(kRows * (groups + 1));
      for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = model::number_at("s", i, 0.1, 0), biases[i] = model::number_at("b", i, 0.1, 0);
      const Matrix w{.coding = c.coding, .rows = kRows, .columns = columns, .data = reinterpret_cast<const std::byte*>(data.data()), .row_bytes = row_bytes,
                     .scales = reinterpret_cast<const std::byte*>(scales.data()), .biases = reinterpret_cast<const std::byte*>(biases.data()), .scale_coding = Coding::f32,
                     .bits = c.bits, .group = 64};
      if (c.coding == Coding::affine && columns % 64 != 0) continue;
      const std::size_t padded = (columns + 31) / 32 * 32;
      std::vector<float> x(padded), mixed(padded), sums(padded / 8);
      for (std::size_t i = 0; i < columns; ++i) x[i] = model::number_at("x", i, 2, 0);
      for (std::size_t i = 0; i < padded; ++i) {
        sums[i / 32 * 4 + 1] += x[i];
        mixed[i / 32 * 32 + i % 32 / 2 + (i % 2) * 16] = x[i];
      }
      std::vector<double> expected(kRows), size(kRows);
      std::vector<float> row(padded);
      for (std::size_t r = 0; r < kRows; ++r) {
        row_to_floats(w, r, row.data());
        for (std::size_t i = 0; i < columns; ++i) expected[r] += double{row[i]} * x[i], size[r] += std::abs(double{row[i]} * x[i]);
      }
      for (const Kernels* kernels : kernels()) {
        const Input input{.x = x.data(), .interleaved = mixed.data(), .sums = sums.data()};
        std::vector<float> y(kRows);
        kernels->matvec(w, input, 0, 2, y.data());
        kernels->matvec(w, input, 2, kRows - 2, y.data() + 2);
        for (std::size_t r = 0; r < kRows; ++r) {
          EXPECT_NEAR(y[r], expected[r], 1e-5 * size[r] + 1e-5) << kernels->name << ", coding " << static_cast<int>(c.coding) << ", " << columns << " columns, row " << r;
          std::vector<float> floats(padded), own(padded);
          kernels->to_floats(w, r, floats.data());
          row_to_floats(w, r, own.data());
          for (std::size_t i = 0; i < columns; ++i) ASSERT_NEAR(floats[i], own[i], 1e-6 * std::abs(own[i]) + 1e-6);
        }
      }
    }
  }
}

TEST(Kernels, GateNormAndAttendAsTheirDefinitions) {
  for (const Kernels* kernels : kernels()) {
    for (const std::size_t n : {1U, 17U, 64U, 100U}) {
      std::vector<float> a(n), b(n), x(n), out(n);
      for (std::size_t i = 0; i < n; ++i) a[i] = model::number_at("a", i, 200, 0), b[i] = model::number_at("b", i, 2, 0), x[i] = model::number_at("x", i, 2, 0.5);
      const std::vector<float> before = a;
      kernels->gate(a.data(), b.data(), n);
      double squares = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double v = before[i], expected = v / (1 + std::exp(-v)) * b[i];
        EXPECT_NEAR(a[i], expected, 1e-5 * std::abs(expected) + 1e-6) << kernels->name << ' ' << v;
        squares += double{x[i]} * x[i];
      }
      kernels->norm(x.data(), b.data(), out.data(), n, 1e-5F);
      for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(out[i], x[i] / std::sqrt(squares / static_cast<double>(n) + 1e-5) * b[i], 1e-5);
    }
    for (const std::size_t size : {24U, 64U, 128U}) {
      for (const std::size_t positions : {1U, 5U, 33U}) {
        std::vector<float> q(size), k(size * positions), v(size * positions), scores(64), out(size);
        for (std::size_t i = 0; i < size; ++i) q[i] = model::number_at("q", i, 4, 0);
        for (std::size_t i = 0; i < k.size(); ++i) k[i] = model::number_at("k", i, 4, 0), v[i] = model::number_at("v", i, 4, 0);
        kernels->attend({.head_size = size, .positions = positions, .query = q.data(), .keys = k.data(), .values = v.data(), .scale = 0.5F, .scores = scores.data(), .out = out.data()});
        std::vector<double> weight(positions), expected(size);
        double most = -1e300, total = 0;
        for (std::size_t p = 0; p < positions; ++p) {
          for (std::size_t i = 0; i < size; ++i) weight[p] += double{q[i]} * k[p * size + i] * 0.5;
          most = std::max(most, weight[p]);
        }
        for (double& w : weight) total += w = std::exp(w - most);
        for (std::size_t p = 0; p < positions; ++p) {
          for (std::size_t i = 0; i < size; ++i) expected[i] += weight[p] / total * v[p * size + i];
        }
        for (std::size_t i = 0; i < size; ++i) EXPECT_NEAR(out[i], expected[i], 1e-4) << kernels->name << ' ' << size << ' ' << positions;
      }
    }
  }
}

}  // namespace
}  // namespace mlxhub::cpu
