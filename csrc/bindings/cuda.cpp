// The CUDA kernels for Python. Device pointers and streams are integers, as torch's data_ptr() and
// cuda_stream give them; 0 is null. Nothing here allocates or waits.
#include "lnx/cuda.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "bindings/bindings.h"
#include "lnx/filter_blocks.h"

namespace py = pybind11;

namespace lnx {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
T* device_pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

template <typename T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <typename T>
std::vector<T> to_vector(const Array<T>& values) {
  if (values.ndim() != 1) throw std::invalid_argument("expected an array of one axis");
  return {values.data(), values.data() + values.size()};
}

std::pair<std::string, std::string> py_status(int device) {
  static const std::map<CudaStatus, std::string> names = {
      {CudaStatus::kReady, "ready"},
      {CudaStatus::kNotBuilt, "not built"},
      {CudaStatus::kNoDevice, "no device"},
      {CudaStatus::kUnsupportedArchitecture, "unsupported architecture"}};
  const CudaReport report = cuda_status(device);
  return {names.at(report.status), report.detail};
}

CudaMath to_math(const std::string& name) {
  if (name == "float32") return CudaMath::kFloat32;
  if (name == "tf32") return CudaMath::kTf32;
  if (name == "float16") return CudaMath::kFloat16;
  if (name == "bfloat16") return CudaMath::kBFloat16;
  throw std::invalid_argument("precision must be float32, tf32, float16 or bfloat16, not " + name);
}

CudaType to_type(const std::string& name) {
  if (name == "float32") return CudaType::kFloat32;
  if (name == "float16") return CudaType::kFloat16;
  if (name == "bfloat16") return CudaType::kBFloat16;
  throw std::invalid_argument("dtype must be float32, float16 or bfloat16, not " + name);
}

using Strides = std::array<int64_t, 3>;

// A CudaConv with the pointers of one call.
CudaConv make_conv(const std::string& dtype, const std::array<int64_t, 4>& input_shape,
                   int64_t filters, int64_t groups, const std::array<int64_t, 8>& window,
                   uintptr_t input, const Strides& input_strides, uintptr_t output,
                   const Strides& output_strides, uintptr_t residual, uintptr_t bias,
                   const std::string& activation, uintptr_t stream) {
  CudaConv conv{};
  conv.type = to_type(dtype);
  conv.images = input_shape[0];
  conv.channels = input_shape[1];
  conv.height = input_shape[2];
  conv.width = input_shape[3];
  conv.filters = filters;
  conv.groups = groups;
  for (int i = 0; i < 2; ++i) {
    conv.kernel[i] = window[i];
    conv.stride[i] = window[2 + i];
    conv.padding[i] = window[4 + i];
    conv.dilation[i] = window[6 + i];
  }
  conv.input = device_pointer<void>(input);
  conv.input_strides = {input_strides[0], input_strides[1], input_strides[2]};
  conv.output = device_pointer<void>(output);
  conv.output_strides = {output_strides[0], output_strides[1], output_strides[2]};
  conv.residual = device_pointer<void>(residual);
  conv.bias = device_pointer<float>(bias);
  conv.activation = activation_from_name(activation);
  conv.stream = device_pointer<void>(stream);
  return conv;
}

py::tuple py_filter_blocks(const std::array<int64_t, 6>& shape, const Array<uint32_t>& filter_ptr,
                           const Array<uint32_t>& channel) {
  const SliceShape s{shape[0], shape[1], static_cast<int>(shape[2]), shape[3], shape[4], shape[5]};
  PackedSlices slices;
  slices.filter_ptr = to_vector(filter_ptr);
  slices.channel = to_vector(channel);
  FilterBlocks blocks;
  {
    py::gil_scoped_release release;
    blocks = make_filter_blocks(s, slices);
  }
  return py::make_tuple(to_array(blocks.order), to_array(blocks.position),
                        to_array(blocks.block_ptr), to_array(blocks.channel),
                        to_array(blocks.slot));
}

py::array_t<uint32_t> py_longest_first(const Array<uint32_t>& filter_ptr) {
  PackedSlices slices;
  slices.filter_ptr = to_vector(filter_ptr);
  if (slices.filter_ptr.empty()) throw std::invalid_argument("filter_ptr must not be empty");
  return to_array(longest_first(slices));
}

}  // namespace

