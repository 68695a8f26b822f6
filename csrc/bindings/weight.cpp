// lilnetx._core.PackedWeight: nonzero slices on their way from the file to the kernels.
#include "bindings/weight.h"

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/bytes.h"
#include "lnx/codec.h"

namespace py = pybind11;

namespace lnx {
namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// filters, slices, length, channels_per_slice, groups, channels
using ShapeTuple = std::tuple<int64_t, int64_t, int, int64_t, int64_t, int64_t>;

SliceShape to_shape(const ShapeTuple& t) {
  const SliceShape s{std::get<0>(t), std::get<1>(t), std::get<2>(t),
                     std::get<3>(t), std::get<4>(t), std::get<5>(t)};
  if (s.groups < 1 || s.channels_per_slice < 1)
    throw std::invalid_argument("groups and channels_per_slice must be positive");
  return s;
}

ShapeTuple to_tuple(const SliceShape& s) {
  return {s.filters, s.slices, s.length, s.channels_per_slice, s.groups, s.channels};
}

template <typename T>
void require_shape(const Array<T>& slices, const SliceShape& shape) {
  if (slices.ndim() != 3 || slices.shape(0) != shape.filters || slices.shape(1) != shape.slices ||
      slices.shape(2) != shape.length)
    throw std::invalid_argument("slices must have the shape (F, S, n)");
}

std::shared_ptr<const SliceDecoder> to_decoder(const Array<int32_t>& matrix, int exponent) {
  if (matrix.ndim() != 2 || matrix.shape(0) != matrix.shape(1))
    throw std::invalid_argument("the decoder's matrix must have shape (n, n)");
  if (exponent < -126 || exponent > 126)
    throw std::invalid_argument("a decoder's exponent is within -126..126");
  return std::make_shared<SliceDecoder>(
      SliceDecoder{{matrix.data(), matrix.data() + matrix.size()}, exponent});
}

std::shared_ptr<PackedWeight> py_pack_latents(const ShapeTuple& shape_tuple,
                                              const Array<int32_t>& latents,
                                              const Array<int32_t>& matrix, int exponent) {
  const SliceShape shape = to_shape(shape_tuple);
  require_shape(latents, shape);
  const auto decoder = to_decoder(matrix, exponent);
  py::gil_scoped_release release;
  const int32_t* values = latents.data();
  for (py::ssize_t i = 0; i < latents.size(); ++i)
    if (values[i] > kMaxLatent || values[i] < -kMaxLatent)
      throw std::invalid_argument("latents must be within +-32767");
  return std::make_shared<PackedWeight>(shape, values, decoder);
}

std::shared_ptr<PackedWeight> py_pack_dense(const ShapeTuple& shape_tuple,
                                            const Array<float>& weights) {
  const SliceShape shape = to_shape(shape_tuple);
  require_shape(weights, shape);
  py::gil_scoped_release release;
  return std::make_shared<PackedWeight>(shape, weights.data());
}

// What the file says about a weight: shape of its slices, decoder, model, nonzero slices.
using WeightTuple = std::tuple<ShapeTuple, size_t, uint32_t, uint64_t>;
using DecoderTuple = std::pair<Array<int32_t>, int>;

py::tuple py_decode_packed(const py::buffer& data,
                           const std::vector<std::pair<size_t, size_t>>& streams,
                           const std::vector<WeightTuple>& weights,
                           const std::vector<DecoderTuple>& decoder_tuples, unsigned threads) {
  const Bytes bytes(data);
  std::vector<std::shared_ptr<const SliceDecoder>> decoders;
  for (const auto& [matrix, exponent] : decoder_tuples)
    decoders.push_back(to_decoder(matrix, exponent));
  std::vector<SliceShape> slice_shapes;
  std::vector<WeightShape> shapes;
  for (const auto& [shape_tuple, decoder, model, nonzero] : weights) {
    const SliceShape s = to_shape(shape_tuple);
    if (s.filters > 1 << 30 || s.slices > 1 << 30)
      throw std::invalid_argument("latents are too large");
    if (decoder >= decoders.size() ||
        decoders[decoder]->matrix.size() != static_cast<size_t>(s.length) * s.length)
      throw std::invalid_argument("a weight contradicts itself");
    slice_shapes.push_back(s);
    shapes.push_back({static_cast<uint32_t>(s.filters), static_cast<uint32_t>(s.slices),
                      static_cast<uint32_t>(s.length), model, nonzero});
  }
  const std::vector<Stream> parts = to_streams(bytes, streams, weights.size());
  std::vector<std::shared_ptr<PackedWeight>> packed(weights.size());
  std::vector<CodecStatus> statuses;
  {
    py::gil_scoped_release release;
    const WeightSink pack = [&](size_t i, const int32_t* latents) {
      packed[i] = std::make_shared<PackedWeight>(
          slice_shapes[i], latents, decoders[std::get<1>(weights[i])], shapes[i].nonzero);
    };
    statuses = decode_streams(parts, shapes.data(), pack, threads);
  }
  return py::make_tuple(packed, defects(statuses));
}

py::tuple py_slices(const PackedWeight& weight, const Scale& scale) {
  PackedSlices p;
  weight.unpack(0, weight.shape().filters, scale_data(weight, scale), p);
  const auto array = [](const auto& v) {
    using T = typename std::decay_t<decltype(v)>::value_type;
    return Array<T>(static_cast<py::ssize_t>(v.size()), v.data());
  };
  return py::make_tuple(array(p.filter_ptr), array(p.channel), array(p.values));
}

py::object py_integers(const PackedWeight& weight) {
  if (!weight.decoder()) return py::none();
  const int64_t length = weight.shape().length;
  const auto& matrix = weight.decoder()->matrix;
  return py::make_tuple(Array<int16_t>({int64_t{weight.slices()}, length}, weight.latents().data()),
                        Array<int32_t>({length, length}, matrix.data()),
                        weight.decoder()->exponent);
}

py::array_t<uint8_t> py_live_filters(const PackedWeight& weight) {
  py::array_t<uint8_t> live(weight.shape().filters);
  for (int64_t f = 0; f < weight.shape().filters; ++f) live.mutable_data()[f] = weight.live(f);
  return live;
}

using Mask = py::array_t<uint8_t, py::array::c_style | py::array::forcecast>;

const uint8_t* mask_data(const Mask& mask, int64_t size) {
  if (mask.ndim() != 1 || mask.size() != size)
    throw std::invalid_argument("expected one byte for each filter or channel");
  return mask.data();
}

Mask py_reads(const PackedWeight& weight, const Mask& filters, const Scale& scale) {
  const std::vector<uint8_t> found =
      weight.reads(mask_data(filters, weight.shape().filters), scale_data(weight, scale));
  return Mask(static_cast<py::ssize_t>(found.size()), found.data());
}

py::tuple py_fold(const PackedWeight& weight, const Array<double>& constants, const Scale& scale) {
  if (constants.size() != weight.shape().channels)
    throw std::invalid_argument("expected one constant for each channel");
  Array<double> sums(weight.shape().filters);
  Mask rest(weight.shape().filters);
  weight.fold(constants.data(), scale_data(weight, scale), sums.mutable_data(),
              rest.mutable_data());
  return py::make_tuple(sums, rest);
}

std::shared_ptr<PackedWeight> py_restrict(const PackedWeight& weight, const Mask& filters,
                                          const Mask& channels, const Mask& read) {
  const SliceShape& s = weight.shape();
  return std::make_shared<PackedWeight>(weight.restrict(
      mask_data(filters, s.filters), mask_data(channels, s.channels), mask_data(read, s.channels)));
}

}  // namespace

