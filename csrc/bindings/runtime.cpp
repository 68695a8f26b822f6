// lilnetx._core.Network and its neighbours: the CPU executor for Python.
#include "lnx/runtime.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "bindings/bindings.h"
#include "lnx/isa.h"
#include "lnx/packed_slices.h"

namespace py = pybind11;

namespace lnx {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
Array<T> to_array(const std::vector<T>& v) {
  return Array<T>(static_cast<py::ssize_t>(v.size()), v.data());
}

template <typename T>
std::vector<T> to_vector(const Array<T>& a) {
  return std::vector<T>(a.data(), a.data() + a.size());
}

SliceShape slice_shape(const py::array& slices, int64_t channels_per_slice, int64_t groups,
                       int64_t channels) {
  if (slices.ndim() != 3) throw std::invalid_argument("slices must have shape (F, S, n)");
  if (groups < 1 || channels_per_slice < 1)
    throw std::invalid_argument("groups and channels_per_slice must be positive");
  return {slices.shape(0),    slices.shape(1), static_cast<int>(slices.shape(2)),
          channels_per_slice, groups,          channels};
}

const float* scale_data(const py::object& scale, Array<float>& holder, int64_t filters) {
  if (scale.is_none()) return nullptr;
  holder = Array<float>::ensure(scale);
  if (!holder || holder.size() != filters)
    throw std::invalid_argument("scale must hold one float for each filter");
  return holder.data();
}

py::tuple packed_tuple(const PackedSlices& p) {
  return py::make_tuple(to_array(p.filter_ptr), to_array(p.channel), to_array(p.values));
}

py::tuple py_pack_latents(const Array<int32_t>& latents, const Array<int32_t>& matrix, int exponent,
                          const py::object& scale, int64_t channels_per_slice, int64_t groups,
                          int64_t channels) {
  const SliceShape shape = slice_shape(latents, channels_per_slice, groups, channels);
  if (matrix.ndim() != 2 || matrix.shape(0) != shape.length || matrix.shape(1) != shape.length)
    throw std::invalid_argument("the decoder's matrix must have shape (n, n)");
  Array<float> holder;
  const float* s = scale_data(scale, holder, shape.filters);
  PackedSlices packed;
  {
    py::gil_scoped_release release;
    packed = pack_latents(shape, latents.data(), matrix.data(), exponent, s);
  }
  return packed_tuple(packed);
}

py::tuple py_pack_dense(const Array<float>& weights, const py::object& scale,
                        int64_t channels_per_slice, int64_t groups, int64_t channels) {
  const SliceShape shape = slice_shape(weights, channels_per_slice, groups, channels);
  Array<float> holder;
  const float* s = scale_data(scale, holder, shape.filters);
  PackedSlices packed;
  {
    py::gil_scoped_release release;
    packed = pack_dense(shape, weights.data(), s);
  }
  return packed_tuple(packed);
}

// (offset, channels, height, width, row_stride, channel_stride)
using ImageTuple = std::tuple<int64_t, int, int, int, int, int64_t>;
Image to_image(const ImageTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t),
          std::get<3>(t), std::get<4>(t), std::get<5>(t)};
}

// (kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w)
using WindowTuple = std::tuple<int, int, int, int, int, int, int, int>;
Window to_window(const WindowTuple& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t),
          std::get<4>(t), std::get<5>(t), std::get<6>(t), std::get<7>(t)};
}

PackedSlices to_packed(const SliceShape& shape, const Array<uint32_t>& filter_ptr,
                       const Array<uint32_t>& channel, const Array<float>& values) {
  PackedSlices p{to_vector(filter_ptr), to_vector(channel), to_vector(values)};
  bool good = static_cast<int64_t>(p.filter_ptr.size()) == shape.filters + 1 &&
              p.filter_ptr.front() == 0 && p.filter_ptr.back() == p.channel.size() &&
              p.values.size() == p.channel.size() * shape.length;
  for (size_t i = 1; good && i < p.filter_ptr.size(); ++i)
    good = p.filter_ptr[i - 1] <= p.filter_ptr[i];
  for (size_t i = 0; good && i < p.channel.size(); ++i) good = p.channel[i] < shape.channels;
  if (!good) throw std::invalid_argument("packed slices contradict each other");
  return p;
}

SliceShape shape_of(const std::tuple<int64_t, int64_t, int, int64_t, int64_t, int64_t>& t) {
  return {std::get<0>(t), std::get<1>(t), std::get<2>(t),
          std::get<3>(t), std::get<4>(t), std::get<5>(t)};
}
using ShapeTuple = std::tuple<int64_t, int64_t, int, int64_t, int64_t, int64_t>;

void py_add_conv(Network& self, const ImageTuple& in, const ImageTuple& out,
                 const WindowTuple& window, const std::string& kernel, bool staged,
                 int block_channels, int tile_rows, int tile, const std::string& activation,
                 const std::optional<ImageTuple>& residual, const Array<float>& bias,
                 const ShapeTuple& shape, const Array<uint32_t>& filter_ptr,
                 const Array<uint32_t>& channel, const Array<float>& values) {
  ConvSpec spec{};
  spec.in = to_image(in);
  spec.out = to_image(out);
  spec.window = to_window(window);
  spec.kernel = conv_kernel_from_name(kernel);
  spec.staged = staged;
  spec.block_channels = block_channels;
  spec.tile_rows = tile_rows;
  spec.tile = tile;
  spec.activation = activation_from_name(activation);
  spec.has_residual = residual.has_value();
  if (residual) spec.residual = to_image(*residual);
  spec.bias = to_vector(bias);
  const SliceShape s = shape_of(shape);
  self.add_conv(spec, s, to_packed(s, filter_ptr, channel, values));
}

