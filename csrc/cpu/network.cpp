#include <algorithm>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>

#include "cpu/network_state.h"

namespace lnx {

namespace {

// How far from its own pixels a kernel may read: taps above and below, a vector to each side, and
// the vectors that strided loads run past the end.
int64_t reach_of(const ConvSpec& s) {
  const Window& w = s.window;
  const int64_t rows = s.staged ? 1 : w.padding_h + w.stride_h;
  return rows * s.in.row_stride + w.padding_w + 32 * w.stride_w + 64;
}

// Tiles of step_tiles.h.
bool is_step_tile(const ConvSpec& s, const IsaTraits& traits) {
  const int rows = s.tile_rows;
  return (rows == 1 || rows == 2 || rows == 4 || rows == 7 || rows == 14) && s.tile >= 1 &&
         s.tile <= 2 && rows * s.tile <= traits.rows_tile;
}

bool fits5x5(const ConvSpec& s, const IsaTraits& traits) {
  const Window& w = s.window;
  if (s.staged || w.kernel_h != 5 || w.kernel_w != 5 || w.dilation_h != 1 || w.dilation_w != 1 ||
      w.padding_w != 2)
    return false;
  if (s.kernel == ConvKernel::kPairs5x5 || s.kernel == ConvKernel::kPairs5x5s2)
    return traits.lanes == 16 && s.out.row_stride == 8 && s.in.row_stride == 8 * w.stride_w;
  return s.out.row_stride % traits.lanes == 0 && is_step_tile(s, traits);
}

}  // namespace

ConvKernel conv_kernel_from_name(const std::string& name) {
  if (name == "flat") return ConvKernel::kFlat;
  if (name == "flat_blocked") return ConvKernel::kFlatBlocked;
  if (name == "rows3x3") return ConvKernel::kRows3x3;
  if (name == "rows3x3s2") return ConvKernel::kRows3x3s2;
  if (name == "direct3x3s2") return ConvKernel::kDirect3x3s2;
  if (name == "rows5x5") return ConvKernel::kRows5x5;
  if (name == "rows5x5s2") return ConvKernel::kRows5x5s2;
  if (name == "pairs3x3") return ConvKernel::kPairs3x3;
  if (name == "pairs3x3s2") return ConvKernel::kPairs3x3s2;
  if (name == "winograd3x3") return ConvKernel::kWinograd3x3;
  if (name == "winograd_pairs3x3") return ConvKernel::kWinogradPairs3x3;
  if (name == "winograd7x7s2") return ConvKernel::kWinograd7x7s2;
  if (name == "pairs5x5") return ConvKernel::kPairs5x5;
  if (name == "pairs5x5s2") return ConvKernel::kPairs5x5s2;
  throw std::invalid_argument("unknown convolution kernel '" + name + "'");
}

Network::Network(Isa isa, int threads, int64_t arena_floats)
    : state_(std::make_unique<State>(isa, threads, arena_floats)) {}

Network::~Network() = default;

void Network::add_input(const Image& to) {
  state_->check_image(to, 0);
  state_->steps.push_back(make_input_step(to, static_cast<int>(state_->input_floats.size())));
  state_->input_floats.push_back(floats_of(to));
}

void Network::add_conv(const ConvSpec& s, const PackedWeight& weight, const float* scale) {
  State& state = *state_;
  const SliceShape& shape = weight.shape();
  const IsaTraits& traits = state.kernels.traits;
  const Window& w = s.window;
  state.check_image(s.in, reach_of(s));
  state.check_image(s.out, 64);
  if (s.has_residual) {
    state.check_image(s.residual, 64);
    state.check(State::same_layout(s.out, s.residual), "residual is not laid out as the output");
  }
  state.check(static_cast<int64_t>(s.bias.size()) == s.out.channels &&
                  shape.filters == s.out.channels && shape.channels == s.in.channels,
              "weight, bias and images differ in channels");
  const bool pointwise = shape.channels_per_slice > 1 || shape.length == 1;
  state.check((pointwise ? 1 : shape.length) == w.kernel_h * w.kernel_w,
              "slices do not have the kernel's length");
  const bool is3x3 = w.kernel_h == 3 && w.kernel_w == 3 && w.dilation_h == 1 && w.dilation_w == 1;
  const bool stride2 = w.stride_h == 2 && w.stride_w == 2;
  const bool rows5x5 = s.kernel == ConvKernel::kRows5x5 || s.kernel == ConvKernel::kPairs5x5;
  const bool by_phase = s.kernel == ConvKernel::kRows3x3s2 || s.kernel == ConvKernel::kPairs3x3s2;
  const bool direct2 = s.kernel == ConvKernel::kRows5x5s2 || s.kernel == ConvKernel::kPairs5x5s2 ||
                       s.kernel == ConvKernel::kDirect3x3s2 ||
                       s.kernel == ConvKernel::kWinograd7x7s2;
  if (s.staged) {
    state.scratch_floats =
        std::max(state.scratch_floats, stage_floats(s, traits.lanes, threads()) + 64);
  } else {
    const bool own_sides = rows5x5 || s.kernel == ConvKernel::kPairs5x5s2 ||
                           s.kernel == ConvKernel::kWinograd7x7s2 ||
                           (is3x3 && w.padding_w == 1 && s.kernel != ConvKernel::kFlat &&
                            s.kernel != ConvKernel::kFlatBlocked);
    state.check(own_sides || s.in.row_stride - s.in.width >= w.padding_w,
                "padding is wider than the gap");
    state.check(direct2 ? stride2
                        : w.stride_h == 1 && w.stride_w == 1 && s.in.row_stride == s.out.row_stride,
                "this kernel needs a staged input to change stride or layout");
  }
  const bool by_rows = is3x3 && (by_phase ? s.staged && stride2 && w.padding_h == 1 : !s.staged);
  const bool row_pairs =
      by_rows && w.padding_h == 1 && w.padding_w == 1 && s.out.width <= 8 && traits.lanes == 16;
  bool tile_fits = s.tile >= 1;
  switch (s.kernel) {
    case ConvKernel::kFlat:
      tile_fits &= s.tile <= traits.flat_tile;
      break;
    case ConvKernel::kFlatBlocked:
      tile_fits &= s.tile <= traits.flat_tile_blocked;
      break;
    case ConvKernel::kRows3x3:
    case ConvKernel::kRows3x3s2:
      state.check(by_rows && (!by_phase || w.padding_w == 1),
                  "the row kernel cannot do this convolution");
      tile_fits &= s.tile <= traits.row_vectors_max && s.tile_rows >= 1 &&
                   s.tile_rows <= traits.rows_max && s.tile_rows * s.tile <= traits.rows_tile;
      break;
    case ConvKernel::kDirect3x3s2:
      state.check(is3x3 && !s.staged && w.padding_w == 1,
                  "the direct kernel cannot do this convolution");
      tile_fits &= is_step_tile(s, traits);
      break;
    case ConvKernel::kRows5x5:
    case ConvKernel::kRows5x5s2:
    case ConvKernel::kPairs5x5:
    case ConvKernel::kPairs5x5s2:
      state.check(fits5x5(s, traits), "the 5x5 kernel cannot do this convolution");
      break;
    case ConvKernel::kWinograd3x3:
    case ConvKernel::kWinogradPairs3x3:
      state.check(is3x3 && s.staged && w.stride_h == 1 && w.stride_w == 1 && w.padding_h == 1 &&
                      w.padding_w == 1 && traits.winograd_tile > 0,
                  "the Winograd kernel cannot do this convolution");
      if (s.kernel == ConvKernel::kWinogradPairs3x3) {
        state.check(traits.lanes == 16 && s.out.width <= 8,
                    "this Winograd kernel is for narrow images");
        tile_fits &= s.tile <= 2;
      } else {
        const bool parts = (s.tile == 2 || s.tile == 4) && traits.lanes == 16;
        tile_fits &= (s.tile == 1 || (parts && s.out.width <= 64 / s.tile)) && s.tile_rows >= 1 &&
                     s.tile_rows <= traits.winograd_tile;
      }
      break;
    case ConvKernel::kWinograd7x7s2:
      state.check(w.kernel_h == 7 && w.kernel_w == 7 && stride2 && w.dilation_h == 1 &&
                      w.dilation_w == 1 && w.padding_h == 3 && w.padding_w == 3 && !s.staged &&
                      shape.groups == 1 && s.out.row_stride == s.out.width &&
                      s.out.width % 16 == 0 && s.out.height % 2 == 0 &&
                      s.in.width <= 2 * s.out.width && s.in.height <= 2 * s.out.height &&
                      traits.winograd_tile > 0,
                  "the Winograd kernel cannot do this convolution");
      break;
    case ConvKernel::kPairs3x3:
      state.check(row_pairs, "the pairs kernel cannot do this convolution");
      break;
    case ConvKernel::kPairs3x3s2:
      state.check(row_pairs && s.in.width <= 16, "the pairs kernel cannot do this convolution");
      tile_fits &= s.tile <= 2;
      break;
  }
  state.check(tile_fits, "no kernel has this tile");
  if (state.laid_out_bytes >= State::kTrimmedBytes) state.return_freed_memory();
  PackedSlices slices;
  weight.unpack(0, shape.filters, scale, slices);
  if (pointwise && s.kernel == ConvKernel::kFlat) weight.unpack_codes(scale, slices);
  state.steps.push_back(s.kernel == ConvKernel::kWinograd7x7s2
                            ? make_conv7x7s2_step(state.kernels, threads(), s, slices)
                            : make_conv_step(state.kernels, threads(), s, shape, slices));
  state.laid_out_bytes += state.steps.back()->weight_bytes();
}

void Network::add_pool(const PoolSpec& s) {
  state_->check_image(s.in, 64);
  state_->check_image(s.out, 64);
  state_->check(s.in.channels == s.out.channels, "pooling keeps the channels");
  state_->steps.push_back(make_pool_step(state_->kernels, threads(), s));
}

void Network::add_global_average(const Image& in, const Image& out) {
  state_->check_image(in, 64);
  state_->check_image(out, 0);
  if (out.channels == 1) state_->check_vector(out);
  state_->check(in.channels == (out.channels == 1 ? out.width : out.channels),
                "pooling keeps the channels");
  state_->steps.push_back(make_global_average_step(state_->kernels, in, out));
}

void Network::add_elementwise(const Image& a, const Image* b, const Image& out,
                              Activation activation, float p0, float p1) {
  state_->check_image(a, 64);
  state_->check_image(out, 64);
  state_->check(State::same_layout(a, out) && (!b || State::same_layout(*b, out)),
                "operands are laid out differently");
  state_->check(b || activation != Activation::kNone, "nothing to do");
  if (b) state_->check_image(*b, 64);
  state_->steps.push_back(make_elementwise_step(state_->kernels, a, b, out, activation, p0, p1));
}

void Network::add_linear(const Image& in, const Image& out, const PackedWeight& weight,
                         const float* scale, const std::vector<float>& bias, Activation activation,
                         bool dense) {
  const SliceShape& shape = weight.shape();
  state_->check_vector(in);
  state_->check_vector(out);
  state_->check(static_cast<int64_t>(bias.size()) == out.width && shape.filters == out.width &&
                    shape.channels == in.width,
                "weight, bias and vectors differ in length");
  state_->steps.push_back(
      make_linear_step(state_->kernels, in, out, weight, scale, bias, activation, dense));
}

void Network::add_output(const Image& from) {
  state_->check_image(from, 0);
  state_->steps.push_back(make_output_step(from, static_cast<int>(state_->output_floats.size())));
  state_->output_floats.push_back(floats_of(from));
}

void Network::prepare() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->return_freed_memory();
  state_->grow_memory(1);
}

