#include "cpu/vec_avx512.h"
//
#include "cpu/kernels/peak.h"
#include "cpu/kernels/table.h"
