#include "mlxdash/term/screen.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

namespace mlxdash::term {
namespace {

// Alternate screen, no cursor, no wrapping at the edge, mouse clicks and wheel with SGR coordinates.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1000h\x1b[?1006h\x1b[0m\x1b[2J";
constexpr char kLeave[] = "\x1b[?2026l\x1b[?1006l\x1b[?1000l\x1b[?7h\x1b[0m\x1b[?25h\x1b[?1049l";

// For the handler of crashes, which may use nothing else.
volatile sig_atomic_t g_taken = 0;
int g_in = 0;
int g_out = 1;
termios g_before;

void restore() {
  if (g_taken == 0) return;
  g_taken = 0;
  const auto n = ::write(g_out, kLeave, sizeof kLeave - 1);
  (void)n;
  ::tcsetattr(g_in, TCSANOW, &g_before);
}

extern "C" void on_crash(int number) {
  restore();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void append_utf8(std::string& out, char32_t p) {
  if (p < 0x80) {
    out += static_cast<char>(p);
  } else if (p < 0x800) {
    out += {static_cast<char>(0xC0U | (p >> 6U)), static_cast<char>(0x80U | (p & 0x3FU))};
  } else if (p < 0x10000) {
    out += {static_cast<char>(0xE0U | (p >> 12U)), static_cast<char>(0x80U | ((p >> 6U) & 0x3FU)), static_cast<char>(0x80U | (p & 0x3FU))};
  } else {
    out += {static_cast<char>(0xF0U | (p >> 18U)), static_cast<char>(0x80U | ((p >> 12U) & 0x3FU)), static_cast<char>(0x80U | ((p >> 6U) & 0x3FU)),
            static_cast<char>(0x80U | (p & 0x3FU))};
  }
}

}  // namespace

std::string difference(const view::Grid& before, const view::Grid& after, Depth depth) {
  const bool anew = !(before.size() == after.size());
  std::string out;
  bool ink_known = false;
  view::Ink ink = view::Ink::plain;
  bool bold = false;
  for (int y = 0; y < after.size().height; ++y) {
    int cursor = -1;
    for (int x = 0; x < after.size().width; ++x) {
      const view::Cell& cell = after.at(x, y);
      if (cell.tail) continue;
      const bool wide = x + 1 < after.size().width && after.at(x + 1, y).tail;
      const bool same = !anew && before.at(x, y) == cell && (!wide || before.at(x + 1, y) == after.at(x + 1, y));
      if (same) continue;
      if (cursor != x) out += fmt::format("\x1b[{};{}H", y + 1, x + 1);
      if (!ink_known || cell.ink != ink || cell.bold != bold) {
        out += sequence_of(cell.ink, cell.bold, depth);
        ink = cell.ink;
        bold = cell.bold;
        ink_known = true;
      }
      append_utf8(out, cell.glyph);
      cursor = x + (wide ? 2 : 1);
    }
  }
  if (out.empty()) return out;
  return fmt::format("\x1b[?2026h{}{}\x1b[0m\x1b[?2026l", anew ? "\x1b[0m\x1b[2J" : "", out);
}

mlxbase::Result<Screen> Screen::open(int in, int out, Depth depth) {
  if (::isatty(in) != 1 || ::isatty(out) != 1) return mlxbase::fail(mlxbase::Code::unsupported, "this is no terminal");
  if (::tcgetattr(in, &g_before) != 0) return mlxbase::fail(mlxbase::errno_error(errno, "read the terminal's settings"));
  g_in = in;
  g_out = out;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_handler = on_crash;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::sigaction(number, &action, nullptr);
  Screen screen(in, out, depth);
  screen.enter();
  return screen;
}

Screen::Screen(Screen&& other) noexcept
    : in_(other.in_), out_(other.out_), depth_(other.depth_), owner_(other.owner_), shown_(std::move(other.shown_)) {
  other.owner_ = false;
}

Screen::~Screen() {
  if (owner_) leave();
}

void Screen::enter() {
  termios raw = g_before;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);  // ISIG stays: Ctrl-C and Ctrl-Z are signals
  raw.c_iflag &= ~static_cast<tcflag_t>(IXON);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  ::tcsetattr(in_, TCSANOW, &raw);
  g_taken = 1;
  write(kEnter);
  forget();
}

void Screen::leave() { restore(); }

view::Size Screen::size() const {
  winsize window;
  std::memset(&window, 0, sizeof window);
  if (::ioctl(out_, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0) return {.width = 80, .height = 24};
  return {.width = window.ws_col, .height = window.ws_row};
}

void Screen::show(const view::Grid& grid) {
  const std::string bytes = difference(shown_, grid, depth_);
  if (!bytes.empty()) write(bytes);
  shown_ = grid;
}

void Screen::write(const std::string& bytes) const {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t n = ::write(out_, rest.data(), rest.size());
    if (n < 0 && errno == EAGAIN) {
      pollfd fd{.fd = out_, .events = POLLOUT, .revents = 0};
      if (::poll(&fd, 1, 1000) <= 0) return;  // nobody reads: this picture is lost, the next one is not
      continue;
    }
    if (n < 0 && errno != EINTR) return;
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace mlxdash::term
