#include "cpu/conv_function.h"

namespace lnx {

ConvFunction conv_function(const KernelTable& kernels, ConvKernel kernel) {
  switch (kernel) {
    case ConvKernel::kFlat:
      return kernels.conv_flat;
    case ConvKernel::kFlatBlocked:
      return kernels.conv_flat_blocked;
    case ConvKernel::kRows3x3:
      return kernels.conv_rows3x3;
    case ConvKernel::kRows3x3s2:
      return kernels.conv_rows3x3s2;
    case ConvKernel::kDirect3x3s2:
      return kernels.conv_direct3x3s2;
    case ConvKernel::kRows5x5:
      return kernels.conv_rows5x5;
    case ConvKernel::kRows5x5s2:
      return kernels.conv_rows5x5s2;
    case ConvKernel::kPairs5x5:
      return kernels.conv_pairs5x5;
    case ConvKernel::kPairs5x5s2:
      return kernels.conv_pairs5x5s2;
    case ConvKernel::kWinograd3x3:
      return kernels.conv_winograd3x3;
    case ConvKernel::kWinogradPairs3x3:
      return kernels.conv_winograd_pairs3x3;
    case ConvKernel::kPairs3x3:
      return kernels.conv_pairs3x3;
    case ConvKernel::kPairs3x3s2:
      return kernels.conv_pairs3x3s2;
    case ConvKernel::kWinograd7x7s2:
      break;
  }
  return nullptr;
}

}  // namespace lnx
