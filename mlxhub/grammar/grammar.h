#pragma once
// What a text may look like, byte by byte: rules that call each other, from a JSON Schema or put together by hand. Schemas are other people's: what one may cost
// is bounded. What a schema asks for and this cannot promise is refused by name; what it can promise holds for every text that fits.
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"
#include "mlxbase/format/json.h"

namespace mlxhub::grammar {

using ByteSet = std::array<std::uint64_t, 4>;
using NodeId = std::uint32_t;
using RuleId = std::uint32_t;

struct Node {
  enum class Kind : std::uint8_t {
    bytes,   // one byte of `set`, then `next`
    split,   // `next` or `other`
    call,    // rule `other`, then `next`
    finish,  // the rule ends here
  };
  Kind kind = Kind::finish;
  std::uint32_t set = 0;  // index into Grammar::sets
  NodeId next = 0;
  std::uint32_t other = 0;
};

/// Does not change once it is built: many may use it at once.
struct Grammar {
  std::vector<Node> nodes;
  std::vector<ByteSet> sets;
  std::vector<NodeId> rules;  // where each begins
  NodeId start = 0;           // a text begins here, and ends at a `finish` with nothing left to return to
};

/// Puts a grammar together from its end to its beginning: every part is told what follows it.
class Builder {
 public:
  Builder();

  NodeId end() const { return 0; }  // of a rule, or of the text
  NodeId byte_of(const ByteSet& set, NodeId next);
  NodeId literal(std::string_view text, NodeId next);
  /// At least one.
  NodeId choice(const std::vector<NodeId>& ways);
  using Part = std::function<NodeId(NodeId next)>;
  NodeId optional(const Part& part, NodeId next) { return choice({part(next), next}); }
  NodeId any_number(const Part& part, NodeId next);
  /// SIZE_MAX: no limit.
  NodeId repeat(const Part& part, std::size_t least, std::size_t most, NodeId next);
  NodeId call(RuleId rule, NodeId next);
  RuleId rule(NodeId start);
  /// One that is called before it is known.
  RuleId declare();
  void define(RuleId rule, NodeId start) { made_->rules[rule] = start; }
  /// Any text in which `marker` does not occur, ended anywhere by `next`; where it does occur, `after` follows it.
  NodeId text_until(std::string_view marker, NodeId after, NodeId next);

  // JSON, as RFC 8259 has it, with little white space.
  NodeId space(NodeId next) { return call(space_, next); }
  NodeId json_value(NodeId next) { return call(value_, next); }
  NodeId json_object(NodeId next) { return call(object_, next); }
  /// Errors: unsupported (a keyword that cannot be promised, by name and place; too large), invalid (no schema).
  mlxbase::Result<NodeId> schema(const mlxbase::json::Value& schema, NodeId next);

  /// False once it has become too large: then what was built is of no use.
  bool fits() const;
  std::shared_ptr<const Grammar> build(NodeId start) &&;

 private:
  friend class SchemaReader;
  NodeId add(Node node);
  NodeId pairs(const Part& value, NodeId next);

  std::shared_ptr<Grammar> made_;
  RuleId space_ = 0, character_ = 0, string_ = 0, number_ = 0, integer_ = 0, value_ = 0, object_ = 0, array_ = 0;
};

/// Any JSON object. Errors: as Builder::schema.
mlxbase::Result<std::shared_ptr<const Grammar>> any_json_object();
mlxbase::Result<std::shared_ptr<const Grammar>> json_of(const mlxbase::json::Value& schema);

ByteSet bytes_between(unsigned char first, unsigned char last);
ByteSet bytes_of(std::string_view bytes);
ByteSet either(const ByteSet& a, const ByteSet& b);
ByteSet but(const ByteSet& all, const ByteSet& without);
inline bool has(const ByteSet& set, unsigned char byte) { return (set[byte >> 6U] >> (byte & 63U) & 1U) != 0; }

}  // namespace mlxhub::grammar
