// Encodes and decodes the integers of a file of codec_steps.py with the coder that it is compiled
// with: prints the coded bytes and the least processor seconds of one decoding.
//
// The file: a count of weights, then filters, slices, length, model and nonzero slices of each
// (five uint64), then all integers, int32.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <vector>

#include "lnx/codec.h"

namespace {

double processor_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::vector<int32_t*> parts_of(std::vector<int32_t>& all, const std::vector<lnx::WeightShape>& s) {
  std::vector<int32_t*> parts;
  size_t at = 0;
  for (const lnx::WeightShape& w : s) {
    parts.push_back(all.data() + at);
    at += size_t{w.filters} * w.slices * w.length;
  }
  return parts;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  std::ifstream file(arguments[1], std::ios::binary);
  const std::vector<char> data((std::istreambuf_iterator<char>(file)), {});
  const double seconds = std::atof(arguments[2]);
  uint64_t weights;
  std::memcpy(&weights, data.data(), 8);
  std::vector<uint64_t> facts(5 * weights);
  std::memcpy(facts.data(), data.data() + 8, 8 * facts.size());
  std::vector<lnx::WeightShape> shapes;
  size_t total = 0;
  for (uint64_t i = 0; i < weights; ++i) {
    const uint64_t* f = &facts[5 * i];
    shapes.push_back({uint32_t(f[0]), uint32_t(f[1]), uint32_t(f[2]), uint32_t(f[3]), f[4]});
    total += f[0] * f[1] * f[2];
  }
  std::vector<int32_t> latents(total), decoded(total);
  std::memcpy(latents.data(), data.data() + 8 + 8 * facts.size(), 4 * total);
  const std::vector<int32_t*> from = parts_of(latents, shapes), to = parts_of(decoded, shapes);
  std::vector<uint8_t> coded;
  if (lnx::encode_latents(shapes.data(), from.data(), weights, coded) != lnx::CodecStatus::kOk)
    return 3;
  double best = 1e9;
  for (double spent = 0; spent < seconds;) {
    std::fill(decoded.begin(), decoded.end(), 0);
    const double start = processor_seconds();
    const lnx::CodecStatus status =
        lnx::decode_latents(coded.data(), coded.size(), shapes.data(), to.data(), weights);
    const double took = processor_seconds() - start;
    if (status != lnx::CodecStatus::kOk || decoded != latents) return 4;
    best = took < best ? took : best;
    spent += took;
  }
  std::printf("%zu %.9f\n", coded.size(), best);
  return 0;
}
