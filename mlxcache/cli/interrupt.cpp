#include "mlxcache/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace mlxcache::cli {
namespace {

mlxbase::Cancel* g_cancel = nullptr;  // set once, before any signal can come

extern "C" void on_interrupt(int signal_number) {
  if (g_cancel->requested()) ::_exit(128 + signal_number);
  g_cancel->request();
  if (::isatty(STDERR_FILENO) == 1) {
    static constexpr char kText[] = "\r\x1b[KStopping at the next safe point; Ctrl-C again ends at once (also safe).\n";
    const auto n = ::write(STDERR_FILENO, kText, sizeof kText - 1);
    (void)n;
  }
}

}  // namespace

void cancel_on_interrupt(mlxbase::Cancel& cancel) {
  g_cancel = &cancel;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = on_interrupt;  // no SA_RESTART: a question waiting for its answer must notice
  sigemptyset(&action.sa_mask);  // a macro on macOS
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
}

}  // namespace mlxcache::cli
