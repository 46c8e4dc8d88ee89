#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>

#include "mlxhub/grammar/grammar.h"

namespace mlxhub::grammar {
namespace {

constexpr std::size_t kMostNodes = 200'000;    // 3 MB
constexpr std::size_t kMostIndentation = 32;   // characters of white space after a new line: a model may not write them for ever
constexpr std::size_t kMostDigits = 19;        // of whole numbers, and behind the point

}  // namespace

ByteSet bytes_between(unsigned char first, unsigned char last) {
  ByteSet set{};
  for (unsigned b = first; b <= last; ++b) set[b >> 6U] |= std::uint64_t{1} << (b & 63U);
  return set;
}
ByteSet bytes_of(std::string_view bytes) {
  ByteSet set{};
  for (const char c : bytes) set = either(set, bytes_between(static_cast<unsigned char>(c), static_cast<unsigned char>(c)));
  return set;
}
ByteSet either(const ByteSet& a, const ByteSet& b) { return {a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]}; }
ByteSet but(const ByteSet& all, const ByteSet& without) { return {all[0] & ~without[0], all[1] & ~without[1], all[2] & ~without[2], all[3] & ~without[3]}; }

NodeId Builder::add(Node node) {
  if (made_->nodes.size() <= kMostNodes) made_->nodes.push_back(node);
  return static_cast<NodeId>(made_->nodes.size() - 1);
}
bool Builder::fits() const { return made_->nodes.size() <= kMostNodes; }

NodeId Builder::byte_of(const ByteSet& set, NodeId next) {
  auto at = std::find(made_->sets.begin(), made_->sets.end(), set);
  if (at == made_->sets.end()) at = made_->sets.insert(made_->sets.end(), set);
  return add({.kind = Node::Kind::bytes, .set = static_cast<std::uint32_t>(at - made_->sets.begin()), .next = next});
}
NodeId Builder::literal(std::string_view text, NodeId next) {
  for (auto c = text.rbegin(); c != text.rend(); ++c) next = byte_of(bytes_of({&*c, 1}), next);
  return next;
}
NodeId Builder::choice(const std::vector<NodeId>& ways) {
  assert(!ways.empty());
  NodeId all = ways.back();
  for (std::size_t i = ways.size() - 1; i-- > 0;) all = add({.kind = Node::Kind::split, .next = ways[i], .other = all});
  return all;
}
NodeId Builder::any_number(const Part& part, NodeId next) {
  const NodeId loop = add({.kind = Node::Kind::split, .next = next, .other = next});
  const NodeId body = part(loop);
  made_->nodes[loop].next = body;
  return loop;
}
NodeId Builder::repeat(const Part& part, std::size_t least, std::size_t most, NodeId next) {
  const NodeId after = next;
  if (most == SIZE_MAX) {
    next = any_number(part, next);
  } else {
    for (std::size_t i = least; i < most && fits(); ++i) next = choice({part(next), after});
  }
  for (std::size_t i = 0; i < least && fits(); ++i) next = part(next);
  return next;
}
NodeId Builder::call(RuleId rule, NodeId next) { return add({.kind = Node::Kind::call, .next = next, .other = rule}); }
RuleId Builder::rule(NodeId start) {
  made_->rules.push_back(start);
  return static_cast<RuleId>(made_->rules.size() - 1);
}
RuleId Builder::declare() { return rule(end()); }

NodeId Builder::text_until(std::string_view marker, NodeId after, NodeId next) {
  // How much of the marker the text ends with, as Knuth, Morris and Pratt count it; a state for each.
  const std::size_t n = marker.size();
  std::vector<NodeId> states;
  for (std::size_t k = 0; k < n; ++k) states.push_back(add({.kind = Node::Kind::split, .next = next, .other = next}));
  const auto follow = [&](std::size_t k, char c) {
    std::string seen(marker.substr(0, k));
    seen += c;
    for (std::size_t length = std::min(n, seen.size());; --length) {
      if (seen.ends_with(marker.substr(0, length))) return length;
    }
  };
  for (std::size_t k = 0; k < n; ++k) {
    std::vector<ByteSet> to(n + 1, ByteSet{});
    for (unsigned b = 0; b < 256; ++b) {
      const char c = static_cast<char>(b);
      const std::size_t length = follow(k, c);
      to[length] = either(to[length], bytes_of({&c, 1}));
    }
    std::vector<NodeId> ways;
    for (std::size_t length = 0; length <= n; ++length) {
      if (to[length] != ByteSet{}) ways.push_back(byte_of(to[length], length == n ? after : states[length]));
    }
    made_->nodes[states[k]].other = choice(ways);
  }
  return states.front();
}

