// Builds a network from the calls that the plan made, runs it alone, with threads and from several
// threads at once, and compares with the reference's outputs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <thread>

#include "checks.h"
#include "lnx/isa.h"
#include "lnx/runtime.h"

namespace lnx_test {
namespace {

lnx::Image read_image(CaseReader& r) {
  lnx::Image image{};
  image.offset = r.integer();
  image.channels = static_cast<int>(r.integer());
  image.height = static_cast<int>(r.integer());
  image.width = static_cast<int>(r.integer());
  image.row_stride = static_cast<int>(r.integer());
  image.channel_stride = r.integer();
  return image;
}

lnx::Window read_window(CaseReader& r) {
  int w[8];
  for (int& value : w) value = static_cast<int>(r.integer());
  return {w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]};
}

// Floats, already scaled, in a tensor of the shape before them.
lnx::PackedWeight read_weight(CaseReader& r) {
  const lnx::SliceShape shape = read_slice_shape(r);
  const std::vector<float> values = r.reals();
  if (static_cast<int64_t>(values.size()) != shape.filters * shape.slices * shape.length)
    throw std::runtime_error("a weight of another size");
  return {shape, values.data()};
}

lnx::ConvSpec read_conv(CaseReader& r) {
  lnx::ConvSpec spec{};
  spec.in = read_image(r);
  spec.out = read_image(r);
  spec.window = read_window(r);
  spec.kernel = lnx::conv_kernel_from_name(r.text());
  spec.staged = r.integer() != 0;
  spec.block_channels = static_cast<int>(r.integer());
  spec.tile_rows = static_cast<int>(r.integer());
  spec.tile = static_cast<int>(r.integer());
  spec.activation = lnx::activation_from_name(r.text());
  spec.has_residual = r.integer() != 0;
  if (spec.has_residual) spec.residual = read_image(r);
  spec.bias = r.reals();
  return spec;
}

lnx::View read_view(CaseReader& r) { return lnx::View(r.integers<int64_t>()); }

lnx::WindowAxis read_window_axis(CaseReader& r) {
  lnx::WindowAxis axis;
  axis.begin = r.integers<int32_t>();
  axis.end = r.integers<int32_t>();
  axis.count = r.integers<int32_t>();
  axis.step = static_cast<int>(r.integer());
  return axis;
}

lnx::BlendAxis read_blend_axis(CaseReader& r) {
  lnx::BlendAxis axis;
  axis.low = r.integers<int32_t>();
  axis.high = r.integers<int32_t>();
  axis.share = r.reals();
  return axis;
}

std::vector<lnx::RearrangePiece> read_pieces(CaseReader& r) {
  std::vector<lnx::RearrangePiece> pieces(static_cast<size_t>(r.integer()));
  for (lnx::RearrangePiece& piece : pieces) {
    piece.in_offset = r.integer();
    const std::vector<int64_t> tables = r.integers<int64_t>();
    piece.out = read_view(r);
    auto next = tables.begin();
    for (const int64_t size : piece.out.shape) {
      piece.tables.emplace_back(next, next + size);
      next += size;
    }
  }
  const float fill = r.reals().at(0);
  for (lnx::RearrangePiece& piece : pieces) piece.fill = fill;
  return pieces;
}

// Steps on values of any rank; false if the call is none of them.
bool add_value_step(const std::string& call, CaseReader& r,
                    const std::vector<lnx::Network*>& networks) {
  const auto on_all = [&](auto make) {
    for (lnx::Network* network : networks) make(*network);
  };
  if (call == "add_reshape") {
    const lnx::Image in = read_image(r), out = read_image(r);
    on_all([&](lnx::Network& n) { n.add_reshape(in, out); });
  } else if (call == "add_softmax") {
    const lnx::View in = read_view(r), out = read_view(r);
    const int axis = static_cast<int>(r.integer());
    on_all([&](lnx::Network& n) { n.add_softmax(in, out, axis); });
  } else if (call == "add_binary") {
    const lnx::RowKind kind = lnx::row_kind_from_name(r.text());
    const lnx::View a = read_view(r), b = read_view(r), out = read_view(r);
    on_all([&](lnx::Network& n) { n.add_binary(kind, a, b, out); });
  } else if (call == "add_matmul") {
    const lnx::View a = read_view(r), b = read_view(r), out = read_view(r);
    on_all([&](lnx::Network& n) { n.add_matmul(a, b, out); });
  } else if (call == "add_affine") {
    const lnx::View in = read_view(r), out = read_view(r);
    const std::vector<float> scale = r.reals(), shift = r.reals();
    const lnx::Activation activation = lnx::activation_from_name(r.text());
    on_all([&](lnx::Network& n) { n.add_affine(in, out, scale, shift, activation); });
  } else if (call == "add_constant") {
    const lnx::Image out = read_image(r);
    const std::vector<float> values = r.reals();
    on_all([&](lnx::Network& n) { n.add_constant(out, values); });
  } else if (call == "add_reduce") {
    lnx::ReduceSpec spec{};
    spec.kind = lnx::row_kind_from_name(r.text());
    spec.mean = r.integer() != 0;
    spec.last_is_kept = r.integer() != 0;
    spec.kept = read_view(r);
    spec.reduced = read_view(r);
    spec.out = read_view(r);
    on_all([&](lnx::Network& n) { n.add_reduce(spec); });
  } else if (call == "add_rearrange") {
    const std::vector<lnx::RearrangePiece> pieces = read_pieces(r);
    on_all([&](lnx::Network& n) { n.add_rearrange(pieces); });
  } else if (call == "add_window_pool") {
    lnx::WindowPoolSpec spec{};
    spec.in = read_image(r);
    spec.out = read_image(r);
    spec.average = r.integer() != 0;
    spec.rows = read_window_axis(r);
    spec.columns = read_window_axis(r);
    on_all([&](lnx::Network& n) { n.add_window_pool(spec); });
  } else if (call == "add_blend") {
    lnx::BlendSpec spec{};
    spec.in = read_image(r);
    spec.out = read_image(r);
    spec.rows = read_blend_axis(r);
    spec.columns = read_blend_axis(r);
    on_all([&](lnx::Network& n) { n.add_blend(spec); });
  } else if (call == "add_linear_rows") {
    const lnx::View in = read_view(r), out = read_view(r);
    const lnx::PackedWeight weight = read_weight(r);
    const std::vector<float> bias = r.reals();
    const lnx::Activation activation = lnx::activation_from_name(r.text());
    const bool dense = r.integer() != 0;
    on_all([&](lnx::Network& n) {
      n.add_linear_rows(in, out, weight, nullptr, bias, activation, dense);
    });
  } else if (call == "add_conv_transpose") {
    lnx::ConvTransposeSpec spec{};
    spec.in = read_image(r);
    spec.out = read_image(r);
    spec.window = read_window(r);
    spec.bias = r.reals();
    const lnx::PackedWeight weight = read_weight(r);
    on_all([&](lnx::Network& n) { n.add_conv_transpose(spec, weight, nullptr); });
  } else {
    return false;
  }
  return true;
}

void add_step(const std::string& call, CaseReader& r, const std::vector<lnx::Network*>& networks) {
  // Each call is read once and made on all networks.
  const auto on_all = [&](auto make) {
    for (lnx::Network* network : networks) make(*network);
  };
  if (call == "add_input") {
    const lnx::Image to = read_image(r);
    on_all([&](lnx::Network& n) { n.add_input(to); });
  } else if (call == "add_conv") {
    const lnx::ConvSpec spec = read_conv(r);
    const lnx::PackedWeight weight = read_weight(r);
    on_all([&](lnx::Network& n) { n.add_conv(spec, weight, nullptr); });
  } else if (call == "add_linear") {
    const lnx::Image in = read_image(r), out = read_image(r);
    const lnx::PackedWeight weight = read_weight(r);
    const std::vector<float> bias = r.reals();
    const lnx::Activation activation = lnx::activation_from_name(r.text());
    const bool dense = r.integer() != 0;
    on_all(
        [&](lnx::Network& n) { n.add_linear(in, out, weight, nullptr, bias, activation, dense); });
  } else if (call == "add_pool") {
    lnx::PoolSpec spec{};
    spec.in = read_image(r);
    spec.out = read_image(r);
    spec.window = read_window(r);
    spec.average = r.integer() != 0;
    spec.count_include_pad = r.integer() != 0;
    on_all([&](lnx::Network& n) { n.add_pool(spec); });
  } else if (call == "add_elementwise") {
    const lnx::Image a = read_image(r);
    const bool has_b = r.integer() != 0;
    const lnx::Image b = has_b ? read_image(r) : lnx::Image{};
    const lnx::Image out = read_image(r);
    const lnx::Activation activation = lnx::activation_from_name(r.text());
    const std::vector<float> p = r.reals();
    on_all([&](lnx::Network& n) {
      n.add_elementwise(a, has_b ? &b : nullptr, out, activation, p.at(0), p.at(1));
    });
  } else if (call == "add_global_average") {
    const lnx::Image in = read_image(r), out = read_image(r);
    on_all([&](lnx::Network& n) { n.add_global_average(in, out); });
  } else if (call == "add_output") {
    const lnx::Image from = read_image(r);
    on_all([&](lnx::Network& n) { n.add_output(from); });
  } else if (!add_value_step(call, r, networks)) {
    throw std::runtime_error("unknown call " + call);
  }
}

using Outputs = std::vector<std::vector<float>>;

Outputs run(lnx::Network& network, const Outputs& inputs, int64_t batch) {
  Outputs outputs;
  std::vector<float*> pointers;
  for (int64_t i = 0; i < network.num_outputs(); ++i)
    outputs.emplace_back(static_cast<size_t>(network.output_floats(i) * batch));
  for (auto& values : outputs) pointers.push_back(values.data());
  std::vector<const float*> given;
  for (const auto& x : inputs) given.push_back(x.data());
  network.run(given.data(), batch, pointers.data());
  return outputs;
}

// `bound`: the largest error allowed, for each output.
std::string compare(const Outputs& actual, const Outputs& expected,
                    const std::vector<float>& bound) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (actual[i].size() != expected[i].size()) return "an output of another size";
    for (size_t k = 0; k < expected[i].size(); ++k) {
      if (std::fabs(actual[i][k] - expected[i][k]) <= bound[i]) continue;
      return "output " + std::to_string(i) + ", value " + std::to_string(k) + ": " +
             std::to_string(actual[i][k]) + ", expected " + std::to_string(expected[i][k]);
    }
  }
  return "";
}

}  // namespace

