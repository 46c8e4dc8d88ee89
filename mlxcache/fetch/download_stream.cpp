#include "mlxcache/fetch/download_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace mlxcache::fetch {

using namespace mlxbase;

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const auto dash = text.find('-'), slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash) return std::nullopt;
  const auto first = number(text.substr(0, dash)), last = number(text.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *first > *last) return std::nullopt;
  ContentRange out{.first = *first, .last = *last, .total = {}};
  if (text.substr(slash + 1) == "*") return out;
  out.total = number(text.substr(slash + 1));
  if (!out.total || *out.total <= *last) return std::nullopt;
  return out;
}

std::string validator_of(const net::Headers& headers) {
  std::string out = net::find_header(headers, "ETag").value_or("");
  if (out.empty()) out = net::find_header(headers, "Last-Modified").value_or("");
  return out.size() <= kMaxValidator ? out : std::string{};
}

bool is_strong(std::string_view validator) { return validator.size() >= 2 && validator.starts_with('"') && validator.ends_with('"'); }

void Stream::begin(Plan plan) {
  plan_ = std::move(plan);
  position_ = plan_.range.begin;
  asked_end_ = plan_.range.end;
  accepted_ = false;
  block_.reset();
  resting_ = false;
  outcome_.reset();
  head_.reset();
  error_ = {};
}

void Stream::leave() {
  hand_on();
  resting_ = false;
}

Status Stream::end_with(Outcome outcome, std::string why) {
  outcome_ = outcome;
  error_ = {Code::corrupt, std::move(why), 0};
  return fail(Code::cancelled, "ended");  // reaches on_done only, where the outcome counts
}

Status Stream::on_head(const net::ResponseHead& head) {
  head_ = head;
  if (head.status != 200 && head.status != 206) return end_with(Outcome::status);
  if (!hooks_.is_same_version(validator_of(head.headers))) return end_with(Outcome::changed);
  if (head.status == 206) {
    if (auto fits = check_range(head); !fits) return fits;
  } else {
    if (head.content_length && *head.content_length != plan_.file_size) {
      return end_with(Outcome::refused, fmt::format("the server's file has {} bytes, not {}", *head.content_length, plan_.file_size));
    }
    if (!plan_.whole) return end_with(Outcome::no_ranges);
  }
  accepted_ = true;
  hooks_.on_accepted(head);
  return {};
}

Status Stream::check_range(const net::ResponseHead& head) {
  const auto range = parse_content_range(net::find_header(head.headers, "Content-Range").value_or(""));
  if (!range || range->first != position_ || range->last >= asked_end_) return end_with(Outcome::refused, "the server sends another range than was asked for");
  if (range->total && *range->total != plan_.file_size) {
    return end_with(Outcome::refused, fmt::format("the server's file has {} bytes, not {}", *range->total, plan_.file_size));
  }
  return {};
}

bool Stream::wants_data() {
  if (block_ != nullptr && block_->size < room_) return true;
  if (blocks_.available()) return true;
  resting_ = true;
  return false;
}

Status Stream::on_data(std::span<const std::byte> data) {
  if (data.size() > asked_end_ - position_) return end_with(Outcome::refused, "the server sends more than was asked for");
  const bool to_the_end = data.size() >= plan_.range.end - position_;
  if (to_the_end) data = data.first(plan_.range.end - position_);
  hooks_.on_bytes(data.size());
  while (!data.empty()) {
    if (block_ == nullptr) {
      block_ = blocks_.get(position_);
      // Blocks end where pieces do, so that a piece's hash needs no half ones.
      const std::uint64_t to_piece_end = kPieceBytes - position_ % kPieceBytes;
      room_ = std::min<std::uint64_t>({kBlockBytes, to_piece_end, plan_.range.end - position_});
    }
    const std::size_t n = std::min(data.size(), room_ - block_->size);
    std::memcpy(block_->memory.get() + block_->size, data.data(), n);
    block_->size += n;
    position_ += n;
    data = data.subspan(n);
    if (block_->size == room_) hand_on();
  }
  if (to_the_end && plan_.range.end < asked_end_) return end_with(Outcome::done);
  return {};
}

void Stream::hand_on() {
  if (block_ != nullptr && block_->size > 0) hooks_.on_block(std::move(block_));
  block_.reset();
}

void Stream::on_done(Status result) {
  hand_on();
  resting_ = false;
  if (!outcome_) {
    if (position_ == plan_.range.end) {
      outcome_ = Outcome::done;
    } else if (result) {
      outcome_ = Outcome::cut;
      error_ = {Code::io, "the server's answer is shorter than the file", 0};
    } else {
      outcome_ = result.error().code == Code::io ? Outcome::cut : Outcome::refused;
      error_ = std::move(result.error());
    }
  }
  hooks_.on_end(*outcome_);
}

}  // namespace mlxcache::fetch
