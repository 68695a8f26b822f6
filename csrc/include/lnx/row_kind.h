// What rows of floats are combined by.
#pragma once

#include <string>

namespace lnx {

enum class RowKind { kAdd, kSub, kMul, kDiv, kMax, kMin };

// The kind called "add", "sub", "mul", "div", "max" or "min"; else std::invalid_argument.
RowKind row_kind_from_name(const std::string& name);

}  // namespace lnx
