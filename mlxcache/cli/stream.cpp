#include "mlxcache/cli/stream.h"

#include <sys/ioctl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace mlxcache::cli {

DescriptorStream::DescriptorStream(int descriptor) : descriptor_(descriptor), terminal_(::isatty(descriptor) == 1) {}

void DescriptorStream::write(std::string_view text) {
  while (open_ && !text.empty()) {
    const ssize_t n = ::write(descriptor_, text.data(), text.size());
    if (n < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      good_ = errno == EPIPE;
      open_ = false;
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

int DescriptorStream::columns() const {
  if (!terminal_) return 0;
  winsize size{};
  if (::ioctl(descriptor_, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  if (const char* text = std::getenv("COLUMNS"); text != nullptr) {  // some terminals tell only the shell
    const int columns = std::atoi(text);
    if (columns > 0) return columns;
  }
  return 80;
}

DescriptorInput::DescriptorInput(int descriptor) : descriptor_(descriptor), terminal_(::isatty(descriptor) == 1) {}

std::optional<std::string> DescriptorInput::line(const mlxbase::Cancel& cancel) {
  std::string line;
  // Byte by byte: a question is rare, and what follows the line is not ours to take.
  for (;;) {
    char c = 0;
    // A signal that comes just before read() would not end it: wait in short steps and look.
    pollfd waiting{.fd = descriptor_, .events = POLLIN, .revents = 0};
    while (::poll(&waiting, 1, 50) <= 0) {
      if (cancel.requested()) return std::nullopt;
    }
    const ssize_t n = ::read(descriptor_, &c, 1);
    if (n < 0 && errno == EINTR && !cancel.requested()) continue;
    if (n <= 0 || cancel.requested()) return std::nullopt;
    if (c == '\n') return line;
    if (line.size() < 4096) line.push_back(c);
  }
}

}  // namespace mlxcache::cli
