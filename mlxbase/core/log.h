#pragma once
// A log line is an event with fields. Prompts, access tokens and file contents stay out of it.
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace mlxbase::log {

enum class Level : std::uint8_t { debug, info, warning, error };

struct Field {
  std::string_view name;
  std::string value;
};

/// Where events go; null (the default) drops them. Set once, before threads start.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(Level level, std::string_view event, std::initializer_list<Field> fields) = 0;
};
void set_sink(Sink* sink);

void event(Level level, std::string_view name, std::initializer_list<Field> fields = {});
inline void debug(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::debug, name, fields); }
inline void info(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::info, name, fields); }
inline void warning(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::warning, name, fields); }

}  // namespace mlxbase::log