void bind_cuda(py::module_& m) {
  // A translator of CudaError's own is not needed: it is a RuntimeError.
  m.attr("cuda_built") = cuda_status().status != CudaStatus::kNotBuilt;
  m.def("cuda_status", &py_status, py::arg("device") = 0,
        "Whether the CUDA kernels can run: 'ready', 'not built', 'no device' or 'unsupported "
        "architecture', and a sentence about it.");
  m.def("filter_blocks", &py_filter_blocks, py::arg("shape"), py::arg("filter_ptr"),
        py::arg("channel"),
        "Plans blocks of 32 filters: order, position, block_ptr, channel, slot "
        "(lnx/filter_blocks.h).");
  m.def("longest_first", &py_longest_first, py::arg("filter_ptr"),
        "Filters by falling number of slices.");

  py::class_<CudaConv>(m, "CudaConv", "A convolution with its device tensors (lnx/cuda.h).")
      .def(py::init(&make_conv), py::kw_only(), py::arg("dtype"), py::arg("input_shape"),
           py::arg("filters"), py::arg("groups"), py::arg("window"), py::arg("input"),
           py::arg("input_strides"), py::arg("output"), py::arg("output_strides"),
           py::arg("residual"), py::arg("bias"), py::arg("activation"), py::arg("stream"));
  m.def(
      "cuda_conv_lists",
      [](const CudaConv& conv, int64_t slices, int64_t slice_channels, uintptr_t filter_ptr,
         uintptr_t channel, uintptr_t values, uintptr_t order) {
        cuda_conv_lists(conv, {slices, slice_channels, device_pointer<uint32_t>(filter_ptr),
                               device_pointer<uint32_t>(channel), device_pointer<float>(values),
                               device_pointer<uint32_t>(order)});
      },
      py::arg("conv"), py::kw_only(), py::arg("slices"), py::arg("slice_channels"),
      py::arg("filter_ptr"), py::arg("channel"), py::arg("values"), py::arg("order"),
      "Starts form (a), each filter over its own channels.");
  m.def(
      "cuda_conv_blocks",
      [](const CudaConv& conv, const std::string& precision, int tile_runs, int64_t blocks,
         uintptr_t order, uintptr_t block_ptr, uintptr_t channel, uintptr_t fragments) {
        cuda_conv_blocks(conv,
                         {to_math(precision), tile_runs, blocks, device_pointer<uint32_t>(order),
                          device_pointer<uint32_t>(block_ptr), device_pointer<int32_t>(channel),
                          device_pointer<void>(fragments)});
      },
      py::arg("conv"), py::kw_only(), py::arg("precision"), py::arg("tile_runs"), py::arg("blocks"),
      py::arg("order"), py::arg("block_ptr"), py::arg("channel"), py::arg("fragments"),
      "Starts form (b), blocks of filters over the union of their channels, on tensor cores.");
  m.def(
      "cuda_blocks_fit",
      [](const CudaConv& conv, const std::string& precision) {
        return cuda_blocks_fit(conv, to_math(precision));
      },
      py::arg("conv"), py::arg("precision"), "Whether form (b) has a tile for this window.");
  m.def(
      "cuda_blocks_tile",
      [](const CudaConv& conv, const std::string& precision, int64_t blocks, int tile_runs,
         int64_t shared_limit) {
        const CudaTile tile =
            cuda_blocks_tile(conv, to_math(precision), blocks, tile_runs, shared_limit);
        return py::make_tuple(tile.rows, tile.columns, tile.shared_bytes);
      },
      py::arg("conv"), py::kw_only(), py::arg("precision"), py::arg("blocks"), py::arg("tile_runs"),
      py::arg("shared_limit"),
      "Rows, columns and bytes of shared memory of a block of form (b); needs no device.");
  m.def("cuda_lists_shared_bytes", &cuda_lists_shared_bytes, py::arg("length"),
        "Bytes of shared memory of a block of form (a); needs no device.");
  m.def(
      "cuda_fragment_bytes",
      [](const std::string& precision, int64_t union_channels, int64_t taps) {
        return cuda_fragment_bytes(to_math(precision), union_channels, taps);
      },
      py::arg("precision"), py::arg("union_channels"), py::arg("taps"),
      "Bytes of the fragments of all blocks.");
  m.def(
      "cuda_decode",
      [](int64_t filters, int64_t length, uintptr_t filter_ptr, uintptr_t latents, uintptr_t matrix,
         int exponent, uintptr_t scale, uintptr_t values, uintptr_t stream) {
        cuda_decode(filters, length, device_pointer<uint32_t>(filter_ptr),
                    device_pointer<int16_t>(latents), device_pointer<int32_t>(matrix), exponent,
                    device_pointer<float>(scale), device_pointer<float>(values),
                    device_pointer<void>(stream));
      },
      py::kw_only(), py::arg("filters"), py::arg("length"), py::arg("filter_ptr"),
      py::arg("latents"), py::arg("matrix"), py::arg("exponent"), py::arg("scale"),
      py::arg("values"), py::arg("stream"),
      "Restores float32 weights from int16 latents on the device, bit for bit.");
  m.def(
      "cuda_arrange",
      [](const std::string& precision, int64_t filters, int64_t channels, int64_t groups,
         int64_t taps, int64_t slice_channels, uintptr_t filter_ptr, uintptr_t channel,
         uintptr_t values, uintptr_t position, uintptr_t slot, uintptr_t block_ptr,
         uintptr_t fragments, uintptr_t stream) {
        cuda_arrange({to_math(precision), filters, channels, groups, taps, slice_channels,
                      device_pointer<uint32_t>(filter_ptr), device_pointer<uint32_t>(channel),
                      device_pointer<float>(values), device_pointer<uint32_t>(position),
                      device_pointer<uint32_t>(slot), device_pointer<uint32_t>(block_ptr),
                      device_pointer<void>(fragments), device_pointer<void>(stream)});
      },
      py::kw_only(), py::arg("precision"), py::arg("filters"), py::arg("channels"),
      py::arg("groups"), py::arg("taps"), py::arg("slice_channels"), py::arg("filter_ptr"),
      py::arg("channel"), py::arg("values"), py::arg("position"), py::arg("slot"),
      py::arg("block_ptr"), py::arg("fragments"), py::arg("stream"),
      "Puts decoded weights into the order of form (b); the fragments must be zeros before.");
}

}  // namespace lnx
