#include "mlxbase/format/hasher.h"

#include <array>
#include <cassert>
#include <string>
#include <variant>

#include "mlxbase/core/bytes.h"
#include "mlxbase/format/blake3.h"
#include "mlxbase/format/hasher_native.h"

namespace mlxbase {

struct Hasher::State {
  Algorithm algorithm;
  std::variant<std::unique_ptr<native::Hash>, Blake3> hash;
};

Hasher::Hasher(Algorithm algorithm, std::uint64_t size) {
  switch (algorithm) {
    case Algorithm::sha256:
    case Algorithm::sha1:
    case Algorithm::md5:
      state_ = std::make_unique<State>(State{algorithm, native::make_hash(algorithm)});
      break;
    case Algorithm::git_sha1: {
      state_ = std::make_unique<State>(State{algorithm, native::make_hash(Algorithm::sha1)});
      std::string header = "blob " + std::to_string(size);
      header.push_back('\0');
      update(as_bytes(header));
      break;
    }
    case Algorithm::blake3:
      state_ = std::make_unique<State>(State{algorithm, Blake3{}});
      break;
    case Algorithm::none:
    case Algorithm::xet:
    case Algorithm::sha256_prefix:
      assert(!"this digest is not the hash of a stream");
      state_ = std::make_unique<State>(State{Algorithm::sha256, native::make_hash(Algorithm::sha256)});
      break;
  }
}

Hasher::Hasher(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  assert(state_ != nullptr);
  if (auto* native = std::get_if<std::unique_ptr<native::Hash>>(&state_->hash)) {
    (*native)->update(bytes);
  } else {
    std::get<Blake3>(state_->hash).update(bytes);
  }
}

Hasher Hasher::clone() const {
  assert(state_ != nullptr);
  if (const auto* native = std::get_if<std::unique_ptr<native::Hash>>(&state_->hash)) {
    return Hasher(std::make_unique<State>(State{state_->algorithm, (*native)->clone()}));
  }
  return Hasher(std::make_unique<State>(State{state_->algorithm, std::get<Blake3>(state_->hash)}));
}

Digest Hasher::finish() {
  assert(state_ != nullptr);
  const std::unique_ptr<State> state = std::move(state_);
  if (auto* native = std::get_if<std::unique_ptr<native::Hash>>(&state->hash)) {
    std::array<std::byte, 32> out{};
    const std::size_t size = (*native)->finish(out);
    return {state->algorithm, std::span(out).first(size)};
  }
  const auto out = std::get<Blake3>(state->hash).finish();
  return {state->algorithm, out};
}

}  // namespace mlxbase
