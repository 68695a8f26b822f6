#include "jobs.h"

#include <stdexcept>
#include <vector>

#include "lnx/activation.h"
#include "lnx/cuda.h"
#include "lnx/filter_blocks.h"
#include "machine.h"
#include "memory.h"
#include "planted.h"

namespace {

using emulated::Buffer;
using lnx_test::CaseReader;

template <typename T>
Buffer buffer_of(const char* name, const std::vector<T>& values) {
  return Buffer(name, values.data(), values.size() * sizeof(T));
}

std::string bytes_of(const Buffer& buffer) { return {buffer.get<char>(), buffer.bytes()}; }

class ConvJob : public Job {
 public:
  explicit ConvJob(CaseReader& in) {
    form_ = in.text();
    math_ = static_cast<lnx::CudaMath>(in.integer());
    tile_runs_ = static_cast<int>(in.integer());
    const auto n = in.integers<int64_t>();
    conv_.images = n.at(0);
    conv_.channels = n.at(1);
    conv_.height = n.at(2);
    conv_.width = n.at(3);
    conv_.filters = n.at(4);
    conv_.groups = n.at(5);
    for (int i = 0; i < 2; ++i) {
      conv_.kernel[i] = n.at(6 + i);
      conv_.stride[i] = n.at(8 + i);
      conv_.padding[i] = n.at(10 + i);
      conv_.dilation[i] = n.at(12 + i);
    }
    slice_channels_ = n.at(14);
    conv_.input_strides = {n.at(15), n.at(16), n.at(17)};
    conv_.output_strides = {n.at(18), n.at(19), n.at(20)};
    output_bytes_ = n.at(21);
    conv_.type = math_ == lnx::CudaMath::kFloat16    ? lnx::CudaType::kFloat16
                 : math_ == lnx::CudaMath::kBFloat16 ? lnx::CudaType::kBFloat16
                                                     : lnx::CudaType::kFloat32;
    conv_.activation = lnx::activation_from_name(in.text());
    slices_.filter_ptr = in.integers<uint32_t>();
    slices_.channel = in.integers<uint32_t>();
    slices_.values = in.reals();
    bias_ = in.reals();
    input_ = in.bytes();
    residual_ = in.bytes();
  }

  std::string run() override {
    const Buffer input = buffer_of("the input", input_);
    const Buffer residual = buffer_of("the residual", residual_);
    const Buffer bias = buffer_of("the bias", bias_);
    const Buffer output("the output", output_bytes_);
    conv_.input = input.get();
    conv_.residual = residual.bytes() ? residual.get() : nullptr;
    conv_.bias = bias.bytes() ? bias.get<float>() : nullptr;
    conv_.output = output.get();

    const Buffer filter_ptr = buffer_of("the filters' slices", slices_.filter_ptr);
    const Buffer channel = buffer_of("the slices' channels", slices_.channel);
    slices_.values.resize((slices_.values.size() + 3) / 4 * 4);
    const Buffer values = buffer_of("the weights", slices_.values);
    if (form_ == "lists") {
      const Buffer order = buffer_of("the order", lnx::longest_first(slices_));
      lnx::cuda_conv_lists(conv_, {static_cast<int64_t>(slices_.channel.size()), slice_channels_,
                                   filter_ptr.get<uint32_t>(), channel.get<uint32_t>(),
                                   values.get<float>(), order.get<uint32_t>()});
      return bytes_of(output);
    }
    const int64_t taps = conv_.kernel[0] * conv_.kernel[1];
    const lnx::SliceShape shape{
        conv_.filters, 0, static_cast<int>(taps * slice_channels_), slice_channels_, conv_.groups,
        conv_.channels};
    const lnx::FilterBlocks plan = lnx::make_filter_blocks(shape, slices_);
    const Buffer order = buffer_of("the order", plan.order);
    const Buffer position = buffer_of("the positions", plan.position);
    const Buffer slot = buffer_of("the slots", plan.slot);
    const Buffer block_ptr = buffer_of("the blocks' channels", plan.block_ptr);
    const Buffer unions = buffer_of("the unions", plan.channel);
    const std::vector<char> zeros(lnx::cuda_fragment_bytes(math_, plan.channel.size(), taps));
    const Buffer fragments("the fragments", zeros.size());
    std::copy(zeros.begin(), zeros.end(), fragments.get<char>());
    lnx::cuda_arrange({math_, conv_.filters, conv_.channels, conv_.groups, taps, slice_channels_,
                       filter_ptr.get<uint32_t>(), channel.get<uint32_t>(), values.get<float>(),
                       position.get<uint32_t>(), slot.get<uint32_t>(), block_ptr.get<uint32_t>(),
                       fragments.get(), nullptr});
    lnx::cuda_conv_blocks(
        conv_, {math_, tile_runs_, plan.blocks(), order.get<uint32_t>(), block_ptr.get<uint32_t>(),
                unions.get<int32_t>(), fragments.get()});
    return bytes_of(output);
  }

