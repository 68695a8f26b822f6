// The kernel functions by name.
#pragma once

#include "cpu/kernels.h"
#include "lnx/runtime.h"

namespace lnx {

using ConvFunction = void (*)(const ConvArgs&, int begin, int end);

// Null for the 7x7 kernel, which has other arguments and a step of its own.
ConvFunction conv_function(const KernelTable& kernels, ConvKernel kernel);

}  // namespace lnx
