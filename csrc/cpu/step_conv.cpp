#include <algorithm>

#include "cpu/aligned_buffer.h"
#include "cpu/conv_function.h"
#include "cpu/conv_stage.h"
#include "cpu/step.h"
#include "cpu/tiled_slices.h"

namespace lnx {
namespace {

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

template <typename T>
AlignedBuffer<T> aligned_copy(const std::vector<T>& from) {
  AlignedBuffer<T> to(from.size());
  std::copy(from.begin(), from.end(), to.data());
  return to;
}

class ConvStep : public Step {
 public:
  ConvStep(const KernelTable& kernels, int threads, const ConvSpec& spec, const SliceShape& shape,
           const PackedSlices& packed)
      : kernels_(kernels),
        spec_(spec),
        stage_(spec, kernels.traits.lanes, threads),
        taps_(spec.staged ? stage_.taps : direct_taps(spec.window, spec.in.row_stride)),
        mask_(pixel_mask(spec.out)),
        conv_(conv_function(kernels, spec.kernel)) {
    const int filter_block =
        spec.kernel == ConvKernel::kFlatBlocked ? kernels.traits.filter_block : 1;
    share_units(count_unit_slices(packed, shape, filter_block), threads);
    const int64_t vectors =
        round_up(int64_t{spec.out.height} * spec.out.row_stride, kernels.traits.lanes) /
        kernels.traits.lanes;
    const bool by_count = spec.kernel == ConvKernel::kFlat && vectors <= kFewTiles * spec.tile;
    int64_t tiles = 0;
    if (spec.kernel == ConvKernel::kFlat || spec.kernel == ConvKernel::kFlatBlocked) {
      tiles = (vectors + spec.tile - 1) / spec.tile;
    }
    by_tiles_ = tiles >= kTilesPerPart * static_cast<int64_t>(share_.size() - 1);
    TiledSlices tiled =
        tile_slices(packed, shape, spec.block_channels, filter_block, share_, by_count);
    unit_ = aligned_copy(tiled.unit);
    ptr_ = aligned_copy(tiled.ptr);
    channel_ = aligned_copy(tiled.channel);
    codes_ = aligned_copy(tiled.codes);
    if (!tiled.codes.empty()) code_unit_ = packed.unit;
    std::vector<float> values = std::move(tiled.values);
    if (spec.kernel == ConvKernel::kWinograd3x3) {
      transform_ = kernels.winograd_rows;
      values = winograd_weights(values, false);
    } else if (spec.kernel == ConvKernel::kWinogradPairs3x3) {
      transform_ = kernels.winograd_pairs;
      values = winograd_weights(values, true);
    } else if (spec.kernel == ConvKernel::kPairs3x3s2) {
      transform_ = kernels.transform_strided_pairs;
      values = strided_weights(values);
    }
    values_ = aligned_copy(values);
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
  }

