#include <algorithm>
#include <map>

#include "cpu/aligned_buffer.h"
#include "cpu/step.h"
#include "cpu/tiled_slices.h"

namespace lnx {
namespace {

int floor_div(int a, int b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Geometry of the planes that a staged convolution reads: one for each vertical phase in use and
// each column of taps. With the columns' shifts in the planes, taps differ by whole rows only, and
// their loads stay aligned. (For Winograd: of the transformed rows.)
struct Stage {
  std::vector<int32_t> phases, first_rows, shifts, taps;
  int stride_h = 1;
  int rows = 0;
  int row_stride = 0, row_floats = 0;
  int64_t plane_stride = 0;
  int64_t channel_stride = 0;

  Stage(const ConvSpec& spec, int lanes) {
    const Window& w = spec.window;
    if (spec.kernel == ConvKernel::kRows3x3s2) {
      // One plane of all rows, each the even columns, then the odd ones, in whole vectors.
      phases = {0};
      first_rows = {-w.padding_h};
      shifts = {0, 1};
      rows = 2 * spec.out.height + 1;
      row_floats = static_cast<int>(round_up(spec.out.width, lanes));
      row_stride = 2 * row_floats;
      plane_stride = row_floats;
      channel_stride = int64_t{rows} * row_stride;
      taps = {0, row_floats};
      return;
    }
    if (spec.kernel == ConvKernel::kWinograd3x3) {
      plane_stride = (int64_t{spec.out.height} + 2) * lanes;
      channel_stride = round_up(spec.out.width, 2 * lanes) / (2 * lanes) * 4 * plane_stride;
      taps = {0, static_cast<int32_t>(plane_stride)};
      return;
    }
    if (spec.kernel == ConvKernel::kWinogradHalf3x3) {
      row_stride = 8;
      plane_stride = round_up(int64_t{spec.out.height} + 2, 2) * row_stride;
      channel_stride = 4 * plane_stride;
      taps = {0, static_cast<int32_t>(plane_stride)};
      return;
    }
    if (spec.kernel == ConvKernel::kWinogradPairs3x3) {
      rows = 4 * ((spec.out.height + 3) / 4);
      row_stride = lanes;
      channel_stride = int64_t{rows} * row_stride;
      return;
    }
    stride_h = w.stride_h;
    if (spec.kernel == ConvKernel::kPairs3x3s2) {
      phases = {1, 0};
      first_rows = {-1, 0};
      shifts = {0, 1};
      rows = spec.out.height + 1;
      row_stride = 8;
      finish();
      for (int plane = 0; plane < 4; ++plane)
        taps.push_back(static_cast<int32_t>(plane * plane_stride));
      return;
    }
    int first_row = 0, last_row = 0;
    std::map<int, int> phase_index;
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      const int shift = ky * w.dilation_h - w.padding_h;
      const int row = floor_div(shift, w.stride_h);
      const int phase = shift - row * w.stride_h;
      if (phase_index.emplace(phase, static_cast<int>(phases.size())).second)
        phases.push_back(phase);
      first_row = ky == 0 ? row : std::min(first_row, row);
      last_row = ky == 0 ? row : std::max(last_row, row);
    }
    first_rows.assign(phases.size(), first_row);
    for (int kx = 0; kx < w.kernel_w; ++kx) shifts.push_back(kx * w.dilation_w - w.padding_w);
    rows = spec.out.height + last_row - first_row;
    row_stride = spec.out.row_stride;
    finish();
    for (int ky = 0; ky < w.kernel_h; ++ky) {
      const int shift = ky * w.dilation_h - w.padding_h;
      const int row = floor_div(shift, w.stride_h);
      const int phase = phase_index[shift - row * w.stride_h];
      for (int kx = 0; kx < w.kernel_w; ++kx)
        taps.push_back(static_cast<int32_t>((phase * w.kernel_w + kx) * plane_stride +
                                            int64_t{row - first_row} * row_stride));
    }
  }

 private:
  void finish() {
    row_floats = row_stride;
    plane_stride = round_up(int64_t{rows} * row_stride, 16);
    channel_stride = plane_stride * static_cast<int64_t>(phases.size() * shifts.size());
  }
};

std::vector<int32_t> direct_taps(const Window& w, int row_stride) {
  std::vector<int32_t> taps;
  for (int ky = 0; ky < w.kernel_h; ++ky)
    for (int kx = 0; kx < w.kernel_w; ++kx)
      taps.push_back((ky * w.dilation_h - w.padding_h) * row_stride + kx * w.dilation_w -
                     w.padding_w);
  return taps;
}

template <typename T>
AlignedBuffer<T> aligned_copy(const std::vector<T>& from) {
  AlignedBuffer<T> to(from.size());
  std::copy(from.begin(), from.end(), to.data());
  return to;
}

// 12 weights from the 9 of each slice: for three weights g0, g1, g2 beside each other (or above
// each other, with `down`) g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2 and g2.
std::vector<float> winograd_weights(const std::vector<float>& values, bool down) {
  const size_t along = down ? 3 : 1, across = down ? 1 : 3;
  std::vector<float> to(values.size() / 9 * 12);
  for (size_t k = 0; k < values.size() / 9; ++k)
    for (size_t i = 0; i < 3; ++i) {
      const float* g = &values[k * 9 + i * across];
      float* out = &to[k * 12 + i];
      out[0] = g[0];
      out[3] = (g[0] + g[along] + g[2 * along]) * 0.5f;
      out[6] = (g[0] - g[along] + g[2 * along]) * 0.5f;
      out[9] = g[2 * along];
    }
  return to;
}

class ConvStep : public Step {
 public:
  ConvStep(const KernelTable& kernels, int threads, const ConvSpec& spec, const SliceShape& shape,
           const PackedSlices& packed)
      : kernels_(kernels),
        spec_(spec),
        stage_(spec, kernels.traits.lanes),
        taps_(spec.staged ? stage_.taps : direct_taps(spec.window, spec.in.row_stride)),
        mask_(pixel_mask(spec.out)) {
    const int filter_block =
        spec.kernel == ConvKernel::kFlatBlocked ? kernels.traits.filter_block : 1;
    share_units(count_unit_slices(packed, shape, filter_block), threads);
    const int64_t vectors =
        round_up(int64_t{spec.out.height} * spec.out.row_stride, kernels.traits.lanes) /
        kernels.traits.lanes;
    const bool by_count = spec.kernel == ConvKernel::kFlat && vectors <= kFewTiles * spec.tile;
    const TiledSlices tiled =
        tile_slices(packed, shape, spec.block_channels, filter_block, share_, by_count);
    unit_ = aligned_copy(tiled.unit);
    ptr_ = aligned_copy(tiled.ptr);
    channel_ = aligned_copy(tiled.channel);
    codes_ = aligned_copy(tiled.codes);
    if (!tiled.codes.empty()) code_unit_ = packed.unit;
    if (spec.kernel == ConvKernel::kWinograd3x3) winograd_ = kernels.winograd_rows;
    if (spec.kernel == ConvKernel::kWinogradHalf3x3) winograd_ = kernels.winograd_half_rows;
    const bool down = spec.kernel == ConvKernel::kWinogradPairs3x3;
    if (down) winograd_ = kernels.winograd_pairs;
    values_ = aligned_copy(winograd_ ? winograd_weights(tiled.values, down) : tiled.values);
    blocks_ = tiled.blocks;
    units_ = tiled.units;
    any_slices_ = !tiled.channel.empty();
    if (spec.staged) {
      const Window& w = spec.window;
      margin_ = round_up(w.padding_w, 16);
      // As far as the taps of the last, partly filled vector reach.
      const int64_t reach = (int64_t{spec.out.width} + 32) * w.stride_w +
                            int64_t{w.kernel_w} * w.dilation_w + w.padding_w;
      row_floats_ = margin_ + round_up(std::max<int64_t>(reach, spec.in.width), 16);
      rows_ = AlignedBuffer<float>(row_floats_ * threads);
    }
    switch (spec.kernel) {
      case ConvKernel::kWinograd7x7s2:
        break;  // has a step of its own
      case ConvKernel::kFlat:
        conv_ = kernels.conv_flat;
        break;
      case ConvKernel::kFlatBlocked:
        conv_ = kernels.conv_flat_blocked;
        break;
      case ConvKernel::kRows3x3:
        conv_ = kernels.conv_rows3x3;
        break;
      case ConvKernel::kRows3x3s2:
        conv_ = kernels.conv_rows3x3s2;
        break;
      case ConvKernel::kDirect3x3s2:
        conv_ = kernels.conv_direct3x3s2;
        break;
      case ConvKernel::kRows5x5:
        conv_ = kernels.conv_rows5x5;
        break;
      case ConvKernel::kRows5x5s2:
        conv_ = kernels.conv_rows5x5s2;
        break;
      case ConvKernel::kPairs5x5:
        conv_ = kernels.conv_pairs5x5;
        break;
      case ConvKernel::kPairs5x5s2:
        conv_ = kernels.conv_pairs5x5s2;
        break;
      case ConvKernel::kWinograd3x3:
        conv_ = kernels.conv_winograd3x3;
        break;
      case ConvKernel::kWinogradHalf3x3:
        conv_ = kernels.conv_winograd_half3x3;
        break;
      case ConvKernel::kWinogradPairs3x3:
        conv_ = kernels.conv_winograd_pairs3x3;
        break;
      case ConvKernel::kPairs3x3:
        conv_ = kernels.conv_pairs3x3;
        break;
      case ConvKernel::kPairs3x3s2:
        conv_ = kernels.conv_pairs3x3s2;
        break;
    }
  }

