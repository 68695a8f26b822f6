// lilnetx._core.Network and its neighbours: the CPU executor for Python.
#include "lnx/runtime.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "bindings/arguments.h"
#include "bindings/bindings.h"
#include "bindings/weight.h"
#include "lnx/isa.h"
#include "lnx/packed_weight.h"

namespace py = pybind11;

namespace lnx {
namespace {

void py_add_conv(Network& self, const ImageTuple& in, const ImageTuple& out,
                 const WindowTuple& window, const std::string& kernel, bool staged,
                 int block_channels, int tile_rows, int tile, const std::string& activation,
                 const std::optional<ImageTuple>& residual, const Array<float>& bias,
                 const PackedWeight& weight, const Scale& scale) {
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
  py::gil_scoped_release release;
  self.add_conv(spec, weight, scale_data(weight, scale));
}

void py_add_pool(Network& self, const ImageTuple& in, const ImageTuple& out,
                 const WindowTuple& window, bool average, bool count_include_pad) {
  self.add_pool({to_image(in), to_image(out), to_window(window), average, count_include_pad});
}

void py_add_elementwise(Network& self, const ImageTuple& a, const std::optional<ImageTuple>& b,
                        const ImageTuple& out, const std::string& activation,
                        const Array<float>& parameters) {
  if (parameters.size() != 2) throw std::invalid_argument("activations have two parameters");
  Image second{};
  if (b) second = to_image(*b);
  self.add_elementwise(to_image(a), b ? &second : nullptr, to_image(out),
                       activation_from_name(activation), parameters.data()[0],
                       parameters.data()[1]);
}

void py_add_linear(Network& self, const ImageTuple& in, const ImageTuple& out,
                   const PackedWeight& weight, const Scale& scale, const Array<float>& bias,
                   const std::string& activation, bool dense) {
  const std::vector<float> b = to_vector(bias);
  py::gil_scoped_release release;
  self.add_linear(to_image(in), to_image(out), weight, scale_data(weight, scale), b,
                  activation_from_name(activation), dense);
}

// Pointers to all inputs, and their common batch.
int64_t batch_of(const Network& net, const std::vector<Array<float>>& inputs,
                 std::vector<const float*>& pointers) {
  if (static_cast<int64_t>(inputs.size()) != net.num_inputs())
    throw std::invalid_argument("one array for each input");
  int64_t batch = -1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Array<float>& x = inputs[i];
    const int64_t floats = net.input_floats(static_cast<int64_t>(i));
    if (x.ndim() < 1 || x.shape(0) * floats != x.size() || (batch >= 0 && x.shape(0) != batch))
      throw std::invalid_argument("inputs must be (N, ...) with the network's floats an image");
    batch = x.shape(0);
    pointers.push_back(x.data());
  }
  return batch;
}

std::vector<Array<float>> py_run(Network& self, const std::vector<Array<float>>& inputs) {
  std::vector<const float*> given;
  const int64_t batch = batch_of(self, inputs, given);
  std::vector<Array<float>> outputs;
  std::vector<float*> pointers;
  for (int64_t i = 0; i < self.num_outputs(); ++i) {
    outputs.emplace_back(std::vector<py::ssize_t>{static_cast<py::ssize_t>(batch),
                                                  static_cast<py::ssize_t>(self.output_floats(i))});
    pointers.push_back(outputs.back().mutable_data());
  }
  {
    py::gil_scoped_release release;
    self.run(given.data(), batch, pointers.data());
  }
  return outputs;
}

Array<double> py_profile(Network& self, const std::vector<Array<float>>& inputs, int repeats) {
  if (repeats < 1) throw std::invalid_argument("repeats must be positive");
  std::vector<const float*> given;
  const int64_t batch = batch_of(self, inputs, given);
  std::vector<double> seconds;
  {
    py::gil_scoped_release release;
    seconds = self.profile(given.data(), batch, repeats);
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
  d["winograd_tile"] = t.winograd_tile;
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
  py::class_<Network> network(m, "Network");
  network
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
           py::arg("bias"), py::arg("weight"), py::arg("scale"))
      .def("add_pool", &py_add_pool, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("window"), py::arg("average"), py::arg("count_include_pad"))
      .def("add_global_average",
           [](Network& n, const ImageTuple& in, const ImageTuple& out) {
             n.add_global_average(to_image(in), to_image(out));
           })
      .def("add_elementwise", &py_add_elementwise, py::arg("a"), py::arg("b"), py::arg("output"),
           py::arg("activation"), py::arg("parameters"))
      .def("add_linear", &py_add_linear, py::kw_only(), py::arg("input"), py::arg("output"),
           py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("activation"),
           py::arg("dense"))
      .def("add_output", [](Network& n, const ImageTuple& from) { n.add_output(to_image(from)); })
      .def("prepare", &Network::prepare)
      .def("weight_bytes", &Network::weight_bytes)
      .def("arena_bytes", &Network::arena_bytes)
      .def("run", &py_run, py::arg("inputs"))
      .def("profile", &py_profile, py::arg("inputs"), py::arg("repeats"));
  bind_values(network);
}

}  // namespace lnx
