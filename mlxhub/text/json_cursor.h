#pragma once
// Walks through a JSON text without making values of it: a tokenizer.json of 33 MB is read in a tenth of a second, and its small parts go
// to mlxbase::json. Once something is wrong, everything further says so.
#include <cstdint>
#include <string>
#include <string_view>

namespace mlxhub::text {

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  bool ok() const { return ok_; }
  std::size_t position() const { return at_; }
  char peek();  // the next character that is no space; 0 at the end
  /// Takes that character along, or is wrong.
  void expect(char c);
  /// For members and elements: `if (cursor.begin('{')) do { … } while (cursor.more('}'));`
  bool begin(char open);
  bool more(char close);
  /// A text; what it returns lives until the next call.
  std::string_view text();
  /// A text as a member's name, with the colon behind it.
  std::string_view name();
  double number();
  /// Steps over a value and returns its text.
  std::string_view skip();

 private:
  void space();
  void wrong() { ok_ = false; }
  void escape();
  std::uint32_t hex4();
  std::string_view text_;
  std::size_t at_ = 0;
  bool ok_ = true;
  std::string made_;
};

}  // namespace mlxhub::text
