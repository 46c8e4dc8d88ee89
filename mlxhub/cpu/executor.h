#pragma once
// Runs a decoder on the processor: all rows of a step go through each layer together, weights are read where they are mapped.
#include <memory>

#include "mlxhub/cpu/kernel.h"
#include "mlxhub/engine/engine.h"
#include "mlxhub/model/model.h"

namespace mlxhub::cpu {

struct Options {
  unsigned threads = 0;               // 0: one a core
  const Kernels* kernels = nullptr;   // null: the fastest
};

/// `model` must outlive it.
std::unique_ptr<engine::Engine> make_executor(const model::Model& model, const Options& options = {});

}  // namespace mlxhub::cpu
