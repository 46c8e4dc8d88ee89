#include "mlxhub/cpu/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "mlxbase/core/parallel.h"
#include "mlxbase/core/printable.h"
#include "mlxhub/cpu/team.h"

namespace mlxhub::cpu {
namespace {

using engine::Facts;
using engine::Part;
using engine::Sequence;
using engine::Token;
using mlxbase::Code;
using mlxbase::fail;
using mlxbase::Result;
using mlxbase::Status;
using model::Decoder;
using model::Layer;
using model::Matrix;

constexpr std::size_t kPad = 32;       // rows of activations end in zeros up to a multiple of this: a block of weights, two vectors
constexpr std::size_t kRowsAtOnce = 512;  // of activations, so that scratch stays small; the scheduler asks for about as many

std::size_t padded(std::size_t n) { return (n + kPad - 1) / kPad * kPad; }

/// Rows of floats, each padded with zeros.
class Rows {
 public:
  void shape(std::size_t rows, std::size_t columns) {
    if (rows * padded(columns) <= values_.size() && columns == columns_) return;
    columns_ = columns;
    stride_ = padded(columns);
    values_.assign(rows * stride_, 0.0F);
  }
  float* row(std::size_t r) { return values_.data() + r * stride_; }
  const float* row(std::size_t r) const { return values_.data() + r * stride_; }
  std::size_t stride() const { return stride_; }
  std::size_t columns() const { return columns_; }

 private:
  std::size_t columns_ = 0, stride_ = 0;
  std::vector<float> values_;
};

/// Keys and values of one sequence: for each layer and head, `capacity` rows.
struct Held {
  std::size_t capacity = 0, length = 0;
  std::unique_ptr<float[]> values;
};

class Executor final : public engine::Engine {
 public:
  Executor(const model::Model& model, const Options& options)
      : mappings_(model.mappings),
        decoder_(model.decoder),
        kernels_(options.kernels != nullptr ? *options.kernels : best_kernels()),
        team_(options.threads != 0 ? options.threads : mlxbase::worker_count()) {
    facts_.name = model.name;
    facts_.vocabulary = decoder_.vocabulary;
    facts_.context = decoder_.context;
    facts_.weight_bytes = model.weight_bytes;
    facts_.bytes_a_token = 2 * sizeof(float) * decoder_.layers.size() * decoder_.kv_heads * decoder_.head_size;
    for (const Layer& layer : decoder_.layers) {
      for (const Matrix* m : {&layer.query, &layer.key, &layer.value, &layer.attention_out, &layer.gate, &layer.up, &layer.down}) note(*m);
    }
    note(decoder_.output);
  }

  const Facts& facts() const override { return facts_; }

  Result<Sequence> open(std::size_t capacity) override {
    if (capacity > decoder_.context) return fail(Code::invalid, fmt::format("{} tokens are more than the model's context of {}", capacity, decoder_.context));
    Held held{.capacity = capacity};
    // Not written here: pages are taken from the system as tokens come.
    held.values.reset(new (std::nothrow) float[2 * decoder_.layers.size() * decoder_.kv_heads * capacity * decoder_.head_size]);
    if (held.values == nullptr) return fail(Code::out_of_memory, fmt::format("{} bytes for the keys and values of {} tokens are not to be had", facts_.bytes_a_token * capacity, capacity));
    sequences_[++last_] = std::move(held);
    return last_;
  }
  void close(Sequence sequence) override { sequences_.erase(sequence); }

  void copy_prefix(Sequence from, Sequence to, std::size_t count) override {
    Held &source = sequences_.at(from), &target = sequences_.at(to);
    for (std::size_t layer = 0; layer < decoder_.layers.size(); ++layer) {
      for (std::size_t head = 0; head < 2 * decoder_.kv_heads; ++head) {
        std::memcpy(at(target, layer, head, 0), at(source, layer, head, 0), count * decoder_.head_size * sizeof(float));
      }
    }
    target.length = count;
  }