void py_add_pool(Network& self, const ImageTuple& in, const ImageTuple& out,
                 const WindowTuple& window, bool average, bool count_include_pad) {
  self.add_pool({to_image(in), to_image(out), to_window(window), average, count_include_pad});
}

void py_add_elementwise(Network& self, const ImageTuple& a, const std::optional<ImageTuple>& b,
                        const ImageTuple& out, const std::string& activation) {
  Image second{};
  if (b) second = to_image(*b);
  self.add_elementwise(to_image(a), b ? &second : nullptr, to_image(out),
                       activation_from_name(activation));
}

void py_add_linear(Network& self, const ImageTuple& in, const ImageTuple& out,
                   const ShapeTuple& shape, const Array<uint32_t>& filter_ptr,
                   const Array<uint32_t>& channel, const Array<float>& values,
                   const Array<float>& bias, const std::string& activation, bool dense) {
  const SliceShape s = shape_of(shape);
  self.add_linear(to_image(in), to_image(out), s, to_packed(s, filter_ptr, channel, values),
                  to_vector(bias), activation_from_name(activation), dense);
}

int64_t batch_of(const Network& net, const Array<float>& x) {
  if (x.ndim() < 2 || x.shape(0) * net.input_floats() != x.size())
    throw std::invalid_argument("input must be (N, ...) with the network's floats an image");
  return x.shape(0);
}

std::vector<Array<float>> py_run(Network& self, const Array<float>& x) {
  const int64_t batch = batch_of(self, x);
  std::vector<Array<float>> outputs;
  std::vector<float*> pointers;
  for (int64_t i = 0; i < self.num_outputs(); ++i) {
    outputs.emplace_back(std::vector<py::ssize_t>{static_cast<py::ssize_t>(batch),
                                                  static_cast<py::ssize_t>(self.output_floats(i))});
    pointers.push_back(outputs.back().mutable_data());
  }
  {
    py::gil_scoped_release release;
    self.run(x.data(), batch, pointers.data());
  }
  return outputs;
}

Array<double> py_profile(Network& self, const Array<float>& x, int repeats) {
  if (repeats < 1) throw std::invalid_argument("repeats must be positive");
  const int64_t batch = batch_of(self, x);
  std::vector<double> seconds;
  {
    py::gil_scoped_release release;
    seconds = self.profile(x.data(), batch, repeats);
  }
  return Array<double>(
      {static_cast<py::ssize_t>(repeats), static_cast<py::ssize_t>(self.num_steps())},
      seconds.data());
}

py::dict py_isa_traits(const std::string& name) {
  const IsaTraits& t = isa_traits(isa_from_name(name));
  py::dict d;
  d["lanes"] = t.lanes;
  d["flat_tile"] = t.flat_tile;
  d["flat_tile_blocked"] = t.flat_tile_blocked;
  d["filter_block"] = t.filter_block;
  d["rows_tile"] = t.rows_tile;
  d["rows_max"] = t.rows_max;
  d["row_vectors_max"] = t.row_vectors_max;
  return d;
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (Isa isa : available_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  m.def("isa_traits", &py_isa_traits, py::arg("isa"));
  m.def("pack_latents", &py_pack_latents, py::arg("latents"), py::arg("matrix"),
        py::arg("exponent"), py::arg("scale"), py::arg("channels_per_slice"), py::arg("groups"),
        py::arg("channels"));
  m.def("pack_dense", &py_pack_dense, py::arg("weights"), py::arg("scale"),
        py::arg("channels_per_slice"), py::arg("groups"), py::arg("channels"));

  py::class_<Network>(m, "Network")
      .def(py::init([](const std::string& isa, int threads, int64_t arena_floats) {
             if (threads < 1 || arena_floats < 0)
               throw std::invalid_argument("threads and sizes must be positive");
             return new Network(isa_from_name(isa), threads, arena_floats);
           }),
           py::arg("isa"), py::arg("threads"), py::arg("arena_floats"))
      .def("add_input", [](Network& n, const ImageTuple& to) { n.add_input(to_image(to)); })
      .def("add_conv", &py_add_conv, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("window"), py::arg("kernel"), py::arg("staged"), py::arg("block_channels"),
           py::arg("tile_rows"), py::arg("tile"), py::arg("activation"), py::arg("residual"),
           py::arg("bias"), py::arg("slice_shape"), py::arg("filter_ptr"), py::arg("channel"),
           py::arg("values"))
      .def("add_pool", &py_add_pool, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("window"), py::arg("average"), py::arg("count_include_pad"))
      .def("add_global_average",
           [](Network& n, const ImageTuple& in, const ImageTuple& out) {
             n.add_global_average(to_image(in), to_image(out));
           })
      .def("add_elementwise", &py_add_elementwise, py::arg("a"), py::arg("b"), py::arg("output"),
           py::arg("activation"))
      .def("add_flatten", [](Network& n, const ImageTuple& in,
                             const ImageTuple& out) { n.add_flatten(to_image(in), to_image(out)); })
      .def("add_linear", &py_add_linear, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("slice_shape"), py::arg("filter_ptr"), py::arg("channel"), py::arg("values"),
           py::arg("bias"), py::arg("activation"), py::arg("dense"))
      .def("add_softmax", [](Network& n, const ImageTuple& in,
                             const ImageTuple& out) { n.add_softmax(to_image(in), to_image(out)); })
      .def("add_output", [](Network& n, const ImageTuple& from) { n.add_output(to_image(from)); })
      .def("prepare", &Network::prepare)
      .def("run", &py_run, py::arg("x"))
      .def("profile", &py_profile, py::arg("x"), py::arg("repeats"));
}

}  // namespace lnx