  void run(const Frame& frame) const override {
    if (stage_.bands.count > 1) return run_bands(frame);
    const bool staged = spec_.staged;
    if (staged && any_slices_) transform_ ? run_transform(frame) : run_stage(frame);
    const ConvArgs a =
        staged ? conv_args(frame, frame.scratch, stage_.channel_stride)
               : conv_args(frame, frame.arena + spec_.in.offset, spec_.in.channel_stride);
    const int parts = static_cast<int>(share_.size()) - 1;
    if (!frame.pool || parts == 1) {
      conv_(a, 0, units_);
    } else if (by_tiles_) {
      frame.pool->share(parts, [&](int part, int) {
        ConvArgs mine = a;
        mine.part = part;
        mine.parts = parts;
        conv_(mine, 0, units_);
      });
    } else {
      frame.pool->share(parts, [&](int part, int) { conv_(a, share_[part], share_[part + 1]); });
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
    const int64_t work = before[units] * spec_.window.kernel_h * spec_.window.kernel_w *
                         spec_.out.height * spec_.out.row_stride;
    const int64_t parts = std::max<int64_t>(
        1, std::min({work / kPartWork, int64_t{units}, int64_t{Frame::kPartsPerThread} * threads}));
    share_.push_back(0);
    for (int64_t i = 1; i <= parts; ++i) {
      const int64_t target = before[units] * i / parts;
      share_.push_back(static_cast<int>(std::lower_bound(before.begin(), before.end(), target) -
                                        before.begin()));
    }
  }

  ConvArgs conv_args(const Frame& frame, const float* in, int64_t channel_stride) const {
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
    a.ask_ahead = memory_is_far();
    a.out = frame.arena + spec_.out.offset;
    a.out_stride = spec_.out.channel_stride;
    a.residual = spec_.has_residual ? frame.arena + spec_.residual.offset : nullptr;
    a.bias = spec_.bias.data();
    a.mask = mask_.data();
    a.activation = spec_.activation;
    a.parts = 1;
    return a;
  }

  // Transforms a band of the image and takes the convolution of it, band by band.
  void run_bands(const Frame& frame) const {
    const ConvStage::Bands& bands = stage_.bands;
    const auto run_band = [&](int i, int member) {
      float* rows = frame.scratch + member * stage_.floats;
      WinogradArgs t = transform_args(frame, rows);
      t.first = bands.row(bands.tile(i));
      t.last = bands.row(bands.tile(i + 1));
      if (any_slices_) transform_(t, 0, spec_.in.channels);
      // Where the rows of the whole image would begin.
      const int64_t before = int64_t{t.first} * stage_.row_stride;
      ConvArgs a = conv_args(frame, rows - before, stage_.channel_stride);
      a.part = i;
      a.parts = bands.count;
      conv_(a, 0, units_);
    };
    if (frame.pool && bands.shared) {
      frame.pool->share(bands.count, run_band);
    } else {
      for (int i = 0; i < bands.count; ++i) run_band(i, 0);
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

  void run_transform(const Frame& frame) const {
    const int channels = spec_.in.channels;
    const int parts = frame.parts(channels, stage_.channel_stride);
    WinogradArgs a = transform_args(frame, frame.scratch);
    a.last = stage_.bands.rows;
    frame.split(channels, parts, [&](int begin, int end, int) { transform_(a, begin, end); });
  }

  WinogradArgs transform_args(const Frame& frame, float* out) const {
    const Image& in = spec_.in;
    WinogradArgs a{};
    a.in = frame.arena + in.offset;
    a.in_stride = in.channel_stride;
    a.height = in.height;
    a.width = in.width;
    a.in_row_stride = in.row_stride;
    a.out = out;
    a.out_stride = stage_.channel_stride;
    a.plane_stride = stage_.plane_stride;
    a.parts = spec_.tile;
    return a;
  }

  static constexpr int64_t kPartWork = 200000;  // multiplications
  static constexpr int kFewTiles = 4;           // as many passes teach the branch predictor little

  const KernelTable& kernels_;
  const ConvSpec spec_;
  const ConvStage stage_;
  const std::vector<int32_t> taps_;
  const std::vector<uint8_t> mask_;
  AlignedBuffer<uint32_t> unit_, ptr_;
  AlignedBuffer<uint16_t> channel_;
  AlignedBuffer<float> values_;
  AlignedBuffer<int8_t> codes_;
  std::vector<float> code_unit_;
  int blocks_ = 0, units_ = 0;
  bool any_slices_ = false;
  bool by_tiles_ = false;
  std::vector<int> share_;
  int64_t margin_ = 0, row_floats_ = 0;
  mutable AlignedBuffer<float> rows_;  // staging: a row for each thread
  void (*transform_)(const WinogradArgs&, int, int) = nullptr;
  const ConvFunction conv_;
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

int64_t stage_floats(const ConvSpec& spec, int lanes, int threads) {
  const ConvStage stage(spec, lanes, threads);
  return stage.floats * (stage.bands.shared ? threads : 1);
}

std::unique_ptr<Step> make_conv_step(const KernelTable& kernels, int threads, const ConvSpec& spec,
                                     const SliceShape& shape, const PackedSlices& slices) {
  return std::make_unique<ConvStep>(kernels, threads, spec, shape, slices);
}

}  // namespace lnx