Builder::Builder() : made_(std::make_shared<Grammar>()) {
  add({.kind = Node::Kind::finish});
  const ByteSet digit = bytes_between('0', '9'), hex = either(digit, either(bytes_between('a', 'f'), bytes_between('A', 'F')));
  const ByteSet rest = bytes_between(0x80, 0xBF);
  const auto one_of = [&](std::string_view bytes) { return [this, bytes](NodeId next) { return byte_of(bytes_of(bytes), next); }; };

  const NodeId indented = repeat(one_of(" \t"), 0, kMostIndentation, end());
  space_ = rule(choice({end(), literal(" ", end()), literal("\n", indented)}));

  // A character of a string: UTF-8 as RFC 3629 allows it, or an escape, of which those for surrogates come in pairs.
  const NodeId hex2 = byte_of(hex, byte_of(hex, end()));
  const NodeId low = literal("\\u", byte_of(bytes_of("dD"), byte_of(bytes_of("cdefCDEF"), hex2)));
  const NodeId unicode = choice({byte_of(but(hex, bytes_of("dD")), byte_of(hex, hex2)), byte_of(bytes_of("dD"), byte_of(bytes_between('0', '7'), hex2)),
                                 byte_of(bytes_of("dD"), byte_of(bytes_of("89abAB"), byte_of(hex, byte_of(hex, low))))});
  const NodeId one = byte_of(rest, end()), two = byte_of(rest, one);
  character_ = rule(choice({byte_of(but(bytes_between(0x20, 0x7F), bytes_of("\"\\")), end()), byte_of(bytes_between(0xC2, 0xDF), one), literal("\xE0", byte_of(bytes_between(0xA0, 0xBF), one)),
                            byte_of(but(bytes_between(0xE1, 0xEF), bytes_of("\xED")), two), literal("\xED", byte_of(bytes_between(0x80, 0x9F), one)),
                            literal("\xF0", byte_of(bytes_between(0x90, 0xBF), two)), byte_of(bytes_between(0xF1, 0xF3), byte_of(rest, two)), literal("\xF4", byte_of(bytes_between(0x80, 0x8F), two)),
                            literal("\\", choice({byte_of(bytes_of("\"\\/bfnrt"), end()), literal("u", unicode)}))}));
  string_ = rule(literal("\"", any_number([&](NodeId next) { return call(character_, next); }, literal("\"", end()))));

  const auto digits = [&](std::size_t least, std::size_t most) { return [this, digit, least, most](NodeId next) { return repeat([&](NodeId n) { return byte_of(digit, n); }, least, most, next); }; };
  const auto whole = [&](NodeId next) {
    return optional([&](NodeId n) { return literal("-", n); }, choice({literal("0", next), byte_of(bytes_between('1', '9'), digits(0, kMostDigits - 1)(next))}));
  };
  integer_ = rule(whole(end()));
  const NodeId exponent = optional([&](NodeId n) { return byte_of(bytes_of("eE"), optional([&](NodeId m) { return byte_of(bytes_of("+-"), m); }, digits(1, 3)(n))); }, end());
  number_ = rule(whole(optional([&](NodeId n) { return literal(".", digits(1, kMostDigits)(n)); }, exponent)));

  value_ = declare(), object_ = declare(), array_ = declare();
  const auto value = [&](NodeId next) { return call(value_, next); };
  define(object_, pairs(value, end()));
  const NodeId close = space(literal("]", end()));
  define(array_, literal("[", space(choice({literal("]", end()), value(any_number([&](NodeId next) { return literal(",", space(value(next))); }, close))}))));
  define(value_, choice({call(object_, end()), call(array_, end()), call(string_, end()), call(number_, end()), literal("true", end()), literal("false", end()), literal("null", end())}));
}

/// An object of any names, with values of one kind.
NodeId Builder::pairs(const Part& value, NodeId next) {
  const RuleId pair = rule(call(string_, literal(":", space(value(end())))));
  const NodeId close = space(literal("}", next));
  return literal("{", space(choice({literal("}", next), call(pair, any_number([&](NodeId n) { return literal(",", space(call(pair, n))); }, close))})));
}

std::shared_ptr<const Grammar> Builder::build(NodeId start) && {
  made_->start = start;
  return std::move(made_);
}

}  // namespace mlxhub::grammar
