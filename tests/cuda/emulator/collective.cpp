#include "collective.h"

#include "convert.h"

namespace emulated {

Meeting* Warp::join(int lane, Operation operation, uint32_t mask, int line, std::string& wrong) {
  if (!(mask >> lane & 1)) {
    wrong = "wrong lane: lane " + std::to_string(lane) + " is not in its mask";
    return nullptr;
  }
  Meeting* found = nullptr;
  for (Meeting& meeting : meetings_) {
    const bool open = meeting.mask && !meeting.complete();
    if (open && (meeting.mask & mask)) {
      if (meeting.operation != operation || meeting.mask != mask || meeting.line != line) {
        wrong = "divergent warp: other lanes are in another operation, at line " +
                std::to_string(meeting.line);
        return nullptr;
      }
      found = &meeting;
      break;
    }
    if (!meeting.mask && !found) found = &meeting;
  }
  if (!found->mask) {
    found->operation = operation;
    found->mask = mask;
    found->line = line;
    found->arrived = found->left = 0;
  }
  found->arrived |= 1u << lane;
  return found;
}

void Warp::leave(Meeting& meeting, int lane) {
  meeting.left |= 1u << lane;
  if (meeting.left == meeting.mask) meeting.mask = 0;
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
