#pragma once
// The words of the command line, from one table: grammar, help and manual page are made from it.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mlxbase/core/result.h"

namespace mlxdash::cli {

inline constexpr std::uint16_t kPort = 4280;

enum class Command : std::uint8_t { watch, web, export_values, man };

struct Options {
  Command command = Command::watch;
  bool once = false, json = false, prometheus = false, ascii = false, colour = true, find_engines = true, history = true, csv = false, help = false, version = false;
  std::int64_t since_s = 3600;
  std::uint32_t interval_ms = 1000;
  std::vector<std::string> engines;
  // Of `web`.
  std::string address = "127.0.0.1", key_file;
  std::uint16_t port = kPort;
  std::vector<std::string> hosts, origins;
  bool always = false;
};

struct OptionRow {
  std::string_view name;   // "--interval"
  std::string_view value;  // "SECONDS"; empty: a switch
  std::string_view help;
};
std::span<const OptionRow> option_rows();
struct CommandRow {
  std::string_view name;  // empty: without a command
  std::string_view help;
  Command command;
};
std::span<const CommandRow> command_rows();

/// Errors: invalid, naming the word.
mlxbase::Result<Options> parse(std::span<const std::string> words);
std::string help_text();
/// mlxdash(1), for groff.
std::string man_page();

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace mlxdash::cli
