#include "lnx/row_kind.h"

#include <stdexcept>

namespace lnx {

RowKind row_kind_from_name(const std::string& name) {
  static constexpr struct {
    const char* name;
    RowKind kind;
  } kNames[] = {
      {"add", RowKind::kAdd}, {"sub", RowKind::kSub}, {"mul", RowKind::kMul},
      {"div", RowKind::kDiv}, {"max", RowKind::kMax}, {"min", RowKind::kMin},
  };
  for (const auto& entry : kNames)
    if (name == entry.name) return entry.kind;
  throw std::invalid_argument("unknown operation '" + name + "'");
}

}  // namespace lnx