  Status forward(std::span<const Part> parts) override {
    for (const Part& part : parts) {
      const auto held = sequences_.find(part.sequence);
      if (held == sequences_.end()) return fail(Code::invalid, "no such sequence is open");
      if (part.tokens.empty()) return fail(Code::invalid, "a part has no tokens");
      if (held->second.length + part.tokens.size() > held->second.capacity) return fail(Code::invalid, "the sequence has no room for more tokens");
      if (!part.logits.empty() && part.logits.size() != decoder_.vocabulary) return fail(Code::invalid, "the room for logits has another length than the vocabulary");
      for (const Token token : part.tokens) {
        if (token >= decoder_.vocabulary) return fail(Code::invalid, fmt::format("the vocabulary has no token {}", token));
      }
    }
    // As many rows at a time as scratch has room for; a part may be cut, and its logits come with its last piece.
    std::vector<Part> step;
    std::size_t rows = 0;
    for (const Part& part : parts) {
      for (std::size_t done = 0; done < part.tokens.size();) {
        const std::size_t take = std::min(part.tokens.size() - done, kRowsAtOnce - rows);
        const bool last = done + take == part.tokens.size();
        step.push_back({.sequence = part.sequence, .tokens = part.tokens.subspan(done, take), .logits = last ? part.logits : std::span<float>()});
        rows += take;
        done += take;
        if (rows == kRowsAtOnce) {
          run(step, rows);
          step.clear();
          rows = 0;
        }
      }
    }
    if (rows > 0) run(step, rows);
    if (std::any_of(mappings_.begin(), mappings_.end(), [](const auto& mapping) { return mapping.damaged(); })) {
      return fail(Code::changed, fmt::format("the weights of {} became shorter, or unreadable, while they were in use", mlxbase::printable(facts_.name)));
    }
    return {};
  }

 private:
  struct Product {  // y = w x for every row of the input
    const Matrix& w;
    float* y;
    std::size_t stride;
  };

  void note(const Matrix& m) {
    if (m.coding == model::Coding::affine && m.bits == 4) interleave_ = true;
  }

  float* at(Held& held, std::size_t layer, std::size_t head, std::size_t position) const {  // heads of values follow those of keys
    return held.values.get() + ((layer * 2 * decoder_.kv_heads + head) * held.capacity + position) * decoder_.head_size;
  }

  /// What matvec wants to know of one row besides its values.
  Input prepare(const float* x, std::size_t columns) {
    const std::size_t blocks = padded(columns) / kPad;
    sums_.resize(4 * blocks);
    for (std::size_t b = 0; b < blocks; ++b) {
      float sum = 0;
      for (std::size_t i = 0; i < kPad; ++i) sum += x[b * kPad + i];
      sums_[4 * b + 1] = sum;
    }
    if (interleave_) {
      interleaved_.resize(blocks * kPad);
      for (std::size_t i = 0; i < blocks * kPad; i += kPad) {
        for (std::size_t k = 0; k < kPad / 2; ++k) {
          interleaved_[i + k] = x[i + 2 * k];
          interleaved_[i + kPad / 2 + k] = x[i + 2 * k + 1];
        }
      }
    }
    return {.x = x, .interleaved = interleaved_.data(), .sums = sums_.data()};
  }

  void multiply(const Rows& x, std::size_t rows, std::initializer_list<Product> products) {
    const std::size_t tile = kernels_.tile_rows;
    std::size_t tiles = 0;
    for (const Product& p : products) tiles += (p.w.rows + tile - 1) / tile;
    std::optional<Input> input;
    if (rows == 1) input = prepare(x.row(0), x.columns());
    team_.run(tiles, 1, [&](std::size_t first, std::size_t last) {
      static thread_local Rows weights;
      std::size_t before = 0;
      for (const Product& p : products) {
        const std::size_t here = (p.w.rows + tile - 1) / tile;
        const std::size_t from = std::max(first, before), to = std::min(last, before + here);
        if (from < to) {
          const std::size_t begin = (from - before) * tile, end = std::min(p.w.rows, (to - before) * tile);
          if (input) {
            kernels_.matvec(p.w, *input, begin, end - begin, p.y + begin);
          } else {
            weights.shape(kMostTileRows, p.w.columns);
            for (std::size_t r = begin; r < end; r += tile) {
              const std::size_t n = std::min(tile, end - r);
              for (std::size_t i = 0; i < n; ++i) kernels_.to_floats(p.w, r + i, weights.row(i));
              kernels_.gemm(x.row(0), x.stride(), rows, weights.row(0), weights.stride(), n, padded(p.w.columns), p.y + r, p.stride);
            }
          }
        }
        before += here;
      }
    });
  }

