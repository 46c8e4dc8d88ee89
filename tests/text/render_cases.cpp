// Renders the cases of a JSON file and prints what came out, one JSON document a line: {"text": …} or {"error": …, "code": …}.
// The file: {"now": [year, month, day, hour, minute, second], "templates": [text, …], "cases": [{"template": index, "variables": {…}}, …]}
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "mlxbase/format/json.h"
#include "mlxstudio/template/template.h"

namespace json = mlxbase::json;
namespace jinja = mlxstudio::jinja;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::ifstream in(argv[1], std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto document = json::parse(text, {.bytes = std::size_t{1} << 30U, .depth = 200});
  if (!document) {
    std::fprintf(stderr, "%s\n", document.error().message.c_str());
    return 1;
  }
  std::tm now{};
  const json::Array& parts = (*document)["now"].array();
  if (parts.size() == 6) {
    now.tm_year = static_cast<int>(parts[0].i64()) - 1900;
    now.tm_mon = static_cast<int>(parts[1].i64()) - 1;
    now.tm_mday = static_cast<int>(parts[2].i64());
    now.tm_hour = static_cast<int>(parts[3].i64());
    now.tm_min = static_cast<int>(parts[4].i64());
    now.tm_sec = static_cast<int>(parts[5].i64());
    now.tm_isdst = -1;
    std::mktime(&now);  // the day of the week and of the year
  }
  std::vector<mlxbase::Result<jinja::Template>> templates;
  for (const json::Value& source : (*document)["templates"].array()) templates.push_back(jinja::Template::compile(source.string()));
  for (const json::Value& one : (*document)["cases"].array()) {
    const auto& compiled = templates.at(one["template"].u64());
    mlxbase::Result<std::string> result = compiled ? compiled->render({.variables = one["variables"], .now = now})
                                                   : mlxbase::Result<std::string>(mlxbase::fail(compiled.error()));
    json::Value line;
    if (result) {
      line.set("text", *result);
    } else {
      line.set("error", result.error().message);
      line.set("code", mlxbase::to_string(result.error().code));
    }
    std::puts(json::dump(line).c_str());
  }
  return 0;
}
