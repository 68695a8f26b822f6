#include "cpu/vec_avx512.h"
//
#include "cpu/kernels/table.h"
