#include "mlxbase/core/path.h"

namespace mlxbase::path {

std::string join(std::string_view a, std::string_view b) {
  if (a.empty() || is_absolute(b)) return std::string(b);
  if (b.empty()) return std::string(a);
  std::string out;
  out.reserve(a.size() + 1 + b.size());
  out.append(a);
  if (out.back() != '/') out.push_back('/');
  out.append(b);
  return out;
}

std::string_view file_name(std::string_view p) {
  const auto slash = p.rfind('/');
  return slash == std::string_view::npos ? p : p.substr(slash + 1);
}

std::string_view parent(std::string_view p) {
  const auto slash = p.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? p.substr(0, 1) : p.substr(0, slash);
}

std::string_view extension(std::string_view p) {
  const std::string_view name = file_name(p);
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view{} : name.substr(dot);
}

std::string_view stem(std::string_view p) {
  const std::string_view name = file_name(p);
  return name.substr(0, name.size() - extension(name).size());
}

namespace {

/// Whether normal(p) is p: asked a million times a scan, so it must not allocate.
bool is_normal(std::string_view p) {
  if (p.empty()) return false;
  if (p == "/" || p == ".") return true;
  if (is_absolute(p)) p.remove_prefix(1);
  while (true) {
    const auto slash = p.find('/');
    const std::string_view part = p.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    p.remove_prefix(slash + 1);
  }
}

/// `p` if it is normal, else its normal form in `memory`.
std::string_view normal_in(std::string_view p, std::string& memory) {
  if (is_normal(p)) return p;
  memory = normal(p);
  return memory;
}

}  // namespace

std::string normal(std::string_view p) {
  std::string out;
  out.reserve(p.size() + 1);
  const bool absolute = is_absolute(p);
  if (absolute) out.push_back('/');
  std::size_t kept = out.size();  // what no ".." takes away: the root, or the ".." a relative path begins with
  while (!p.empty()) {
    const auto slash = p.find('/');
    const std::string_view part = p.substr(0, slash);
    p = slash == std::string_view::npos ? std::string_view{} : p.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    const bool up = part == "..";
    if (up && out.size() > kept) {
      const auto last = out.rfind('/');
      out.resize(last == std::string::npos || last < kept ? kept : last);
      continue;
    }
    if (up && absolute) continue;
    if (!out.empty() && out.back() != '/') out.push_back('/');
    out.append(part);
    if (up) kept = out.size();
  }
  return out.empty() ? "." : out;
}

bool is_within(std::string_view root, std::string_view p) {
  std::string memory[2];
  const std::string_view r = normal_in(root, memory[0]);
  const std::string_view n = normal_in(p, memory[1]);
  if (r == "/") return is_absolute(n);
  return n == r || (n.size() > r.size() && n.starts_with(r) && n[r.size()] == '/');
}

std::string_view relative_to(std::string_view root, std::string_view p) {
  while (root.size() > 1 && root.back() == '/') root.remove_suffix(1);
  if (p.size() <= root.size() || !p.starts_with(root)) return {};
  p.remove_prefix(root.size());
  while (!p.empty() && p.front() == '/') p.remove_prefix(1);
  return p;
}

bool is_safe_segment(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") return false;
  for (const char c : name) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

bool is_safe_relative(std::string_view p) {
  if (p.empty() || p.size() > 4095) return false;
  int segments = 0;
  while (true) {
    const auto slash = p.find('/');
    if (!is_safe_segment(p.substr(0, slash)) || ++segments > 64) return false;
    if (slash == std::string_view::npos) return true;
    p.remove_prefix(slash + 1);
  }
}

}  // namespace mlxbase::path
