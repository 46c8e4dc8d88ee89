#include "mlxhub/text/splitter.h"

#include <fmt/format.h>

#include <optional>

#include "mlxhub/text/pattern.h"
#include "mlxhub/text/unicode.h"

namespace mlxhub::text {
namespace {

using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
namespace json = mlxbase::json;

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

Result<Behavior> behavior_of(const std::string& name) {
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  return fail(Code::unsupported, fmt::format("tokenizer.json: the behavior {}", name));
}

/// Parts of one piece, in order; some are matches of the pattern, the others lie between.
struct Part {
  std::string_view text;
  bool match;
};

void put(std::vector<std::string_view>& out, const std::vector<Part>& parts, Behavior behavior) {
  const auto join = [](std::string_view a, std::string_view b) { return std::string_view(a.data(), a.size() + b.size()); };
  switch (behavior) {
    case Behavior::removed:
      for (const Part& part : parts) {
        if (!part.match) out.push_back(part.text);
      }
      return;
    case Behavior::isolated:
      for (const Part& part : parts) out.push_back(part.text);
      return;
    case Behavior::contiguous:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && parts[i].match == parts[i - 1].match) {
          out.back() = join(out.back(), parts[i].text);
        } else {
          out.push_back(parts[i].text);
        }
      }
      return;
    case Behavior::merged_with_previous:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && parts[i].match && !parts[i - 1].match) {
          out.back() = join(out.back(), parts[i].text);
        } else {
          out.push_back(parts[i].text);
        }
      }
      return;
    case Behavior::merged_with_next:
      for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && !parts[i].match && parts[i - 1].match) {
          out.back() = join(out.back(), parts[i].text);
        } else {
          out.push_back(parts[i].text);
        }
      }
      return;
  }
}

/// Splits every piece by what `cut` says of it.
template <class Cut>
Status split_each(Pieces& pieces, Behavior behavior, Cut cut) {
  std::vector<std::string_view> out;
  out.reserve(pieces.list.size());
  std::vector<Part> parts;
  for (const std::string_view piece : pieces.list) {
    parts.clear();
    TRY(cut(piece, parts));
    put(out, parts, behavior);
  }
  pieces.list = std::move(out);
  return {};
}

class Split final : public Splitter {
 public:
  Split(Pattern pattern, Behavior behavior, bool invert) : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  Status run(Pieces& pieces) const override {
    if (behavior_ == Behavior::isolated) return isolate(pieces);
    return split_each(pieces, behavior_, [&](std::string_view piece, std::vector<Part>& parts) -> Status {
      std::size_t done = 0;
      TRY(pattern_.each(piece, [&](std::size_t begin, std::size_t end) {
        if (begin > done) parts.push_back({piece.substr(done, begin - done), invert_});
        parts.push_back({piece.substr(begin, end - begin), !invert_});
        done = end;
      }));
      if (done < piece.size()) parts.push_back({piece.substr(done), invert_});
      return {};
    });
  }

 private:
  Status isolate(Pieces& pieces) const {
    std::vector<std::string_view> out;
    out.reserve(pieces.list.size() * 2 + (pieces.list.size() == 1 ? pieces.list.front().size() / 4 : 0));
    for (const std::string_view piece : pieces.list) {
      std::size_t done = 0;
      TRY(pattern_.each(piece, [&](std::size_t begin, std::size_t end) {
        if (begin > done) out.push_back(piece.substr(done, begin - done));
        out.push_back(piece.substr(begin, end - begin));
        done = end;
      }));
      if (done < piece.size()) out.push_back(piece.substr(done));
    }
    pieces.list = std::move(out);
    return {};
  }
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class ByteLevel final : public Splitter {
 public:
  ByteLevel(std::optional<Pattern> pattern, bool prefix) : prefix_(prefix) {
    if (pattern) split_.emplace(std::move(*pattern), Behavior::isolated, false);
  }
  Status run(Pieces& pieces) const override {
    if (prefix_) {
      for (std::string_view& piece : pieces.list) {
        if (!piece.starts_with(' ')) piece = pieces.made.emplace_back(" " + std::string(piece));
      }
    }
    if (split_) return split_->run(pieces);
    return {};
  }

 private:
  std::optional<Split> split_;
  bool prefix_;
};

/// Cuts by the class of each character.
class ByClass final : public Splitter {
 public:
  using Match = bool (*)(std::uint32_t);
  ByClass(Match match, Behavior behavior) : match_(match), behavior_(behavior) {}
  Status run(Pieces& pieces) const override {
    return split_each(pieces, behavior_, [&](std::string_view piece, std::vector<Part>& parts) -> Status {
      std::size_t done = 0;
      for (std::size_t at = 0; at < piece.size();) {
        const std::size_t begin = at;
        if (!match_(next_point(piece, at))) continue;
        if (begin > done) parts.push_back({piece.substr(done, begin - done), false});
        parts.push_back({piece.substr(begin, at - begin), true});
        done = at;
      }
      if (done < piece.size()) parts.push_back({piece.substr(done), false});
      return {};
    });
  }