  void run(const Frame& frame) const override {
    const float* in = frame.arena + spec_.in.offset;
    int64_t channel_stride = spec_.in.channel_stride;
    if (spec_.staged) {
      if (any_slices_) winograd_ ? run_winograd(frame) : run_stage(frame);
      in = frame.scratch;
      channel_stride = stage_.channel_stride;
    }
    ConvArgs a{};
    a.in = in;
    a.channel_stride = channel_stride;
    a.taps = taps_.data();
    a.num_taps = static_cast<int>(taps_.size());
    a.unit = unit_.data();
    a.ptr = ptr_.data();
    a.channel = channel_.data();
    a.values = values_.data();
    a.codes = codes_.size() ? codes_.data() : nullptr;
    a.code_unit = code_unit_.data();
    a.blocks = blocks_;
    a.block_channels = spec_.block_channels;
    a.units = units_;
    a.filters = spec_.out.channels;
    a.height = spec_.out.height;
    a.width = spec_.out.width;
    a.in_width = spec_.in.width;
    a.row_stride = spec_.out.row_stride;
    a.in_row_stride = spec_.staged ? stage_.row_stride : spec_.in.row_stride;
    a.zero_sides = spec_.window.padding_w == 1;
    a.tile_rows = spec_.tile_rows;
    a.tile = spec_.tile;
    a.out = frame.arena + spec_.out.offset;
    a.out_stride = spec_.out.channel_stride;
    a.residual = spec_.has_residual ? frame.arena + spec_.residual.offset : nullptr;
    a.bias = spec_.bias.data();
    a.mask = mask_.data();
    a.activation = spec_.activation;
    if (!frame.pool || share_.size() == 2) {
      conv_(a, 0, units_);
    } else {
      frame.pool->share(static_cast<int>(share_.size()) - 1,
                        [&](int part, int) { conv_(a, share_[part], share_[part + 1]); });
    }
  }

