#include "cpu/vec_neon.h"
//
#include "cpu/kernels/peak.h"
#include "cpu/kernels/table.h"
