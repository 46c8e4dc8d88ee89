#include "mlxhub/text/normalizer.h"

#include <fmt/format.h>

#include <vector>

#include "mlxhub/text/pattern.h"
#include "mlxhub/text/unicode.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
namespace json = mlxbase::json;

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> parts) : parts_(std::move(parts)) {}
  Result<std::string> run(std::string text) const override {
    for (const auto& part : parts_) text = TRY(part->run(std::move(text)));
    return text;
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

class Unicode final : public Normalizer {
 public:
  explicit Unicode(NormalForm form) : form_(form) {}
  Result<std::string> run(std::string text) const override { return normalised(text, form_); }

 private:
  NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  Result<std::string> run(std::string text) const override { return lowercase(text); }
};

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    std::size_t at = 0;
    if (!is_space(next_point(text, at))) break;
    text.remove_prefix(at);
  }
  while (right && !text.empty()) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) --begin;
    std::size_t at = begin;
    if (!is_space(next_point(text, at))) break;
    text = text.substr(0, begin);
  }
  return text;
}

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  Result<std::string> run(std::string text) const override { return std::string(strip(text, left_, right_)); }

 private:
  bool left_, right_;
};

std::string without_marks(std::string_view text, bool (*mark)(std::uint32_t)) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (!mark(next_point(text, at))) out += text.substr(begin, at - begin);
  }
  return out;
}

class StripAccents final : public Normalizer {
 public:
  Result<std::string> run(std::string text) const override { return without_marks(text, &is_any_mark); }
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  Result<std::string> run(std::string text) const override {
    std::string out;
    std::size_t done = 0;
    TRY(pattern_.each(text, [&](std::size_t begin, std::size_t end) {
      out.append(text, done, begin - done);
      out += content_;
      done = end;
    }));
    if (done == 0) return text;
    out.append(text, done);
    return out;
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  Result<std::string> run(std::string text) const override { return text.empty() ? text : text_ + text; }

 private:
  std::string text_;
};

class Bert final : public Normalizer {
 public:
  Bert(bool clean, bool chinese, bool accents, bool lower) : clean_(clean), chinese_(chinese), accents_(accents), lower_(lower) {}
  Result<std::string> run(std::string text) const override {
    if (clean_) text = cleaned(text);
    if (chinese_) text = spaced(text);
    if (accents_) text = without_marks(TRY(normalised(text, NormalForm::nfd)), &is_mark);
    if (lower_) text = lowercase(text);
    return text;
  }

 private:
  static std::string cleaned(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const std::uint32_t point = next_point(text, at);
      const bool space = point == '\t' || point == '\n' || point == '\r' || is_space(point);
      if (point == 0 || point == 0xFFFD || (!space && is_control(point))) continue;
      if (space) {
        out += ' ';
      } else {
        out += text.substr(begin, at - begin);
      }
    }
    return out;
  }
  static std::string spaced(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const bool wide = is_chinese(next_point(text, at));
      if (wide) out += ' ';
      out += text.substr(begin, at - begin);
      if (wide) out += ' ';
    }
    return out;
  }
  bool clean_, chinese_, accents_, lower_;
};

}  // namespace

Result<std::unique_ptr<Normalizer>> make_normalizer(const json::Value& description) {
  using Made = Result<std::unique_ptr<Normalizer>>;
  if (description.is_null()) return std::unique_ptr<Normalizer>();
  const std::string type = description["type"].string();
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Normalizer>> parts;
    for (const json::Value& part : description["normalizers"].array()) {
      auto made = TRY(make_normalizer(part));
      if (made) parts.push_back(std::move(made));
    }
    if (parts.empty()) return std::unique_ptr<Normalizer>();
    return Made(std::make_unique<Sequence>(std::move(parts)));
  }
  if (type == "NFC") return Made(std::make_unique<Unicode>(NormalForm::nfc));
  if (type == "NFD") return Made(std::make_unique<Unicode>(NormalForm::nfd));
  if (type == "NFKC") return Made(std::make_unique<Unicode>(NormalForm::nfkc));
  if (type == "NFKD") return Made(std::make_unique<Unicode>(NormalForm::nfkd));
  if (type == "Lowercase") return Made(std::make_unique<Lowercase>());
  if (type == "Strip")
    return Made(std::make_unique<Strip>(description["strip_left"].boolean(true), description["strip_right"].boolean(true)));
  if (type == "StripAccents") return Made(std::make_unique<StripAccents>());
  if (type == "Prepend") return Made(std::make_unique<Prepend>(description["prepend"].string()));
  if (type == "Replace") {
    auto pattern = TRY(Pattern::from(description["pattern"]));
    return Made(std::make_unique<Replace>(std::move(pattern), description["content"].string()));
  }
  if (type == "BertNormalizer") {
    const bool lower = description["lowercase"].boolean(true);
    return Made(std::make_unique<Bert>(description["clean_text"].boolean(true), description["handle_chinese_chars"].boolean(true),
                                       description["strip_accents"].boolean(lower), lower));
  }
  return fail(Code::unsupported, fmt::format("tokenizer.json: the normalizer {}", type));
}

}  // namespace mlxhub::text
