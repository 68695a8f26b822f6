#include "lnx/activation.h"

#include <stdexcept>

namespace lnx {

Activation activation_from_name(const std::string& name) {
  static constexpr struct {
    const char* name;
    Activation activation;
  } kNames[] = {
      {"none", Activation::kNone},         {"relu", Activation::kRelu},
      {"relu6", Activation::kRelu6},       {"hardswish", Activation::kHardSwish},
      {"silu", Activation::kSilu},         {"hardsigmoid", Activation::kHardSigmoid},
      {"sigmoid", Activation::kSigmoid},   {"gelu", Activation::kGelu},
      {"gelutanh", Activation::kGeluTanh}, {"leakyrelu", Activation::kLeakyRelu},
      {"clip", Activation::kClip},
  };
  for (const auto& entry : kNames)
    if (name == entry.name) return entry.activation;
  throw std::invalid_argument("unknown activation '" + name + "'");
}

}  // namespace lnx
