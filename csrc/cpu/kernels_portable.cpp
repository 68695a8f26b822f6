#include "cpu/vec_portable.h"
//
#include "cpu/kernels/table.h"
