#include "mlxbase/core/path.h"

#include <vector>

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

std::string normal(std::string_view p) {
  std::vector<std::string_view> parts;
  const bool absolute = is_absolute(p);
  while (!p.empty()) {
    const auto slash = p.find('/');
    const std::string_view part = p.substr(0, slash);
    p = slash == std::string_view::npos ? std::string_view{} : p.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (part == ".." && absolute) {
      continue;
    } else {
      parts.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.push_back('/');
    out.append(parts[i]);
  }
  return out.empty() ? "." : out;
}

bool is_within(std::string_view root, std::string_view p) {
  const std::string r = normal(root);
  const std::string n = normal(p);
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
