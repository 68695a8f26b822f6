// Python's door to the codec. Arrays and limits are checked here; coding runs without the GIL.
#include "lnx/codec.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/bytes.h"

namespace py = pybind11;

namespace lnx {
namespace {

using Int32Array = py::array_t<int32_t, py::array::c_style>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

// Arrays to decode into. They are taken as they are: a converted copy would be filled and lost.
std::vector<Int32Array> outputs(const py::list& arrays) {
  std::vector<Int32Array> result;
  for (const py::handle& array : arrays) {
    if (!Int32Array::check_(array)) throw py::value_error("expected C-contiguous int32 arrays");
    result.push_back(py::reinterpret_borrow<Int32Array>(array));
    if (!result.back().writeable()) throw py::value_error("expected writeable arrays");
  }
  return result;
}

// Weights as the codec wants them; the arrays stay owned by Python.
struct Weights {
  std::vector<WeightShape> shapes;
  std::vector<int32_t*> values;

  void add(const Int32Array& array, uint32_t model, uint64_t nonzero) {
    if (array.ndim() != 3) throw py::value_error("latents must have the shape (F, S, n)");
    for (int i = 0; i < 3; ++i)
      if (array.shape(i) > py::ssize_t{1} << 30) throw py::value_error("latents are too large");
    shapes.push_back({uint32_t(array.shape(0)), uint32_t(array.shape(1)), uint32_t(array.shape(2)),
                      model, nonzero});
    values.push_back(const_cast<int32_t*>(array.data()));
  }
};

py::bytes to_bytes(const std::vector<uint8_t>& data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

void require_ok(CodecStatus status) {
  if (status != CodecStatus::kOk) throw py::value_error(describe(status));
}

py::bytes py_encode_latents(const std::vector<Int32Array>& latents,
                            const std::vector<uint32_t>& models,
                            const std::vector<uint64_t>& nonzero) {
  if (models.size() != latents.size() || nonzero.size() != latents.size())
    throw py::value_error("expected one model and count for each weight");
  Weights weights;
  for (size_t i = 0; i < latents.size(); ++i) weights.add(latents[i], models[i], nonzero[i]);
  std::vector<uint8_t> out;
  CodecStatus status;
  {
    py::gil_scoped_release release;
    status =
        encode_latents(weights.shapes.data(), weights.values.data(), weights.shapes.size(), out);
  }
  require_ok(status);
  return to_bytes(out);
}

py::list py_decode_latents(const py::buffer& data,
                           const std::vector<std::pair<size_t, size_t>>& streams,
                           const py::list& arrays, const std::vector<uint32_t>& models,
                           const std::vector<uint64_t>& nonzero, unsigned threads) {
  const Bytes bytes(data);
  const std::vector<Int32Array> out = outputs(arrays);
  if (models.size() != out.size() || nonzero.size() != out.size())
    throw py::value_error("expected one model and count for each weight");
  Weights weights;
  for (size_t i = 0; i < out.size(); ++i) weights.add(out[i], models[i], nonzero[i]);
  const std::vector<Stream> parts = to_streams(bytes, streams, out.size());
  std::vector<CodecStatus> statuses;
  {
    py::gil_scoped_release release;
    statuses = decode_streams(parts, weights.shapes.data(), weights.values.data(), threads);
  }
  return defects(statuses);
}

using Live = std::vector<py::object>;  // None or a uint8 array for each vector.

std::vector<IntVector> int_vectors(const std::vector<Int32Array>& vectors,
                                   const std::vector<uint32_t>& kinds, const Live& live) {
  if (kinds.size() != vectors.size() || live.size() != vectors.size())
    throw py::value_error("expected one kind and one mask for each vector");
  std::vector<IntVector> result;
  for (size_t i = 0; i < vectors.size(); ++i) {
    if (vectors[i].ndim() != 1) throw py::value_error("expected vectors");
    const uint8_t* mask = nullptr;
    if (!live[i].is_none()) {
      if (!ByteArray::check_(live[i])) throw py::value_error("expected C-contiguous uint8 masks");
      const auto array = py::reinterpret_borrow<ByteArray>(live[i]);
      if (array.size() != vectors[i].size())
        throw py::value_error("expected masks of equal length");
      mask = array.data();
    }
    result.push_back(
        {const_cast<int32_t*>(vectors[i].data()), size_t(vectors[i].size()), kinds[i], mask});
  }
  return result;
}

py::bytes py_encode_ints(const std::vector<Int32Array>& vectors, const std::vector<uint32_t>& kinds,
                         const Live& live) {
  std::vector<uint8_t> out;
  require_ok(encode_ints(int_vectors(vectors, kinds, live), out));
  return to_bytes(out);
}

py::object py_decode_ints(const py::buffer& data, const py::list& out,
                          const std::vector<uint32_t>& kinds, const Live& live) {
  const Bytes bytes(data);
  return defect(decode_ints(bytes.data, bytes.size, int_vectors(outputs(out), kinds, live)));
}

py::bytes py_encode_text(const py::buffer& data) {
  const Bytes bytes(data);
  std::vector<uint8_t> out;
  encode_text(bytes.data, bytes.size, out);
  return to_bytes(out);
}

py::object py_decode_text(const py::buffer& data, size_t count) {
  const Bytes bytes(data);
  std::vector<uint8_t> out;
  const CodecStatus status = decode_text(bytes.data, bytes.size, count, out);
  if (status != CodecStatus::kOk) return defect(status);
  return to_bytes(out);
}

ByteArray py_live_filters(const Int32Array& latents) {
  if (latents.ndim() != 3) throw py::value_error("latents must have the shape (F, S, n)");
  ByteArray live(latents.shape(0));
  live_filters(latents.data(), size_t(latents.shape(0)),
               size_t(latents.shape(1) * latents.shape(2)), live.mutable_data());
  return live;
}

}  // namespace

void bind_codec(py::module_& m) {
  m.def(
      "crc32c",
      [](const py::buffer& data, uint32_t crc) {
        const Bytes bytes(data);
        py::gil_scoped_release release;
        return crc32c(bytes.data, bytes.size, crc);
      },
      py::arg("data"), py::arg("crc") = 0, "CRC-32C of bytes, continuing from crc.");
  m.def("encode_latents", &py_encode_latents, py::arg("latents"), py::arg("models"),
        py::arg("nonzero"),
        "One stream of weights, int32 of shape (F, S, n). ValueError: they cannot be coded.");
  m.def("decode_latents", &py_decode_latents, py::arg("data"), py::arg("streams"), py::arg("out"),
        py::arg("models"), py::arg("nonzero"), py::arg("threads"),
        "Decodes streams, given as (weights, bytes), into zero-filled arrays; for each stream None "
        "or what is wrong with it.");
  m.def("encode_ints", &py_encode_ints, py::arg("vectors"), py::arg("kinds"), py::arg("live"),
        "One stream of int32 vectors. ValueError: they cannot be coded.");
  m.def("decode_ints", &py_decode_ints, py::arg("data"), py::arg("out"), py::arg("kinds"),
        py::arg("live"), "Decodes one stream into int32 vectors; None or what is wrong with it.");
  m.def("encode_text", &py_encode_text, py::arg("data"), "One stream of bytes.");
  m.def("decode_text", &py_decode_text, py::arg("data"), py::arg("count"),
        "Decodes one stream of that many bytes; a str that says what is wrong with it.");
  m.def("live_filters", &py_live_filters, py::arg("latents"),
        "For int32 latents (F, S, n): uint8 (F,), 0 for filters whose latents are all zero.");
}

}  // namespace lnx
