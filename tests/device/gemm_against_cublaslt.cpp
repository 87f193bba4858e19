// The same product by cuBLASLt in a plain loop and through the suite, by turns, both by events on the GPU. Prints the
// ratio of their medians: what the suite adds.
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <regex>
#include <span>
#include <string>
#include <vector>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/cuda/handles.hpp"
#include "common/core/float16.hpp"
#include "common/core/random.hpp"
#include "common/core/units.hpp"
#include "common/measure/sampler.hpp"
#include "common/stats/order_statistics.hpp"
#include "suites/gemm/workload.hpp"
#include "tests/bench/bench_world.hpp"

using namespace rackproof;

namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20U;

void require(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ExitCode::infrastructure, "cublasLt", static_cast<int>(status), call, cublasLtGetStatusString(status));
}

cuda::Event make_event(const cuda::CudaDevice& device) {
  cudaEvent_t event = nullptr;
  cuda::check(cudaEventCreate(&event), "cudaEventCreate");
  return cuda::own(event, device.broken());
}

cudaDataType_t cuda_type(DataType type) {
  switch (type) {
    case DataType::f64:
      return CUDA_R_64F;
    case DataType::f16:
      return CUDA_R_16F;
    case DataType::bf16:
      return CUDA_R_16BF;
    case DataType::i8:
      return CUDA_R_8I;
    case DataType::i32:
      return CUDA_R_32I;
    default:
      return CUDA_R_32F;
  }
}

cublasComputeType_t compute_type(DataType type) {
  switch (type) {
    case DataType::f64:
      return CUBLAS_COMPUTE_64F;
    case DataType::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case DataType::i8:
      return CUBLAS_COMPUTE_32I;
    default:
      return CUBLAS_COMPUTE_32F;
  }
}

/// Elements of the type from one period of seeded normals: what the multipliers see decides how fast the clock is.
std::vector<std::byte> normals(DataType type, std::size_t count) {
  std::vector<std::byte> bytes(bytes_of(count, type));
  const auto fill = [&]<typename T>(T scale) {
    fill_normal(std::span(reinterpret_cast<T*>(bytes.data()), count), 7, 0, scale);
  };
  switch (type) {
    case DataType::f64:
      fill(1.0);
      break;
    case DataType::bf16:
      fill_normal(std::span(reinterpret_cast<bf16_bits*>(bytes.data()), count), 7, 0, 1.0F);
      break;
    case DataType::f16: {
      std::vector<float> values(count);
      fill_normal(std::span(values), 7, 0, 1.0F);
      std::transform(values.begin(), values.end(), reinterpret_cast<std::uint16_t*>(bytes.data()), to_f16_bits);
      break;
    }
    case DataType::i8:
      fill_normal(std::span(reinterpret_cast<std::int8_t*>(bytes.data()), count), 7, 0, 32.0F);
      break;
    default:
      fill(1.0F);
  }
  return bytes;
}

