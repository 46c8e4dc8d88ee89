#pragma once
// Where words go and come from: the process's own descriptors, or strings in tests and in the demo.
#include <optional>
#include <string>
#include <string_view>

#include "mlxbase/core/progress.h"

namespace mlxcache::cli {

class Stream {
 public:
  virtual ~Stream() = default;
  virtual void write(std::string_view text) = 0;
  /// A person reads along: colours, bars and questions make sense.
  virtual bool terminal() const { return false; }
  /// Cells a line has; 0: no limit (a file or pipe).
  virtual int columns() const { return 0; }
  /// Whether everything written so far arrived. A reader that went away (a closed pipe) is no failure.
  virtual bool good() const { return true; }
};

/// A descriptor. Writes whole texts; after a failure the rest is dropped.
class DescriptorStream final : public Stream {
 public:
  explicit DescriptorStream(int descriptor);
  void write(std::string_view text) override;
  bool terminal() const override { return terminal_; }
  int columns() const override;
  bool good() const override { return good_; }

 private:
  int descriptor_;
  bool terminal_;
  bool open_ = true;
  bool good_ = true;
};

class StringStream final : public Stream {
 public:
  void write(std::string_view text) override { text_ += text; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Where answers come from.
class Input {
 public:
  virtual ~Input() = default;
  virtual bool terminal() const { return false; }
  /// One line without its end; empty optional at the end of input or when `cancel` was requested meanwhile.
  virtual std::optional<std::string> line(const mlxbase::Cancel& cancel) = 0;
};

class DescriptorInput final : public Input {
 public:
  explicit DescriptorInput(int descriptor);
  bool terminal() const override { return terminal_; }
  std::optional<std::string> line(const mlxbase::Cancel& cancel) override;

 private:
  int descriptor_;
  bool terminal_;
};

/// Nobody is there.
class NoInput final : public Input {
 public:
  std::optional<std::string> line(const mlxbase::Cancel&) override { return std::nullopt; }
};

}  // namespace mlxcache::cli
