#include "mlxbase/core/log.h"

#include <atomic>

namespace mlxbase::log {
namespace {
std::atomic<Sink*> g_sink{nullptr};
}

void set_sink(Sink* sink) { g_sink.store(sink); }

void event(Level level, std::string_view name, std::initializer_list<Field> fields) {
  if (Sink* sink = g_sink.load()) sink->write(level, name, fields);
}

}  // namespace mlxbase::log
