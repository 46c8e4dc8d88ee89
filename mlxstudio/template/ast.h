#pragma once
// A template as a tree. One kind of node for expressions and one for statements: which fields a kind uses stands beside it.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mlxstudio/template/value.h"

namespace mlxstudio::jinja {

using NameId = std::uint32_t;  // index into Tree::names: a variable's name is compared as a number

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<Stmt>;

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr list, dict;  // *list, **dict
};

struct Expr {
  enum class Kind : std::uint8_t {
    constant,  // constant
    name,      // id, text
    list,      // items
    tuple,     // items
    dict,      // items: key, value, key, value
    member,    // a.text
    item,      // a[b]
    slice,     // items: start, stop, step (null where not given); only as b of item
    call,      // a(arguments)
    filter,    // a | text(arguments); a is null for the start of a filter block
    test,      // a is text(arguments)
    negate,
    plus,
    logical_not,  // a
    logical_and,
    logical_or,  // a, b
    add,
    subtract,
    multiply,
    divide,
    floor_divide,
    modulo,
    power,      // a, b
    concat,     // items
    compare,    // a, then items with ops
    condition,  // a if b else c (c may be null)
    ns_member,  // id.text as the target of an assignment
  };
  Kind kind = Kind::constant;
  int line = 1;
  NameId id = 0;
  std::string text;
  Value constant;
  ExprPtr a, b, c;
  std::vector<ExprPtr> items;
  std::vector<std::string> ops;
  std::unique_ptr<Arguments> arguments;
};

struct Parameter {
  NameId id = 0;
  std::string name;
  ExprPtr otherwise;  // default
};

struct Stmt {
  enum class Kind : std::uint8_t {
    data,       // text
    print,      // a
    set,        // target = a
    set_block,  // target, body, a: filters or null
    if_,        // a, body, otherwise
    for_,       // target in a, condition b, body, otherwise, recursive
    macro,      // id, text, parameters, body
    call,       // a: the call; parameters, body
    filter,     // a: filters, body
    with,       // parameters as targets and values; body
    scope,      // body in a scope of its own: generation, autoescape, block
    break_,
    continue_,
    refused,  // text: why; an error once it is reached
  };
  Kind kind = Kind::data;
  int line = 1;
  NameId id = 0;
  std::string text;
  ExprPtr target, a, b;
  Body body, otherwise;
  std::vector<Parameter> parameters;
  bool recursive = false;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;  // of a macro
};

struct Tree {
  Body body;
  std::vector<std::string> names;
};

}  // namespace mlxstudio::jinja