  void turn(float* head, const float* cosines, const float* sines) const {
    const std::size_t half = decoder_.rotated / 2;
    if (decoder_.neighbours) {
      for (std::size_t i = 0; i < half; ++i) {
        const float a = head[2 * i], b = head[2 * i + 1];
        head[2 * i] = a * cosines[i] - b * sines[i];
        head[2 * i + 1] = a * sines[i] + b * cosines[i];
      }
      return;
    }
    for (std::size_t i = 0; i < half; ++i) {
      const float a = head[i], b = head[i + half];
      head[i] = a * cosines[i] - b * sines[i];
      head[i + half] = a * sines[i] + b * cosines[i];
    }
  }

  /// Which sequence and position a row of the step belongs to.
  struct Place {
    Held* held;
    std::size_t position;
  };

  void attention(const Layer& layer, std::size_t number, std::size_t rows) {
    const Decoder& d = decoder_;
    const std::size_t size = d.head_size, half = d.rotated / 2;
    for (std::size_t r = 0; r < rows; ++r) {
      const auto with = [](float* y, const model::Floats& bias) {
        for (std::size_t i = 0; i < bias.size(); ++i) y[i] += bias[i];
      };
      with(query_.row(r), layer.query_bias);
      with(key_.row(r), layer.key_bias);
      with(value_.row(r), layer.value_bias);
      const auto finish = [&](float* head, const model::Floats& weight) {
        if (!weight.empty()) kernels_.norm(head, weight.data(), head, size, d.norm_epsilon);
        if (layer.rope) turn(head, cosines_.data() + r * half, sines_.data() + r * half);
      };
      for (std::size_t h = 0; h < d.heads; ++h) finish(query_.row(r) + h * size, layer.query_norm);
      for (std::size_t h = 0; h < d.kv_heads; ++h) {
        finish(key_.row(r) + h * size, layer.key_norm);
        std::memcpy(at(*places_[r].held, number, h, places_[r].position), key_.row(r) + h * size, size * sizeof(float));
        std::memcpy(at(*places_[r].held, number, d.kv_heads + h, places_[r].position), value_.row(r) + h * size, size * sizeof(float));
      }
    }
    const std::size_t group = d.heads / d.kv_heads;
    team_.run(rows * d.heads, 1, [&](std::size_t first, std::size_t last) {
      static thread_local std::vector<float> scores;
      for (std::size_t i = first; i < last; ++i) {
        const std::size_t r = i / d.heads, h = i % d.heads;
        const Place& place = places_[r];
        scores.resize(std::max(scores.size(), padded(place.position + 1)));
        kernels_.attend({.head_size = size,
                         .positions = place.position + 1,
                         .query = query_.row(r) + h * size,
                         .keys = at(*place.held, number, h / group, 0),
                         .values = at(*place.held, number, d.kv_heads + h / group, 0),
                         .scale = d.attention_scale,
                         .scores = scores.data(),
                         .out = mixed_.row(r) + h * size});
      }
    });
  }

