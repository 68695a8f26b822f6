#include "cpu/conv_stage.h"

#include <algorithm>
#include <map>

#include "cpu/step.h"

namespace lnx {
namespace {

int floor_div(int a, int b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

constexpr int64_t kBandBytes = 512 * 1024;  // of transformed rows

}  // namespace

ConvStage::ConvStage(const ConvSpec& spec, int lanes, int threads) {
  switch (spec.kernel) {
    case ConvKernel::kRows3x3s2:
      // One plane of all rows, each the even columns, then the odd ones, in whole vectors.
      phases = {0};
      first_rows = {-spec.window.padding_h};
      shifts = {0, 1};
      rows = 2 * spec.out.height + 1;
      row_floats = static_cast<int>(round_up(spec.out.width, lanes));
      row_stride = 2 * row_floats;
      plane_stride = row_floats;
      channel_stride = int64_t{rows} * row_stride;
      taps = {0, row_floats};
      break;
    case ConvKernel::kWinograd3x3:
      transformed_rows(spec, lanes, threads);
      break;
    case ConvKernel::kPairs3x3s2:
      // Ten vectors for four rows of output: see conv3x3s2_pairs.h.
      rows = (spec.out.height + 3) / 4 * 10;
      row_stride = lanes;
      channel_stride = int64_t{rows} * row_stride;
      break;
    case ConvKernel::kWinogradPairs3x3:
      rows = (spec.out.height + 7) / 8 * 6;
      row_stride = lanes;
      channel_stride = int64_t{rows} * row_stride;
      break;
    default:
      phases_of(spec);
  }
  floats = spec.in.channels * channel_stride;
}

// Six vectors for each 4 * lanes columns of a row, or for several narrow rows: winograd3x3.h.
void ConvStage::transformed_rows(const ConvSpec& spec, int lanes, int threads) {
  const int64_t columns = 4 * lanes / spec.tile, blocks = (spec.out.width + columns - 1) / columns;
  bands.rows = (spec.out.height + spec.tile - 1) / spec.tile;
  bands.tiles = (bands.rows + spec.tile_rows - 1) / spec.tile_rows;
  const int64_t bytes = int64_t{4} * spec.in.channels * blocks * 6 * lanes * bands.rows;
  const int64_t fitting = (bytes + kBandBytes - 1) / kBandBytes;
  if (threads == 1) {
    bands.count = static_cast<int>(std::min<int64_t>(fitting, bands.tiles));
  } else if (bands.tiles >= kTilesPerPart * Frame::kPartsPerThread * int64_t{threads}) {
    bands.shared = true;
    bands.count = static_cast<int>(
        std::clamp<int64_t>(fitting, Frame::kPartsPerThread * int64_t{threads}, bands.tiles));
  }
  int most = 0;
  for (int i = 0; i < bands.count; ++i)
    most = std::max(most, bands.row(bands.tile(i + 1)) - bands.row(bands.tile(i)));
  row_stride = 6 * lanes;
  plane_stride = (int64_t{most} + 2) * row_stride;
  channel_stride = blocks * plane_stride;
  taps = {0, static_cast<int32_t>(plane_stride)};
}

void ConvStage::phases_of(const ConvSpec& spec) {
  const Window& w = spec.window;
  stride_h = w.stride_h;
  int first_row = 0, last_row = 0;
  std::map<int, int> phase_index;
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    const int shift = ky * w.dilation_h - w.padding_h;
    const int row = floor_div(shift, w.stride_h);
    const int phase = shift - row * w.stride_h;
    if (phase_index.emplace(phase, static_cast<int>(phases.size())).second) phases.push_back(phase);
    first_row = ky == 0 ? row : std::min(first_row, row);
    last_row = ky == 0 ? row : std::max(last_row, row);
  }
  first_rows.assign(phases.size(), first_row);
  for (int kx = 0; kx < w.kernel_w; ++kx) shifts.push_back(kx * w.dilation_w - w.padding_w);
  rows = spec.out.height + last_row - first_row;
  row_stride = row_floats = spec.out.row_stride;
  plane_stride = round_up(int64_t{rows} * row_stride, 16);
  channel_stride = plane_stride * static_cast<int64_t>(phases.size() * shifts.size());
  for (int ky = 0; ky < w.kernel_h; ++ky) {
    const int shift = ky * w.dilation_h - w.padding_h;
    const int row = floor_div(shift, w.stride_h);
    const int phase = phase_index[shift - row * w.stride_h];
    for (int kx = 0; kx < w.kernel_w; ++kx)
      taps.push_back(static_cast<int32_t>((phase * w.kernel_w + kx) * plane_stride +
                                          int64_t{row - first_row} * row_stride));
  }
}

std::vector<int32_t> direct_taps(const Window& w, int row_stride) {
  std::vector<int32_t> taps;
  for (int ky = 0; ky < w.kernel_h; ++ky)
    for (int kx = 0; kx < w.kernel_w; ++kx)
      taps.push_back((ky * w.dilation_h - w.padding_h) * row_stride + kx * w.dilation_w -
                     w.padding_w);
  return taps;
}

std::vector<float> strided_weights(const std::vector<float>& values) {
  std::vector<float> to(values.size() / 9 * 12);
  for (size_t k = 0; k < values.size() / 9; ++k)
    for (size_t i = 0; i < 3; ++i) {
      const float* g = &values[k * 9 + i];
      float* out = &to[k * 12 + i];
      out[0] = g[0];
      out[3] = g[0] + g[6];
      out[6] = g[6];
      out[9] = g[3];
    }
  return to;
}

std::vector<float> winograd_weights(const std::vector<float>& values, bool down) {
  const size_t along = down ? 3 : 1, across = down ? 1 : 3;
  std::vector<float> to(values.size() / 9 * 18);
  for (size_t k = 0; k < values.size() / 9; ++k)
    for (size_t i = 0; i < 3; ++i) {
      const float* g = &values[k * 9 + i * across];
      const double first = g[0], second = g[along], third = g[2 * along];
      const double points[] = {first,
                               (first + second + third) / 3,
                               (first - second + third) / -3,
                               (first + second / 2 + third / 4) / -0.9375,
                               (first - 2 * second + 4 * third) / 15,
                               third};
      for (size_t p = 0; p < 6; ++p) to[k * 18 + p * 3 + i] = static_cast<float>(points[p]);
    }
  return to;
}

}  // namespace lnx
