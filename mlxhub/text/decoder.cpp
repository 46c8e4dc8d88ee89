#include "mlxhub/text/decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "mlxbase/core/printable.h"
#include "mlxhub/text/pattern.h"
#include "mlxhub/text/unicode.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace json = mlxbase::json;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

class ReplaceStep final : public DecodeStep {
 public:
  ReplaceStep(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void run(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string out;
      std::size_t done = 0;
      const auto searched = pattern_.each(token, [&](std::size_t begin, std::size_t end) {
        out.append(token, done, begin - done);
        out += content_;
        done = end;
      });
      if (!searched || done == 0) continue;  // tokens are short: a search cannot cost too much
      out.append(token, done);
      token = std::move(out);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class ByteFallbackStep final : public DecodeStep {
 public:
  Kind kind() const override { return Kind::bytes; }
  void run(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (mlxbase::is_utf8(bytes)) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = byte_of_token(token); byte >= 0) {
        bytes += static_cast<char>(byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
};

class FuseStep final : public DecodeStep {
 public:
  Kind kind() const override { return Kind::fuse; }
  void run(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, std::move(all));
  }
};

class StripStep final : public DecodeStep {
 public:
  StripStep(std::string content, std::size_t start, std::size_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  Kind kind() const override { return Kind::strip; }
  bool only_first_character() const override { return content_.size() == 1 && start_ <= 1 && stop_ == 0; }
  void run(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view text = token;
      for (std::size_t i = 0; i < start_ && text.starts_with(content_); ++i) text.remove_prefix(content_.size());
      for (std::size_t i = 0; i < stop_ && text.ends_with(content_); ++i) text.remove_suffix(content_.size());
      token = std::string(text);
    }
  }

 private:
  std::string content_;
  std::size_t start_, stop_;
};

class MetaspaceStep final : public DecodeStep {
 public:
  MetaspaceStep(std::string replacement, bool prefix) : replacement_(std::move(replacement)), prefix_(prefix) {}
  void run(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      if (i == 0 && prefix_ && tokens[i].starts_with(replacement_)) tokens[i].erase(0, replacement_.size());
      replace_all(tokens[i], replacement_, " ");
    }
  }

 private:
  std::string replacement_;
  bool prefix_;
};

class WordPieceStep final : public DecodeStep {
 public:
  WordPieceStep(std::string prefix, bool clean) : prefix_(std::move(prefix)), clean_(clean) {}
  void run(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_)) {
          token.erase(0, prefix_.size());
        } else {
          token.insert(0, " ");
        }
      }
      if (!clean_) continue;
      static constexpr std::pair<std::string_view, std::string_view> kClean[] = {
          {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
          {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
      for (const auto& [from, to] : kClean) replace_all(token, from, to);
    }
  }

 private:
  std::string prefix_;
  bool clean_;
};

class BpeStep final : public DecodeStep {
 public:
  explicit BpeStep(std::string suffix) : suffix_(std::move(suffix)) {}
  void run(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

}  // namespace

bool can_stream(const std::vector<std::unique_ptr<DecodeStep>>& steps) {
  bool fused = false, bytes = false;
  for (const auto& step : steps) {
    if (fused && !(step->kind() == DecodeStep::Kind::fuse || (step->kind() == DecodeStep::Kind::strip && step->only_first_character())))
      return false;
    if (bytes && step->kind() == DecodeStep::Kind::bytes) return false;
    if (bytes && !fused && step->kind() != DecodeStep::Kind::fuse) return false;
    fused = fused || step->kind() == DecodeStep::Kind::fuse;
    bytes = bytes || step->kind() == DecodeStep::Kind::bytes;
  }
  return std::count_if(steps.begin(), steps.end(), [](const auto& step) { return step->kind() == DecodeStep::Kind::strip; }) <= 1;
}

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c >= 'A' && c <= 'F' ? c - 'A' + 10 : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1));
  };
  const int high = digit(token[3]), low = digit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Result<std::vector<std::unique_ptr<DecodeStep>>> make_decoder(const json::Value& description, bool& bytes) {
  std::vector<std::unique_ptr<DecodeStep>> steps;
  const std::string type = description["type"].string();
  if (type == "Sequence") {
    for (const json::Value& part : description["decoders"].array()) {
      auto more = TRY(make_decoder(part, bytes));
      for (auto& step : more) steps.push_back(std::move(step));
    }
    if (bytes && !steps.empty()) return fail(Code::unsupported, "tokenizer.json: decoders beside ByteLevel");
    return steps;
  }
  if (type == "ByteLevel") {
    bytes = true;
    return steps;
  }
  if (type == "Replace") {
    auto pattern = TRY(Pattern::from(description["pattern"]));
    steps.push_back(std::make_unique<ReplaceStep>(std::move(pattern), description["content"].string()));
  } else if (type == "ByteFallback") {
    steps.push_back(std::make_unique<ByteFallbackStep>());
  } else if (type == "Fuse") {
    steps.push_back(std::make_unique<FuseStep>());
  } else if (type == "Strip") {
    steps.push_back(std::make_unique<StripStep>(description["content"].string(" "), static_cast<std::size_t>(description["start"].u64()),
                                                static_cast<std::size_t>(description["stop"].u64())));
  } else if (type == "Metaspace") {
    const std::string scheme = description["prepend_scheme"].string(description["add_prefix_space"].boolean(true) ? "always" : "never");
    steps.push_back(std::make_unique<MetaspaceStep>(description["replacement"].string("\xE2\x96\x81"), scheme != "never"));
  } else if (type == "WordPiece") {
    steps.push_back(std::make_unique<WordPieceStep>(description["prefix"].string("##"), description["cleanup"].boolean(true)));
  } else if (type == "BPEDecoder") {
    steps.push_back(std::make_unique<BpeStep>(description["suffix"].string("</w>")));
  } else {
    return fail(Code::unsupported, fmt::format("tokenizer.json: the decoder {}", type));
  }
  return steps;
}

}  // namespace mlxhub::text