 private:
  std::string form_;
  lnx::CudaMath math_;
  int tile_runs_;
  lnx::CudaConv conv_{};
  int64_t slice_channels_, output_bytes_;
  lnx::PackedSlices slices_;
  std::vector<float> bias_;
  std::vector<uint8_t> input_, residual_;
};

class DecodeJob : public Job {
 public:
  explicit DecodeJob(CaseReader& in)
      : length_(in.integer()),
        exponent_(static_cast<int>(in.integer())),
        filter_ptr_(in.integers<uint32_t>()),
        latents_(in.integers<int16_t>()),
        matrix_(in.integers<int32_t>()),
        scale_(in.reals()) {}

  std::string run() override {
    const Buffer filter_ptr = buffer_of("the filters' slices", filter_ptr_);
    const Buffer latents = buffer_of("the latents", latents_);
    const Buffer matrix = buffer_of("the matrix", matrix_);
    const Buffer scale = buffer_of("the scale", scale_);
    const Buffer values("the weights", latents_.size() * sizeof(float));
    lnx::cuda_decode(static_cast<int64_t>(filter_ptr_.size()) - 1, length_,
                     filter_ptr.get<uint32_t>(), latents.get<int16_t>(), matrix.get<int32_t>(),
                     exponent_, scale.bytes() ? scale.get<float>() : nullptr, values.get<float>(),
                     nullptr);
    return bytes_of(values);
  }

 private:
  int64_t length_;
  int exponent_;
  std::vector<uint32_t> filter_ptr_;
  std::vector<int16_t> latents_;
  std::vector<int32_t> matrix_;
  std::vector<float> scale_;
};

class StatusJob : public Job {
 public:
  explicit StatusJob(CaseReader& in) {
    const auto n = in.integers<int>();
    emulated::Options& device = emulated::options();
    device.device_count = n.at(0);
    device.count_error = n.at(1);
    device.major = n.at(2);
    device.minor = n.at(3);
    number_ = n.at(4);
  }

  std::string run() override {
    const lnx::CudaReport report = lnx::cuda_status(number_);
    return std::to_string(static_cast<int>(report.status)) + " " + report.detail;
  }

 private:
  int number_;
};

class PlantedJob : public Job {
 public:
  explicit PlantedJob(CaseReader& in) : bug_(static_cast<Bug>(in.integer())), values_(in.reals()) {}

  std::string run() override {
    const Buffer in = buffer_of("the input", values_);
    const Buffer out("the output", values_.size() * sizeof(float));
    const Buffer blocks("the counter", sizeof(int));
    *blocks.get<int>() = 0;
    run_planted(bug_, static_cast<int>(values_.size()), in.get<float>(), out.get<float>(),
                blocks.get<int>());
    return bytes_of(out) + bytes_of(blocks);
  }

 private:
  Bug bug_;
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<Job> read_job(CaseReader& reader) {
  emulated::options() = {};
  const std::string kind = reader.text();
  emulated::options().order = static_cast<uint64_t>(reader.integer());
  emulated::options().late_copies = reader.integer() != 0;
  if (kind == "conv") return std::make_unique<ConvJob>(reader);
  if (kind == "decode") return std::make_unique<DecodeJob>(reader);
  if (kind == "status") return std::make_unique<StatusJob>(reader);
  if (kind == "planted") return std::make_unique<PlantedJob>(reader);
  throw std::runtime_error("unknown job " + kind);
}
