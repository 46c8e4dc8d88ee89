#pragma once
// Small texts of text-generation-webui, parsed. Source: oobabooga/text-generation-webui download-model.py.
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlxbase/core/digest.h"

namespace mlxcache::stores::text_generation_webui {

/// huggingface-metadata.txt: where a folder was downloaded from, and what the server said of its files.
struct WebuiMetadata {
  std::string url;
  std::string branch;
  std::map<std::string, mlxbase::Digest, std::less<>> sha256;  // by path relative to the folder
};
/// Lines that make no sense are left out, and names that are no safe relative path.
WebuiMetadata parse_webui_metadata(std::string_view text);

/// Flags of CMD_FLAGS.txt that have a value, in order: {"--model-dir", "/big/models"}. "#" starts a comment line.
std::vector<std::pair<std::string, std::string>> parse_flags(std::string_view text);

}  // namespace mlxcache::stores::text_generation_webui
