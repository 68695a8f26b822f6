#include "cpu/vec_portable.h"
//
#include "cpu/kernels/peak.h"
#include "cpu/kernels/table.h"