  int64_t weight_bytes() const override {
    return static_cast<int64_t>(4 * (unit_.size() + ptr_.size() + values_.size()) +
                                2 * channel_.size() + codes_.size());
  }

 private:
  // Splits units into parts of about as many slices; a unit itself costs about one. A part should
  // take some microseconds at least.
  void share_units(const std::vector<int64_t>& slices, int threads) {
    const int units = static_cast<int>(slices.size());
    std::vector<int64_t> before(units + 1, 0);
    for (int u = 0; u < units; ++u) before[u + 1] = before[u] + slices[u] + 1;
    const int64_t work = before[units] * static_cast<int64_t>(taps_.size()) * spec_.out.height *
                         spec_.out.row_stride;
    const int64_t parts = std::max<int64_t>(
        1, std::min({work / kPartWork, int64_t{units}, int64_t{Frame::kPartsPerThread} * threads}));
    share_.push_back(0);
    for (int64_t i = 1; i <= parts; ++i) {
      const int64_t target = before[units] * i / parts;
      share_.push_back(static_cast<int>(std::lower_bound(before.begin(), before.end(), target) -
                                        before.begin()));
    }
  }

  void run_stage(const Frame& frame) const {
    const Image& in = spec_.in;
    StageArgs a{};
    a.in = frame.arena + in.offset;
    a.in_stride = in.channel_stride;
    a.in_height = in.height;
    a.in_width = in.width;
    a.in_row_stride = in.row_stride;
    a.stride_h = stage_.stride_h;
    a.stride_w = spec_.window.stride_w;
    a.first_rows = stage_.first_rows.data();
    a.phases = stage_.phases.data();
    a.num_phases = static_cast<int>(stage_.phases.size());
    a.shifts = stage_.shifts.data();
    a.num_shifts = static_cast<int>(stage_.shifts.size());
    a.out = frame.scratch;
    a.out_stride = stage_.channel_stride;
    a.plane_stride = stage_.plane_stride;
    a.rows = stage_.rows;
    a.width = spec_.out.width;
    a.row_stride = stage_.row_stride;
    a.row_floats = stage_.row_floats;
    const int last = (spec_.out.width - 1) * a.stride_w;
    a.padded = stage_.shifts.front() < 0 || last + stage_.shifts.back() >= in.width;
    a.margin = margin_;
    const int parts = frame.parts(in.channels, stage_.channel_stride);
    frame.split(in.channels, parts, [&](int begin, int end, int member) {
      StageArgs mine = a;
      mine.row = rows_.data() + member * row_floats_;
      kernels_.stage(mine, begin, end);
    });
  }