void bind_weight(py::module_& m) {
  py::class_<PackedWeight, std::shared_ptr<PackedWeight>>(m, "PackedWeight")
      .def_property_readonly("shape", [](const PackedWeight& w) { return to_tuple(w.shape()); })
      .def_property_readonly("slices", &PackedWeight::slices)
      .def_property_readonly("nbytes", &PackedWeight::bytes)
      .def("integers", &py_integers,
           "int16 (slices, length), int32 matrix (length, length), exponent; None for floats.")
      .def("live_filters", &py_live_filters)
      .def(
          "computed_weights",
          [](const PackedWeight& w, const Scale& scale) {
            return w.computed_weights(scale_data(w, scale));
          },
          py::arg("scale"))
      .def("unpack", &py_slices, py::arg("scale"))
      .def("reads", &py_reads, py::arg("filters"), py::arg("scale"))
      .def("fold", &py_fold, py::arg("constants"), py::arg("scale"))
      .def("restrict", &py_restrict, py::arg("filters"), py::arg("channels"), py::arg("read"));
  m.def("pack_latents", &py_pack_latents, py::arg("shape"), py::arg("latents"), py::arg("matrix"),
        py::arg("exponent"), "Nonzero slices of int32 latents (F, S, n).");
  m.def("pack_dense", &py_pack_dense, py::arg("shape"), py::arg("weights"),
        "Nonzero slices of float32 weights (F, S, n).");
  m.def("decode_packed", &py_decode_packed, py::arg("data"), py::arg("streams"), py::arg("weights"),
        py::arg("decoders"), py::arg("threads"),
        "Decodes streams, given as (weights, bytes), straight into packed weights; returns these, "
        "and for each stream None or what is wrong with it. Weights are given as (shape, decoder, "
        "model, nonzero slices), decoders as (matrix, exponent).");
}

}  // namespace lnx