 private:
  Match match_;
  Behavior behavior_;
};

/// `\w+|[^\w\s]+`
class Whitespace final : public Splitter {
 public:
  Status run(Pieces& pieces) const override {
    std::vector<std::string_view> out;
    for (const std::string_view piece : pieces.list) {
      std::size_t begin = 0;
      int before = 0;  // 0 space, 1 word, 2 other
      for (std::size_t at = 0; at < piece.size();) {
        const std::size_t here = at;
        const std::uint32_t point = next_point(piece, at);
        const int kind = is_word(point) ? 1 : (is_space(point) ? 0 : 2);
        if (kind != before) {
          if (before != 0) out.push_back(piece.substr(begin, here - begin));
          begin = here;
          before = kind;
        }
      }
      if (before != 0) out.push_back(piece.substr(begin));
    }
    pieces.list = std::move(out);
    return {};
  }
};

class Metaspace final : public Splitter {
 public:
  enum class Prepend { always, first, never };
  Metaspace(std::string replacement, Prepend prepend, bool split)
      : replacement_(std::move(replacement)), prepend_(prepend), split_(split) {}
  Status run(Pieces& pieces) const override {
    std::vector<std::string_view> out;
    bool first = pieces.at_start;
    for (const std::string_view piece : pieces.list) {
      std::string text;
      for (const char c : piece) {
        if (c == ' ') {
          text += replacement_;
        } else {
          text += c;
        }
      }
      if ((prepend_ == Prepend::always || (prepend_ == Prepend::first && first)) && !text.starts_with(replacement_))
        text = replacement_ + text;
      first = false;
      const std::string& kept = pieces.made.emplace_back(std::move(text));
      if (!split_) {
        out.push_back(kept);
        continue;
      }
      std::size_t begin = 0;  // merged with next
      for (std::size_t at = kept.find(replacement_, 1); at != std::string::npos; at = kept.find(replacement_, at + replacement_.size())) {
        if (at > begin) out.push_back(std::string_view(kept).substr(begin, at - begin));
        begin = at;
      }
      if (begin < kept.size()) out.push_back(std::string_view(kept).substr(begin));
    }
    pieces.list = std::move(out);
    return {};
  }

 private:
  std::string replacement_;
  Prepend prepend_;
  bool split_;
};

class Sequence final : public Splitter {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Splitter>> parts) : parts_(std::move(parts)) {}
  Status run(Pieces& pieces) const override {
    for (const auto& part : parts_) TRY(part->run(pieces));
    return {};
  }

 private:
  std::vector<std::unique_ptr<Splitter>> parts_;
};

}  // namespace

Result<std::unique_ptr<Splitter>> make_splitter(const json::Value& description, bool& bytes) {
  using Made = Result<std::unique_ptr<Splitter>>;
  if (description.is_null()) return std::unique_ptr<Splitter>();
  if (bytes) return fail(Code::unsupported, "tokenizer.json: a pre-tokenizer after ByteLevel");
  const std::string type = description["type"].string();
  if (type == "Sequence") {
    std::vector<std::unique_ptr<Splitter>> parts;
    for (const json::Value& part : description["pretokenizers"].array()) {
      auto made = TRY(make_splitter(part, bytes));
      if (made) parts.push_back(std::move(made));
    }
    return Made(std::make_unique<Sequence>(std::move(parts)));
  }
  if (type == "Split") {
    auto pattern = TRY(Pattern::from(description["pattern"]));
    const Behavior behavior = TRY(behavior_of(description["behavior"].string()));
    return Made(std::make_unique<Split>(std::move(pattern), behavior, description["invert"].boolean(false)));
  }
  if (type == "ByteLevel") {
    bytes = true;
    std::optional<Pattern> pattern;
    if (description["use_regex"].boolean(true)) pattern = TRY(Pattern::of_regex(kGpt2));
    return Made(std::make_unique<ByteLevel>(std::move(pattern), description["add_prefix_space"].boolean(true)));
  }
  if (type == "Metaspace") {
    const std::string scheme = description["prepend_scheme"].string(description["add_prefix_space"].boolean(true) ? "always" : "never");
    const auto prepend =
        scheme == "always" ? Metaspace::Prepend::always : (scheme == "first" ? Metaspace::Prepend::first : Metaspace::Prepend::never);
    return Made(
        std::make_unique<Metaspace>(description["replacement"].string("\xE2\x96\x81"), prepend, description["split"].boolean(true)));
  }
  if (type == "Whitespace") return Made(std::make_unique<Whitespace>());
  if (type == "WhitespaceSplit") return Made(std::make_unique<ByClass>(&is_space, Behavior::removed));
  if (type == "Punctuation") {
    const Behavior behavior = TRY(behavior_of(description["behavior"].string("Isolated")));
    return Made(std::make_unique<ByClass>(&is_punctuation, behavior));
  }
  if (type == "Digits") {
    const bool single = description["individual_digits"].boolean(false);
    return Made(std::make_unique<ByClass>(&is_number, single ? Behavior::isolated : Behavior::contiguous));
  }
  if (type == "BertPreTokenizer") {
    std::vector<std::unique_ptr<Splitter>> parts;
    parts.push_back(std::make_unique<ByClass>(&is_space, Behavior::removed));
    parts.push_back(std::make_unique<ByClass>(&is_punctuation, Behavior::isolated));
    return Made(std::make_unique<Sequence>(std::move(parts)));
  }
  return fail(Code::unsupported, fmt::format("tokenizer.json: the pre-tokenizer {}", type));
}

Result<std::unique_ptr<Splitter>> make_regex_splitter(const std::vector<std::string>& patterns) {
  std::vector<std::unique_ptr<Splitter>> parts;
  for (const std::string& source : patterns) {
    auto pattern = TRY(Pattern::of_regex(source));
    parts.push_back(std::make_unique<Split>(std::move(pattern), Behavior::isolated, false));
  }
  return Result<std::unique_ptr<Splitter>>(std::make_unique<Sequence>(std::move(parts)));
}

}  // namespace mlxhub::text