  void run_winograd(const Frame& frame) const {
    const Image& in = spec_.in;
    WinogradArgs a{};
    a.in = frame.arena + in.offset;
    a.in_stride = in.channel_stride;
    a.height = in.height;
    a.width = in.width;
    a.in_row_stride = in.row_stride;
    a.out = frame.scratch;
    a.out_stride = stage_.channel_stride;
    a.plane_stride = stage_.plane_stride;
    const int parts = frame.parts(in.channels, stage_.channel_stride);
    frame.split(in.channels, parts, [&](int begin, int end, int) { winograd_(a, begin, end); });
  }

  static constexpr int64_t kPartWork = 200000;  // multiplications
  static constexpr int kFewTiles = 4;           // as many passes teach the branch predictor little

  const KernelTable& kernels_;
  const ConvSpec spec_;
  const Stage stage_;
  const std::vector<int32_t> taps_;
  const std::vector<uint8_t> mask_;
  AlignedBuffer<uint32_t> unit_, ptr_;
  AlignedBuffer<uint16_t> channel_;
  AlignedBuffer<float> values_;
  AlignedBuffer<int8_t> codes_;
  std::vector<float> code_unit_;
  int blocks_ = 0, units_ = 0;
  bool any_slices_ = false;
  std::vector<int> share_;
  int64_t margin_ = 0, row_floats_ = 0;
  mutable AlignedBuffer<float> rows_;  // staging: a row for each thread
  void (*winograd_)(const WinogradArgs&, int, int) = nullptr;
  void (*conv_)(const ConvArgs&, int, int) = nullptr;
};

}  // namespace

std::vector<uint8_t> pixel_mask(const Image& image) {
  const int64_t floats = round_up(int64_t{image.height} * image.row_stride, 16);
  std::vector<uint8_t> mask(floats / 8 + 8, 0);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const int64_t p = int64_t{y} * image.row_stride + x;
      mask[p / 8] = static_cast<uint8_t>(mask[p / 8] | 1 << p % 8);
    }
  return mask;
}

int64_t stage_floats(const ConvSpec& spec, int lanes) {
  return spec.in.channels * Stage(spec, lanes).channel_stride;
}

std::unique_ptr<Step> make_conv_step(const KernelTable& kernels, int threads, const ConvSpec& spec,
                                     const SliceShape& shape, const PackedSlices& slices) {
  return std::make_unique<ConvStep>(kernels, threads, spec, shape, slices);
}

}  // namespace lnx
