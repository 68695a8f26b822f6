// Functions of one value that steps apply to their results.
#pragma once

#include <string>

namespace lnx {

enum class Activation {
  kNone,
  kRelu,         // max(x, 0)
  kRelu6,        // min(max(x, 0), 6)
  kHardSwish,    // x * hard_sigmoid(x)
  kSilu,         // x * sigmoid(x)
  kHardSigmoid,  // min(max(x + 3, 0), 6) / 6
  kSigmoid,      // 1 / (1 + exp(-x))
  kGelu,         // x * Phi(x)
  kGeluTanh,     // its approximation by tanh
  kLeakyRelu,    // x >= 0 ? x : p0 * x; elementwise steps only, as the next
  kClip,         // min(max(x, p0), p1)
};

// The activation called "none", "relu", "relu6", "hardswish", "silu", "hardsigmoid", "sigmoid",
// "gelu", "gelutanh", "leakyrelu" or "clip"; else std::invalid_argument.
Activation activation_from_name(const std::string& name);

}  // namespace lnx