/// Column-major C^T[n,m] = op(B) x A^T, on as many sets of operands as the suite rotates through.
class Bare {
 public:
  Bare(const gemm::Product& product, cuda::CudaDevice& device, bool cold)
      : device_(device),
        begin_(make_event(device)),
        end_(make_event(device)),
        workspace_(device.allocate(workspace_bytes)) {
    const auto& [m, n, k] = product.shape;
    const DataType out = gemm::output_type(product.type);
    const bool k_major = product.layout == WeightLayout::packed;
    f64_ = product.type == DataType::f64;
    i32_ = product.type == DataType::i8;
    require(cublasLtCreate(&handle_), "cublasLtCreate");
    require(cublasLtMatmulDescCreate(&desc_, compute_type(product.type),
                                     f64_   ? CUDA_R_64F
                                     : i32_ ? CUDA_R_32I
                                            : CUDA_R_32F),
            "cublasLtMatmulDescCreate");
    const cublasOperation_t operation = k_major ? CUBLAS_OP_T : CUBLAS_OP_N;
    require(cublasLtMatmulDescSetAttribute(desc_, CUBLASLT_MATMUL_DESC_TRANSA, &operation, sizeof operation),
            "cublasLtMatmulDescSetAttribute");
    const auto layout = [](cublasLtMatrixLayout_t& to, DataType type, std::int64_t rows, std::int64_t columns) {
      require(cublasLtMatrixLayoutCreate(&to, cuda_type(type), static_cast<std::uint64_t>(rows),
                                         static_cast<std::uint64_t>(columns), rows),
              "cublasLtMatrixLayoutCreate");
    };
    if (k_major) {
      layout(weights_, product.type, k, n);
    } else {
      layout(weights_, product.type, n, k);
    }
    layout(input_, product.type, k, m);
    layout(output_, out, n, m);
    choose_algorithm();

    a_bytes_ = aligned(bytes_of(static_cast<std::size_t>(m * k), product.type));
    b_bytes_ = aligned(bytes_of(static_cast<std::size_t>(k * n), product.type));
    c_bytes_ = aligned(bytes_of(static_cast<std::size_t>(m * n), out));
    sets_ = gemm::count_sets(a_bytes_ + b_bytes_ + c_bytes_, cold, device.cache_bytes(), device.memory_available());
    a_ = device.allocate(a_bytes_ * sets_);
    b_ = device.allocate(b_bytes_ * sets_);
    c_ = device.allocate(c_bytes_ * sets_);
    const auto a = normals(product.type, static_cast<std::size_t>(m * k));
    const auto b = normals(product.type, static_cast<std::size_t>(k * n));
    for (std::size_t set = 0; set < sets_; ++set) {
      device.copy_to_device(a_->as<std::byte>() + set * a_bytes_, a.data(), a.size());
      device.copy_to_device(b_->as<std::byte>() + set * b_bytes_, b.data(), b.size());
    }
    device.synchronize();
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  ~Bare() {
    for (const cublasLtMatrixLayout_t layout : {weights_, input_, output_}) {
      if (layout != nullptr) (void)cublasLtMatrixLayoutDestroy(layout);
    }
    if (desc_ != nullptr) (void)cublasLtMatmulDescDestroy(desc_);
    if (handle_ != nullptr) (void)cublasLtDestroy(handle_);
  }

  /// Seconds of one product, by events.
  double run() {
    set_ = (set_ + 1) % sets_;
    const double one_f64 = 1.0;
    const double zero_f64 = 0.0;
    const float one_f32 = 1.0F;
    const float zero_f32 = 0.0F;
    const std::int32_t one_i32 = 1;
    const std::int32_t zero_i32 = 0;
    const void* const alpha = f64_   ? static_cast<const void*>(&one_f64)
                              : i32_ ? static_cast<const void*>(&one_i32)
                                     : &one_f32;
    const void* const beta = f64_   ? static_cast<const void*>(&zero_f64)
                             : i32_ ? static_cast<const void*>(&zero_i32)
                                    : &zero_f32;
    cuda::check(cudaEventRecord(begin_.get(), device_.stream()), "cudaEventRecord");
    auto* const c = c_->as<std::byte>() + set_ * c_bytes_;
    require(cublasLtMatmul(handle_, desc_, alpha, b_->as<std::byte>() + set_ * b_bytes_, weights_,
                           a_->as<std::byte>() + set_ * a_bytes_, input_, beta, c, output_, c, output_, &algorithm_,
                           workspace_->data(), workspace_bytes, device_.stream()),
            "cublasLtMatmul");
    cuda::check(cudaEventRecord(end_.get(), device_.stream()), "cudaEventRecord");
    cuda::check(cudaEventSynchronize(end_.get()), "cudaEventSynchronize");
    float milliseconds = 0.0F;
    cuda::check(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  static std::size_t aligned(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

  /// The library's first choice.
  void choose_algorithm() {
    cublasLtMatmulPreference_t preference = nullptr;
    require(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    const std::size_t room = workspace_bytes;
    require(
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room),
        "cublasLtMatmulPreferenceSetAttribute");
    // As the suite's operands are, or the two would be asked different questions.
    const std::uint32_t alignment = 16;
    for (const auto operand :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      require(cublasLtMatmulPreferenceSetAttribute(preference, operand, &alignment, sizeof alignment),
              "cublasLtMatmulPreferenceSetAttribute");
    }
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, desc_, weights_, input_, output_, output_,
                                                                 preference, 1, &result, &found);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    require(status, "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) throw infrastructure_error("cuBLASLt has no algorithm for a product that the suite measures");
    algorithm_ = result.algo;
  }

  cuda::CudaDevice& device_;
  cuda::Event begin_;
  cuda::Event end_;
  std::unique_ptr<Buffer> workspace_;
  bool f64_ = false;
  bool i32_ = false;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t weights_ = nullptr;
  cublasLtMatrixLayout_t input_ = nullptr;
  cublasLtMatrixLayout_t output_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
  std::size_t a_bytes_ = 0;
  std::size_t b_bytes_ = 0;
  std::size_t c_bytes_ = 0;
  std::size_t sets_ = 1;
  std::size_t set_ = 0;
  std::unique_ptr<Buffer> a_, b_, c_;
};

cuda::CudaDevice& gpu_of(const BenchWorld& gpus) { return dynamic_cast<cuda::CudaDevice&>(*gpus.device); }

struct Arguments {
  int rounds = 10;
  int steps = 20;
  std::string pattern = ".*";
  std::vector<std::int64_t> sizes{1024, 2048, 4096, 8192};
};

void compare(const gemm::Product& product, BenchWorld& gpus, const Context& context, const Arguments& arguments) {
  Bare bare(product, gpu_of(gpus), context.options.cold_buffers);
  const auto workload = gemm::make_workload(product, context);
  std::vector<double> bare_times;
  std::vector<double> suite_times;
  std::vector<double> ratios;
  for (int round = 0; round < arguments.rounds; ++round) {
    std::vector<double> times;
    for (int step = -5; step < arguments.steps; ++step) {
      const double seconds = bare.run();
      if (step >= 0) times.push_back(seconds);
    }
    StoppingRule rule;
    rule.min_samples = arguments.steps;
    rule.max_samples = arguments.steps;
    rule.budget = 30.0;
    const Samples samples = measure(*workload, gpus.world, gpus.clock, rule);
    ratios.push_back(stats::median(samples.time) / stats::median(times));
    bare_times.insert(bare_times.end(), times.begin(), times.end());
    suite_times.insert(suite_times.end(), samples.time.begin(), samples.time.end());
  }
  const Verification check = workload->verify();
  const double flop = 2.0 * static_cast<double>(product.shape.m) * static_cast<double>(product.shape.n) *
                      static_cast<double>(product.shape.k);
  fmt::print("{:<36} {:>10} {:>10} {:>8.4f} {:>10.1f}  {}\n", gemm::case_name(product),
             format_duration(stats::median(bare_times)), format_duration(stats::median(suite_times)),
             stats::median(ratios), flop / stats::median(suite_times) / 1e12,
             check.outcome == Verification::Outcome::passed ? "verified" : "WRONG: " + check.detail);
  if (check.outcome != Verification::Outcome::passed) {
    throw Error(ExitCode::fail, "gemm", 0, "", gemm::case_name(product) + ": " + check.detail);
  }
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("The same matrix product by cuBLASLt alone and through the suite, on one GPU");
  app.add_option("--rounds", arguments.rounds, "turns of each")->check(CLI::PositiveNumber);
  app.add_option("--steps", arguments.steps, "products of one turn")->check(CLI::PositiveNumber);
  app.add_option("--sizes", arguments.sizes, "squares, comma-separated")->delimiter(',')->check(CLI::PositiveNumber);
  app.add_option("--case", arguments.pattern, "cases to run, a regular expression");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const std::regex wanted(arguments.pattern);
  BenchWorld gpus("cuda");
  if (gpus.world.size() != 1) throw usage_error("one rank compares; start it alone, or with mpirun -n 1");
  Options options;
  const Context context{*gpus.device, *gpus.collective, gpus.platform, options};
  fmt::print("{} ({}), {} x {} steps of each, cold buffers\n{:<36} {:>10} {:>10} {:>8} {:>10}\n", gpus.device->name(),
             gpus.device->serial(), arguments.rounds, arguments.steps, "case", "cuBLASLt", "suite", "ratio", "TFLOP/s");
  std::vector<gemm::Shape> shapes;
  for (const std::int64_t size : arguments.sizes) shapes.push_back({size, size, size});
  const std::vector<gemm::Operand> operands{{DataType::f64}, {DataType::f32},  {DataType::tf32},
                                            {DataType::f16}, {DataType::bf16}, {DataType::i8}};
  for (const gemm::Product& product : gemm::products_of(shapes, operands)) {
    if (!std::regex_search(gemm::case_name(product), wanted)) continue;
    const std::string reason = gpus.device->refuses(gemm::problem_of(product));
    if (reason.empty()) {
      compare(product, gpus, context, arguments);
    } else {
      fmt::print("{:<36} {}\n", gemm::case_name(product), reason);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_benchmark("gemm_against_cublaslt", argc, argv, run); }
