#pragma once
// The page, as it lies in the program. Made by embed.cmake from bundle/, which `./dev web` makes from page/.
#include <span>
#include <string_view>

namespace mlxdash::web {

struct Asset {
  std::string_view path;   // "/app.js"
  std::string_view type;   // "text/javascript; charset=utf-8"
  std::string_view tag;    // of its content, quoted as ETag wants it
  std::string_view bytes;
  std::string_view gzip;   // the same, compressed
};
std::span<const Asset> assets();

}  // namespace mlxdash::web