std::string check_network(CaseReader& reader) {
  const lnx::Isa isa = lnx::isa_from_name(reader.text());
  const int64_t arena_floats = reader.integer();
  lnx::Network alone(isa, 1, arena_floats), shared(isa, 3, arena_floats);
  const int64_t calls = reader.integer();
  for (int64_t i = 0; i < calls; ++i) add_step(reader.text(), reader, {&alone, &shared});
  const int64_t batch = reader.integer();
  Outputs x(static_cast<size_t>(reader.integer()));
  for (auto& values : x) values = reader.reals();
  Outputs expected(static_cast<size_t>(reader.integer()));
  for (auto& values : expected) values = reader.reals();
  const std::vector<float> bound = reader.reals();

  const Outputs first = run(alone, x, batch);
  std::string wrong = compare(first, expected, bound);
  if (!wrong.empty()) return wrong;
  if (run(alone, x, batch) != first) return "a second run differs";
  // Fewer images than threads: they share each layer. As many: each takes whole images.
  if (run(shared, x, batch) != first) return "threads that share layers: other values";
  Outputs more = x;
  for (size_t i = 0; i < x.size(); ++i) more[i].insert(more[i].end(), x[i].begin(), x[i].end());
  Outputs twice = run(shared, more, 2 * batch);
  for (size_t i = 0; i < first.size(); ++i) {
    const auto middle = twice[i].begin() + static_cast<std::ptrdiff_t>(first[i].size());
    if (!std::equal(twice[i].begin(), middle, first[i].begin()) ||
        !std::equal(middle, twice[i].end(), first[i].begin()))
      return "threads that take whole images: other values";
  }
  // Calls from several threads, on one network and on two that share their team of threads.
  std::vector<Outputs> results(4);
  std::vector<std::thread> callers;
  for (size_t i = 0; i < results.size(); ++i)
    callers.emplace_back([&, i] { results[i] = run(i % 2 == 0 ? shared : alone, x, batch); });
  for (std::thread& caller : callers) caller.join();
  for (const Outputs& result : results)
    if (result != first) return "calls from several threads: other values";
  return "";
}

void print_traits() {
  for (const lnx::Isa isa : lnx::available_isas()) {
    const lnx::IsaTraits& t = lnx::isa_traits(isa);
    std::printf("%s %d %d %d %d %d %d %d %d\n", lnx::isa_name(isa), t.lanes, t.flat_tile,
                t.flat_tile_blocked, t.filter_block, t.rows_tile, t.rows_max, t.row_vectors_max,
                t.winograd_tile);
  }
}

}  // namespace lnx_test