void Network::run(const float* const* inputs, int64_t batch, float* const* outputs) {
  State& state = *state_;
  std::lock_guard<std::mutex> lock(state.mutex);
  const SharedPools::Loan loan(state.pools.get());
  ThreadPool* const pool = loan.pool();
  const bool whole_images = pool && batch >= threads();
  state.grow_memory(whole_images ? threads() : 1);
  const ThreadPool::Awake awake(pool);
  if (whole_images) {
    const int64_t parts = std::min<int64_t>(batch, ThreadPool::kMaxParts);
    pool->share(static_cast<int>(parts), [&](int64_t part, int member) {
      for (int64_t i = batch * part / parts; i < batch * (part + 1) / parts; ++i) {
        Frame frame = state.frame(state.memory[member], inputs, i, outputs);
        frame.member = member;
        for (const auto& step : state.steps) step->run(frame);
      }
    });
    return;
  }
  for (int64_t i = 0; i < batch; ++i) {
    Frame frame = state.frame(state.memory[0], inputs, i, outputs);
    frame.pool = pool;
    for (const auto& step : state.steps) step->run(frame);
  }
}

std::vector<double> Network::profile(const float* const* inputs, int64_t batch, int repeats) {
  State& state = *state_;
  std::lock_guard<std::mutex> lock(state.mutex);
  state.grow_memory(1);
  std::vector<std::vector<float>> storage;
  std::vector<float*> outputs;
  for (int64_t floats : state.output_floats) {
    storage.emplace_back(floats * batch);
    outputs.push_back(storage.back().data());
  }
  const int64_t steps = num_steps();
  std::vector<double> seconds(repeats * steps, 0.0);
  const SharedPools::Loan loan(state.pools.get());
  const ThreadPool::Awake awake(loan.pool());
  for (int r = 0; r < repeats; ++r) {
    for (int64_t i = 0; i < batch; ++i) {
      Frame frame = state.frame(state.memory[0], inputs, i, outputs.data());
      frame.pool = loan.pool();
      for (int64_t s = 0; s < steps; ++s) {
        const auto start = std::chrono::steady_clock::now();
        state.steps[s]->run(frame);
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        seconds[r * steps + s] += spent.count();
      }
    }
  }
  return seconds;
}

int64_t Network::num_steps() const { return static_cast<int64_t>(state_->steps.size()); }
int64_t Network::num_inputs() const { return static_cast<int64_t>(state_->input_floats.size()); }
int64_t Network::input_floats(int64_t i) const { return state_->input_floats.at(i); }
int64_t Network::output_floats(int64_t i) const { return state_->output_floats.at(i); }
int64_t Network::num_outputs() const { return static_cast<int64_t>(state_->output_floats.size()); }
int Network::threads() const { return state_->threads; }

int64_t Network::weight_bytes() const {
  int64_t bytes = 0;
  for (const auto& step : state_->steps) bytes += step->weight_bytes();
  return bytes;
}

int64_t Network::arena_bytes() const { return 4 * (state_->arena_floats + state_->scratch_floats); }

}  // namespace lnx
