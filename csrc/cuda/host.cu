#include <climits>

#include "cuda/host.h"

namespace lnx {
namespace {

void require(bool condition, const char* sentence) {
  if (!condition) throw std::invalid_argument(sentence);
}

int narrow(int64_t value, const char* name) {
  if (value < 0 || value > INT_MAX)
    throw std::invalid_argument(std::string(name) + " is negative or above 2^31 - 1");
  return static_cast<int>(value);
}

// The largest power of two up to 16 bytes that divides the base and all strides along axes that are
// longer than 1.
int alignment(const void* base, const Strides& s, int images, int channels, int height,
              int element) {
  int64_t bits = static_cast<int64_t>(reinterpret_cast<uintptr_t>(base));
  if (images > 1) bits |= s.image * element;
  if (channels > 1) bits |= s.channel * element;
  if (height > 1) bits |= int64_t{s.row} * element;
  for (int bytes = 16; bytes > element; bytes /= 2)
    if (bits % bytes == 0) return bytes;
  return element;
}

// Rows that do not overlap, in planes of fewer than 2^31 elements.
Strides to_strides(const CudaStrides& s, int64_t height, int64_t width) {
  require(height == 1 || (s.row >= width && s.row <= INT_MAX / height),
          "rows overlap, or a plane has 2^31 elements or more");
  require(s.channel >= 0 && s.image >= 0, "strides must not be negative");
  return {s.image, s.channel, height == 1 ? static_cast<int>(width) : static_cast<int>(s.row)};
}

}  // namespace

void cuda_check(cudaError_t error, const char* action) {
  if (error != cudaSuccess) throw CudaError(std::string(action) + ": " + cudaGetErrorString(error));
}

int element_size(CudaType type) { return type == CudaType::kFloat32 ? 4 : 2; }

Geometry to_geometry(const CudaConv& conv) {
  require(conv.images > 0 && conv.channels > 0 && conv.filters > 0, "an axis has no elements");
  require(conv.groups > 0 && conv.channels % conv.groups == 0 && conv.filters % conv.groups == 0,
          "groups must divide channels and filters");
  for (int i = 0; i < 2; ++i) {
    require(conv.kernel[i] > 0 && conv.stride[i] > 0 && conv.dilation[i] > 0,
            "kernel, stride and dilation must be positive");
    require(conv.padding[i] >= 0, "padding must not be negative");
    require(conv.kernel[i] < 1 << 15 && conv.stride[i] < 1 << 15 && conv.dilation[i] < 1 << 15 &&
                conv.padding[i] < 1 << 28,
            "the window is out of range");
  }
  require(conv.height > 0 && conv.width > 0 && conv.height < 1 << 28 && conv.width < 1 << 28,
          "height and width must be within 1 and 2^28");
  require(conv.out_height() > 0 && conv.out_width() > 0, "the window leaves no pixel");
  const int64_t pixels = conv.images * conv.out_height() * conv.out_width();
  require(pixels <= 1 << 30 && conv.images * conv.height * conv.width <= 1 << 30,
          "more than 2^30 pixels in all images");
  require(conv.filters <= 1 << 17, "more than 2^17 filters");
  require(conv.activation <= Activation::kGeluTanh,
          "activations with parameters are not fused into convolutions");
  require(conv.input && conv.output, "input and output must not be null");

  Geometry g{};
  g.images = narrow(conv.images, "images");
  g.channels = narrow(conv.channels, "channels");
  g.height = narrow(conv.height, "height");
  g.width = narrow(conv.width, "width");
  g.filters = narrow(conv.filters, "filters");
  g.out_height = narrow(conv.out_height(), "output height");
  g.out_width = narrow(conv.out_width(), "output width");
  g.kernel_h = static_cast<int>(conv.kernel[0]);
  g.kernel_w = static_cast<int>(conv.kernel[1]);
  g.stride_h = static_cast<int>(conv.stride[0]);
  g.stride_w = static_cast<int>(conv.stride[1]);
  g.pad_h = static_cast<int>(conv.padding[0]);
  g.pad_w = static_cast<int>(conv.padding[1]);
  g.dilation_h = static_cast<int>(conv.dilation[0]);
  g.dilation_w = static_cast<int>(conv.dilation[1]);
  g.group_filters = g.filters / static_cast<int>(conv.groups);
  g.group_channels = g.channels / static_cast<int>(conv.groups);
  g.input = to_strides(conv.input_strides, conv.height, conv.width);
  g.output = to_strides(conv.output_strides, conv.out_height(), conv.out_width());
  if (is_pointwise(g) && g.input.row == g.width && g.output.row == g.width) {
    g.width *= g.height;
    g.out_width = g.width;
    g.height = g.out_height = 1;
    g.input.row = g.output.row = g.width;
  }
  return g;
}

OutputParams to_output(const CudaConv& conv, const Geometry& g) {
  const int element = element_size(conv.type);
  const auto aligned = [&](const void* base) {
    return alignment(base, g.output, g.images, g.filters, g.out_height, element) == 16;
  };
  return {conv.output, conv.residual, conv.bias, conv.activation,
          aligned(conv.output) && (!conv.residual || aligned(conv.residual))};
}

int input_alignment(const CudaConv& conv, const Geometry& g) {
  return alignment(conv.input, g.input, g.images, g.channels, g.height, element_size(conv.type));
}

int shared_memory_limit() {
  int device = 0, bytes = 0;
  cuda_check(cudaGetDevice(&device), "finding the current device");
  cuda_check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
             "asking for the size of shared memory");
  return bytes;
}

CudaReport cuda_status(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    const char* const why = error != cudaSuccess ? cudaGetErrorString(error) : "none was found";
    return {CudaStatus::kNoDevice, std::string("no NVIDIA GPU can be used here (") + why +
                                       "): check that a GPU and its driver are there"};
  }
  if (device < 0 || device >= count)
    return {CudaStatus::kNoDevice, "there is no GPU " + std::to_string(device) + ", only " +
                                       std::to_string(count) + ", counted from 0"};
  int major = 0, minor = 0;
  cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
             "asking for the compute capability");
  cuda_check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
             "asking for the compute capability");
  const std::string capability = std::to_string(major) + "." + std::to_string(minor);
  if (major < 8)
    return {CudaStatus::kUnsupportedArchitecture, "GPU " + std::to_string(device) +
                                                      " has compute capability " + capability +
                                                      ", and the CUDA kernels need 8.0 or newer"};
  return {CudaStatus::kReady,
          "GPU " + std::to_string(device) + ", compute capability " + capability};
}

}  // namespace lnx
