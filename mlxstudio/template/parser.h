#pragma once
#include <string_view>

#include "mlxstudio/template/ast.h"

namespace mlxstudio::jinja {

/// Errors: corrupt (no template, with line and Jinja's words), unsupported (nested deeper than `depth`).
Result<Tree> parse(std::string_view source, int depth);

}  // namespace mlxstudio::jinja
