#include "mlxdash/term/live.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "mlxdash/sample/derive.h"
#include "mlxdash/term/input.h"
#include "mlxdash/view/paint.h"

namespace mlxdash::term {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

int g_pipe[2] = {-1, -1};

extern "C" void on_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  const auto n = ::write(g_pipe[1], &byte, 1);
  (void)n;
  errno = saved;
}

/// Signals become bytes in a pipe while this lives.
class Signals {
 public:
  mlxbase::Status open() {
    if (::pipe(g_pipe) != 0) return mlxbase::fail(mlxbase::errno_error(errno, "make a pipe for signals"));
    struct sigaction action;
    std::memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < kNumbers.size(); ++i) ::sigaction(kNumbers[i], &action, &before_[i]);
    return {};
  }
  ~Signals() {
    if (g_pipe[0] < 0) return;
    for (std::size_t i = 0; i < kNumbers.size(); ++i) ::sigaction(kNumbers[i], &before_[i], nullptr);
    ::close(g_pipe[0]);
    ::close(g_pipe[1]);
    g_pipe[0] = g_pipe[1] = -1;
  }
  Signals() = default;
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  static constexpr std::array<int, 6> kNumbers{SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT};
  std::array<struct sigaction, 6> before_{};
};

class Live {
 public:
  Live(collect::Board& board, const LiveOptions& options, Screen& screen) : board_(board), options_(options), screen_(screen), interval_(options.interval_ms) {
    choice_.ascii = options.ascii;
  }

  mlxbase::Status run() {
    draw();  // something at once; the first values come with the next picture
    auto first = SteadyClock::now() + milliseconds(2000);
    auto next = SteadyClock::now() + milliseconds(40);
    while (!done_) {
      const auto now = SteadyClock::now();
      if (now >= next) {
        look();
        // The first two seconds show what comes as it comes; after that it is once a look.
        next = now < first ? now + milliseconds(250) : now + milliseconds(interval_);
        if (next > first && now < first) next = first;
      }
      wait(std::max(std::chrono::duration_cast<milliseconds>(next - SteadyClock::now()), milliseconds(0)) + milliseconds(1));
    }
    return {};
  }

 private:
  void look() {
    snapshot_ = board_.snapshot();
    if (snapshot_.sources.empty()) return;
    derive(snapshot_, &forecasts_);
    const bool second = snapshot_.wall_ns - traced_ns_ >= static_cast<std::int64_t>(interval_) * 950'000;
    if (second) {
      traces_.add(snapshot_);
      traced_ns_ = snapshot_.wall_ns;
      if (options_.on_sample) options_.on_sample(snapshot_);
    }
    if (!held_) shown_ = snapshot_;
    draw();
  }

  void draw() {
    const view::Size size = screen_.size();
    choice_.scroll = std::clamp(choice_.scroll, 0, view::most_scroll(size, shown_, choice_));
    choice_.message = held_ ? "held; space goes on" : "";
    screen_.show(view::paint(size, shown_, traces_, choice_));
  }

  void wait(milliseconds most) {
    std::array<pollfd, 2> fds{{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}, {.fd = g_pipe[0], .events = POLLIN, .revents = 0}}};
    const int limit = input_.in_sequence() ? 30 : static_cast<int>(most.count());
    const int n = ::poll(fds.data(), fds.size(), limit);
    if (n == 0 && input_.in_sequence()) act(input_.pause());
    if (n <= 0) return;
    if ((fds[1].revents & POLLIN) != 0) signals();
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      std::array<char, 512> bytes;  // filled by the read
      const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (got > 0) {
        act(input_.feed({bytes.data(), static_cast<std::size_t>(got)}));
      } else if ((fds[0].revents & (POLLHUP | POLLERR)) != 0) {
        done_ = true;  // the terminal is gone
      }
    }
  }

  void signals() {
    std::array<unsigned char, 64> numbers;  // filled by the read
    const ssize_t got = ::read(g_pipe[0], numbers.data(), numbers.size());
    for (ssize_t i = 0; i < got; ++i) {
      switch (numbers[static_cast<std::size_t>(i)]) {
        case SIGWINCH:
          screen_.forget();
          draw();
          break;
        case SIGTSTP: stop(); break;
        case SIGCONT:
          if (!left_) screen_.enter();  // stopped by SIGSTOP: the shell has set the terminal its own way
          draw();
          break;
        default: done_ = true;
      }
    }
  }

  /// Nobody looks while we are stopped: the terminal goes back, and the sources rest.
  void stop() {
    left_ = true;
    screen_.leave();
    board_.pause(true);
    ::kill(::getpid(), SIGSTOP);
    // Here again after SIGCONT.
    board_.pause(false);
    screen_.enter();
    left_ = false;
    draw();
  }

  void act(const std::vector<Event>& events) {
    if (events.empty()) return;
    for (const Event& event : events) act(event);
    draw();
  }

  void turn_to(std::size_t page) {
    choice_.page = static_cast<view::Page>(page % view::kPages);
    choice_.scroll = 0;
  }

  void act(const Event& event) {
    const auto page = static_cast<std::size_t>(choice_.page);
    switch (event.key) {
      case Key::character:
        if (choice_.help && event.character != 'q') {
          choice_.help = false;
        } else {
          act(event.character);
        }
        break;
      case Key::tab:
      case Key::right: turn_to(page + 1); break;
      case Key::back_tab:
      case Key::left: turn_to(page + view::kPages - 1); break;
      case Key::up:
      case Key::wheel_up: --choice_.scroll; break;
      case Key::down:
      case Key::wheel_down: ++choice_.scroll; break;
      case Key::page_up: choice_.scroll -= 10; break;
      case Key::page_down: choice_.scroll += 10; break;
      case Key::home: choice_.scroll = 0; break;
      case Key::end: choice_.scroll = 1 << 20; break;
      case Key::escape: choice_.help = false; break;
      case Key::click:
        if (const auto tab = view::lay_out(screen_.size(), choice_.page, shown_).tab_at(event.x, event.y)) turn_to(static_cast<std::size_t>(*tab));
        break;
      case Key::enter: break;
    }
  }

  void act(char c) {
    if (c == 'q') done_ = true;
    if (c >= '1' && c <= '5') turn_to(static_cast<std::size_t>(c - '1'));
    if (c == 'j') ++choice_.scroll;
    if (c == 'k') --choice_.scroll;
    if (c == '?' || c == 'h') choice_.help = !choice_.help;
    if (c == ' ') held_ = !held_;
    if (c == '+' || c == '-') {
      interval_ = std::clamp<std::uint32_t>(c == '+' ? interval_ / 2 : interval_ * 2, 250, 60'000);
      board_.set_interval(interval_);
    }
  }

  collect::Board& board_;
  const LiveOptions& options_;
  Screen& screen_;
  std::uint32_t interval_;
  Input input_;
  view::Choice choice_;
  view::Traces traces_;
  Forecasts forecasts_;
  Snapshot snapshot_, shown_;
  std::int64_t traced_ns_ = 0;
  bool held_ = false, done_ = false, left_ = false;
};

}  // namespace

mlxbase::Status run_live(collect::Board& board, const LiveOptions& options) {
  Signals signals;
  TRY(signals.open());
  auto screen = TRY(Screen::open(STDIN_FILENO, STDOUT_FILENO, options.depth));
  board.start();
  return Live(board, options, screen).run();
}

}  // namespace mlxdash::term
