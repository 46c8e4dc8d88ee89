#include "mlxdash/cli/export.h"

#include <fmt/format.h>

#include <ctime>

#include "mlxbase/format/json.h"

namespace mlxdash::cli {
namespace {

std::string time_text(std::int64_t t) {
  const auto seconds = static_cast<std::time_t>(t);
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace

mlxbase::Status export_csv(history::History& history, std::int64_t from, std::int64_t to, const std::function<void(const std::string&)>& write) {
  write("time,series,mean,low,high\n");
  for (const std::string& key : TRY(history.series())) {
    std::string lines;
    for (const history::Point& p : TRY(history.read(key, from, to))) lines += fmt::format("{},{},{},{},{}\n", time_text(p.t), quoted(key), p.mean, p.low, p.high);
    write(lines);
  }
  return {};
}

mlxbase::Status export_json(history::History& history, std::int64_t from, std::int64_t to, const std::function<void(const std::string&)>& write) {
  write("{\"schema\":\"mlxdash.history/1\",\"series\":[");
  bool first = true;
  for (const std::string& key : TRY(history.series())) {
    std::string text = first ? "\n" : ",\n";
    first = false;
    text += fmt::format("{{\"key\":{},\"points\":[", mlxbase::json::dump(mlxbase::json::Value(key)));
    bool first_point = true;
    for (const history::Point& p : TRY(history.read(key, from, to))) {
      text += fmt::format("{}[{},{},{},{}]", first_point ? "" : ",", p.t, mlxbase::json::dump(p.mean), mlxbase::json::dump(p.low), mlxbase::json::dump(p.high));
      first_point = false;
    }
    write(text + "]}");
  }
  write("]}\n");
  return {};
}

}  // namespace mlxdash::cli
