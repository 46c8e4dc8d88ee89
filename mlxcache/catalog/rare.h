#pragma once
// Members that few of very many have, or that many have in common: eight bytes each where they are missing.
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mlxbase/core/digest.h"

namespace mlxcache::catalog {

/// An optional digest. Copies share one that never changes, whichever thread has them.
class RareDigest {
 public:
  RareDigest() = default;
  RareDigest(std::nullopt_t) {}  // NOLINT(google-explicit-constructor): stands for a std::optional<Digest>
  RareDigest(const mlxbase::Digest& digest) : held_(new Held(digest)) {}  // NOLINT(google-explicit-constructor)
  RareDigest(const std::optional<mlxbase::Digest>& digest) : held_(digest ? new Held(*digest) : nullptr) {}  // NOLINT(google-explicit-constructor)
  RareDigest(const RareDigest& other) : held_(other.held_) {
    if (held_ != nullptr) held_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  RareDigest(RareDigest&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
  RareDigest& operator=(RareDigest other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~RareDigest() {
    if (held_ != nullptr && held_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete held_;
  }

  bool has_value() const { return held_ != nullptr; }
  explicit operator bool() const { return held_ != nullptr; }
  const mlxbase::Digest& operator*() const { return held_->digest; }
  const mlxbase::Digest* operator->() const { return &held_->digest; }
  std::optional<mlxbase::Digest> get() const { return held_ != nullptr ? std::optional(held_->digest) : std::nullopt; }

  friend bool operator==(const RareDigest& a, const RareDigest& b) {
    return a.held_ == b.held_ || (a.held_ != nullptr && b.held_ != nullptr && a.held_->digest == b.held_->digest);
  }
  friend bool operator==(const RareDigest& a, const mlxbase::Digest& b) { return a.held_ != nullptr && a.held_->digest == b; }
  friend bool operator==(const RareDigest& a, const std::optional<mlxbase::Digest>& b) { return b ? a == *b : !a; }

 private:
  struct Held {
    explicit Held(const mlxbase::Digest& d) : digest(d) {}
    std::atomic<std::uint32_t> owners = 1;
    mlxbase::Digest digest;
  };
  Held* held_ = nullptr;
};

/// A text that most leave empty.
class RareText {
 public:
  RareText() = default;
  RareText(std::string_view text) : held_(text.empty() ? nullptr : new char[sizeof(std::uint32_t) + text.size()]) {  // NOLINT(google-explicit-constructor)
    if (held_ == nullptr) return;
    const auto size = static_cast<std::uint32_t>(text.size());
    std::memcpy(held_.get(), &size, sizeof size);
    std::memcpy(held_.get() + sizeof size, text.data(), text.size());
  }
  RareText(const std::string& text) : RareText(std::string_view(text)) {}  // NOLINT(google-explicit-constructor)
  RareText(const char* text) : RareText(std::string_view(text)) {}         // NOLINT(google-explicit-constructor)
  RareText(const RareText& other) : RareText(other.view()) {}
  RareText(RareText&&) noexcept = default;
  RareText& operator=(RareText other) noexcept {
    held_ = std::move(other.held_);
    return *this;
  }
  ~RareText() = default;

  bool empty() const { return held_ == nullptr; }
  std::string_view view() const {
    if (held_ == nullptr) return {};
    std::uint32_t size = 0;
    std::memcpy(&size, held_.get(), sizeof size);
    return {held_.get() + sizeof size, size};
  }
  std::string str() const { return std::string(view()); }
  operator std::string_view() const { return view(); }  // NOLINT(google-explicit-constructor)

  friend bool operator==(const RareText& a, std::string_view b) { return a.view() == b; }

 private:
  std::unique_ptr<char[]> held_;  // length and characters
};

}  // namespace mlxcache::catalog
