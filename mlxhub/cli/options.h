#pragma once
// The words of the command line, from one table: grammar, help and manual page are made from it.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxhub::cli {

enum class Command : std::uint8_t { none, serve, ls, ps, stop, chat, man };

struct Options {
  Command command = Command::none;
  bool help = false, version = false, json = false;
  std::string model;                 // of stop and chat
  std::string server = "http://127.0.0.1:8080";
  std::vector<std::string> models, keys, hosts, origins;
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;
  unsigned threads = 0;
  std::optional<std::uint64_t> memory_bytes;
  std::int64_t keep_seconds = 1800;  // negative: for ever
};

struct CommandRow {
  std::string_view name, word;  // word: what stands behind it; empty: nothing
  std::string_view help;
  Command command;
};
struct OptionRow {
  std::string_view name;   // "--port"
  std::string_view value;  // "PORT"; empty: a switch
  std::string_view where;  // the commands that take it, with spaces between them; empty: all
  std::string_view help;
};
std::span<const CommandRow> command_rows();
std::span<const OptionRow> option_rows();

/// Errors: invalid, naming the word.
mlxbase::Result<Options> parse(std::span<const std::string> words);
std::string help_text();
/// mlxhub(1), for groff.
std::string man_page();

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace mlxhub::cli
