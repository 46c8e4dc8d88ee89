#pragma once
// A list that mostly holds one small value: sixteen bytes, and nothing on the heap until there are two.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>

namespace mlxbase {

template <class T>
class SmallList {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(void*));

 public:
  SmallList() = default;
  SmallList(std::initializer_list<T> values) { append(values.begin(), values.end()); }
  SmallList(const SmallList& other) { append(other.begin(), other.end()); }
  SmallList(SmallList&& other) noexcept : size_(std::exchange(other.size_, 0)), room_(std::exchange(other.room_, 1)), held_(other.held_) {}
  SmallList& operator=(SmallList other) noexcept {
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    std::swap(held_, other.held_);
    return *this;
  }
  ~SmallList() {
    if (room_ > 1) delete[] held_.many;
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T* begin() { return room_ > 1 ? held_.many : &held_.one; }
  T* end() { return begin() + size_; }
  const T* begin() const { return room_ > 1 ? held_.many : &held_.one; }
  const T* end() const { return begin() + size_; }
  const T& front() const { return *begin(); }
  const T& operator[](std::size_t i) const { return begin()[i]; }

  void push_back(T value) {
    make_room(size_ + std::size_t{1});
    begin()[size_++] = value;
  }
  void append(const T* first, const T* last) {
    make_room(size_ + static_cast<std::size_t>(last - first));
    std::copy(first, last, end());
    size_ += static_cast<std::uint32_t>(last - first);
  }

  friend bool operator==(const SmallList& a, const SmallList& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

 private:
  void make_room(std::size_t wanted) {
    if (wanted <= room_) return;
    const std::size_t room = std::max<std::size_t>(wanted, room_ * std::size_t{2});
    T* const many = new T[room];
    std::copy(begin(), end(), many);
    if (room_ > 1) delete[] held_.many;
    held_.many = many;
    room_ = static_cast<std::uint32_t>(room);
  }

  std::uint32_t size_ = 0;
  std::uint32_t room_ = 1;  // 1: in place
  union Held {
    T one;
    T* many;
    Held() : one{} {}
  } held_;
};

}  // namespace mlxbase
