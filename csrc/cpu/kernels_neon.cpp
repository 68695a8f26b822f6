#include "cpu/vec_neon.h"
//
#include "cpu/kernels/table.h"
