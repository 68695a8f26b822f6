#include "collective.h"

#include "convert.h"

namespace emulated {

std::string Warp::join(int lane, Operation joined, uint32_t mask, int at) {
  if (!(mask >> lane & 1))
    return "wrong lane: lane " + std::to_string(lane) + " is not in its mask";
  if (operation == Operation::kNone) {
    operation = joined;
    expected = mask;
    line = at;
  } else if (operation != joined || expected != mask || line != at) {
    return "divergent warp: other lanes are in another operation, at line " + std::to_string(line);
  }
  arrived |= 1u << lane;
  return {};
}

void Warp::leave() {
  operation = Operation::kNone;
  arrived = expected = 0;
  ++meetings;
}

void multiply_fragments(const MmaLane (&lanes)[32], int depth, PairKind kind) {
  // A register holds one value of TF32 or two of 16 bits.
  const int each = kind == tf32_pairs ? 1 : 2;
  const auto value = [&](uint32_t bits, int i) {
    if (kind == tf32_pairs) return bits_to_float(bits & 0xffffe000u);
    const auto half = static_cast<uint16_t>(bits >> 16 * i);
    return kind == half_pairs ? half_to_float(half) : bits_to_float(uint32_t{half} << 16);
  };
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int q = lane / 4, r = lane % 4;
    for (int i = 0; i < each; ++i) {
      for (int reg = 0; reg < 4; ++reg)
        a[q + reg % 2 * 8][(r + reg / 2 * 4) * each + i] = value(lanes[lane].a[reg], i);
      for (int reg = 0; reg < 2; ++reg)
        b[(r + reg * 4) * each + i][q] = value(lanes[lane].b[reg], i);
    }
  }
  float c[16][8] = {};
  for (int m = 0; m < 16; ++m)
    for (int k = 0; k < depth; ++k)
      for (int n = 0; n < 8; ++n) c[m][n] += a[m][k] * b[k][n];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) lanes[lane].c[i] += c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

}  // namespace emulated