  void run(std::span<const Part> parts, std::size_t rows) {
    const Decoder& d = decoder_;
    const std::size_t half = d.rotated / 2;
    state_.shape(rows, d.hidden);
    normed_.shape(rows, d.hidden);
    query_.shape(rows, d.heads * d.head_size);
    key_.shape(rows, d.kv_heads * d.head_size);
    value_.shape(rows, d.kv_heads * d.head_size);
    mixed_.shape(rows, d.heads * d.head_size);
    gate_.shape(rows, d.feed);
    up_.shape(rows, d.feed);
    places_.clear();
    cosines_.resize(rows * half);
    sines_.resize(rows * half);
    for (const Part& part : parts) {
      Held& held = sequences_.at(part.sequence);
      for (const Token token : part.tokens) {
        const std::size_t r = places_.size();
        kernels_.to_floats(d.embedding, token, state_.row(r));
        if (d.embedding_scale != 1) {
          for (std::size_t i = 0; i < d.hidden; ++i) state_.row(r)[i] *= d.embedding_scale;
        }
        for (std::size_t i = 0; i < half; ++i) {
          const float angle = static_cast<float>(held.length) * d.rope_frequencies[i];
          cosines_[r * half + i] = std::cos(angle) * d.rope_amplitude;
          sines_[r * half + i] = std::sin(angle) * d.rope_amplitude;
        }
        places_.push_back({&held, held.length++});
      }
    }
    for (std::size_t number = 0; number < d.layers.size(); ++number) {
      const Layer& layer = d.layers[number];
      norm_rows(rows, layer.attention_norm);
      multiply(normed_, rows, {{layer.query, query_.row(0), query_.stride()}, {layer.key, key_.row(0), key_.stride()}, {layer.value, value_.row(0), value_.stride()}});
      attention(layer, number, rows);
      multiply(mixed_, rows, {{layer.attention_out, normed_.row(0), normed_.stride()}});
      for (std::size_t r = 0; r < rows; ++r) kernels_.add(state_.row(r), normed_.row(r), d.residual_scale, d.hidden);
      norm_rows(rows, layer.feed_norm);
      multiply(normed_, rows, {{layer.gate, gate_.row(0), gate_.stride()}, {layer.up, up_.row(0), up_.stride()}});
      team_.run(rows, 1, [&](std::size_t first, std::size_t last) {
        for (std::size_t r = first; r < last; ++r) kernels_.gate(gate_.row(r), up_.row(r), d.feed);
      });
      multiply(gate_, rows, {{layer.down, normed_.row(0), normed_.stride()}});
      for (std::size_t r = 0; r < rows; ++r) kernels_.add(state_.row(r), normed_.row(r), d.residual_scale, d.hidden);
    }
    logits(parts);
  }

  void norm_rows(std::size_t rows, const model::Floats& weight) {
    for (std::size_t r = 0; r < rows; ++r) kernels_.norm(state_.row(r), weight.data(), normed_.row(r), decoder_.hidden, decoder_.norm_epsilon);
  }

  void logits(std::span<const Part> parts) {
    std::size_t wanted = 0, row = 0;
    std::span<float> only;
    for (const Part& part : parts) {
      row += part.tokens.size();
      if (part.logits.empty()) continue;
      kernels_.norm(state_.row(row - 1), decoder_.output_norm.data(), normed_.row(wanted++), decoder_.hidden, decoder_.norm_epsilon);
      only = part.logits;
    }
    if (wanted == 0) return;
    if (wanted == 1) {
      multiply(normed_, 1, {{decoder_.output, only.data(), 0}});
    } else {
      logits_.shape(wanted, decoder_.vocabulary);
      multiply(normed_, wanted, {{decoder_.output, logits_.row(0), logits_.stride()}});
    }
    std::size_t i = 0;
    for (const Part& part : parts) {
      if (part.logits.empty()) continue;
      if (wanted > 1) std::memcpy(part.logits.data(), logits_.row(i++), decoder_.vocabulary * sizeof(float));
      if (decoder_.logit_scale != 1) {
        for (float& l : part.logits) l *= decoder_.logit_scale;
      }
    }
  }

  const decltype(model::Model::mappings)& mappings_;
  const Decoder& decoder_;
  const Kernels& kernels_;
  Team team_;
  Facts facts_;
  bool interleave_ = false;
  std::map<Sequence, Held> sequences_;
  Sequence last_ = 0;
  // Of the step that runs.
  std::vector<Place> places_;
  std::vector<float> cosines_, sines_, sums_, interleaved_;
  Rows state_, normed_, query_, key_, value_, mixed_, gate_, up_, logits_;
};

}  // namespace

std::unique_ptr<engine::Engine> make_executor(const model::Model& model, const Options& options) { return std::make_unique<Executor>(model, options); }

}  // namespace mlxhub::cpu
