#include "cpu/vec_avx2.h"
//
#include "cpu/kernels/peak.h"
#include "cpu/kernels/table.h"
