#include "mlxcache/cli/exit_status.h"

namespace mlxcache::cli {
namespace {

constexpr ExitMeaning kMeanings[] = {
    {Exit::ok, "done; nothing is wrong"},
    {Exit::found, "something was found, or everything was refused (each command says which)"},
    {Exit::usage, "the command line makes no sense"},
    {Exit::partly, "partly done; what was left is listed with its reason"},
    {Exit::failed, "could not be done: missing, damaged, unsupported, or an input/output error"},
    {Exit::busy, "another mlxcache is changing the stores right now"},
    {Exit::permission, "the operating system refused"},
    {Exit::out_of_space, "the disk or a quota is full"},
    {Exit::needs_answer, "a question had to be answered and nobody was there (--yes answers it)"},
    {Exit::cancelled, "cancelled with Ctrl-C"},
};

}  // namespace

std::span<const ExitMeaning> exit_meanings() { return kMeanings; }

std::string_view meaning_of(Exit status) {
  for (const ExitMeaning& m : kMeanings) {
    if (m.status == status) return m.meaning;
  }
  return {};
}

Exit exit_of(mlxbase::Code code) {
  using mlxbase::Code;
  switch (code) {
    case Code::invalid: return Exit::usage;
    case Code::busy: return Exit::busy;
    case Code::permission: return Exit::permission;
    case Code::out_of_space: return Exit::out_of_space;
    case Code::cancelled: return Exit::cancelled;
    case Code::not_found:
    case Code::corrupt:
    case Code::unsupported:
    case Code::out_of_memory:
    case Code::changed:
    case Code::io:
    case Code::engine: break;
  }
  return Exit::failed;
}

}  // namespace mlxcache::cli
