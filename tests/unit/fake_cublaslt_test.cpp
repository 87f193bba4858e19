// The fake libcublasLt: products as the real one's documentation says, refused where it refuses them. What the narrow
// types and the tiled scales mean is written down here a second time, element by element, in f64.
// links: fake_cudart fake_cublaslt
#include <cublasLt.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/fakes/cublaslt/formats.hpp"

namespace rackproof {
namespace {

using testing::ExitedWithCode;
using testing::KilledBySignal;
using Environment = std::map<std::string, std::string>;

void require_that(bool holds, const std::string& what, int line) {
  if (holds) return;
  (void)fprintf(stderr, "line %d: not so: %s\n", line, what.c_str());
  _exit(9);
}
#define REQUIRE(condition) require_that(condition, #condition, __LINE__)

/// Each scenario runs in a process of its own: the environment is read once, and misuse ends the process.
void run(const Environment& environment, const std::function<void()>& scenario) {
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  scenario();
  exit(0);
}
/// OpenBLAS has started threads by now: the process begins anew.
void expect_works(const Environment& environment, const std::function<void()>& scenario) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(run(environment, scenario), ExitedWithCode(0), "^$");
}
void expect_found(const std::string& message, const std::function<void()>& scenario) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(run({}, scenario), KilledBySignal(SIGABRT), "fake cuda: .*" + message);
}

const Environment blackwell{{"RACKPROOF_FAKE_GPUS", "1xB200"}};

void* upload(const void* from, std::size_t bytes) {
  void* to = nullptr;
  REQUIRE(cudaMalloc(&to, bytes) == cudaSuccess);
  REQUIRE(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice) == cudaSuccess);
  return to;
}
template <typename T>
void* upload(const std::vector<T>& from) {
  return upload(from.data(), from.size() * sizeof(T));
}
template <typename T>
std::vector<T> download(const void* from, std::size_t count) {
  std::vector<T> to(count);
  REQUIRE(cudaMemcpy(to.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
  return to;
}

/// D = op(A) B, column-major, of one handle; what it holds it destroys.
class Plan {
 public:
  Plan(cublasComputeType_t compute, cudaDataType_t scale, cudaDataType_t in, cudaDataType_t out, int m, int n, int k,
       bool transposed_a = true) {
    REQUIRE(cublasLtCreate(&handle_) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulDescCreate(&desc_, compute, scale) == CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    REQUIRE(cublasLtMatrixLayoutCreate(&a_, in, transposed_a ? k : m, transposed_a ? m : k, transposed_a ? k : m) ==
            CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatrixLayoutCreate(&b_, in, k, n, k) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatrixLayoutCreate(&d_, out, m, n, m) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulPreferenceCreate(&preference_) == CUBLAS_STATUS_SUCCESS);
    allow(std::size_t{4} << 20U);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    REQUIRE(cublasLtMatmulPreferenceDestroy(preference_) == CUBLAS_STATUS_SUCCESS);
    for (const auto layout : {a_, b_, d_}) REQUIRE(cublasLtMatrixLayoutDestroy(layout) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulDescDestroy(desc_) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtDestroy(handle_) == CUBLAS_STATUS_SUCCESS);
  }
  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    REQUIRE(cublasLtMatmulDescSetAttribute(desc_, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS);
  }
  void allow(std::size_t workspace) {
    REQUIRE(cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                 sizeof workspace) == CUBLAS_STATUS_SUCCESS);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> ask(cublasStatus_t wanted = CUBLAS_STATUS_SUCCESS) {
    std::vector<cublasLtMatmulHeuristicResult_t> found(8);
    int count = -1;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_, desc_, a_, b_, d_, d_, preference_, 8, found.data(), &count);
    require_that(status == wanted, cublasLtGetStatusName(status), __LINE__);
    found.resize(static_cast<std::size_t>(count));
    return found;
  }
  cublasStatus_t run(const void* alpha, const void* a, const void* b, const void* beta, void* d,
                     const cublasLtMatmulAlgo_t* algorithm, void* workspace, std::size_t workspace_bytes) {
    return cublasLtMatmul(handle_, desc_, alpha, a, a_, b, b_, beta, d, d_, d, d_, algorithm, workspace,
                          workspace_bytes, nullptr);
  }
  /// With alpha 1 and beta 0, by the best algorithm that needs no workspace.
  template <typename T, typename Scalar>
  std::vector<T> multiply(const void* a, const void* b, std::size_t count) {
    const std::vector<T> none(count);
    void* const d = upload(none);
    const Scalar one = 1;
    const Scalar zero = 0;
    const auto found = ask();
    REQUIRE(run(&one, a, b, &zero, d, &found.at(0).algo, nullptr, 0) == CUBLAS_STATUS_SUCCESS);
    auto result = download<T>(d, count);
    REQUIRE(cudaFree(d) == cudaSuccess);
    return result;
  }

 private:
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr;
  cublasLtMatrixLayout_t b_ = nullptr;
  cublasLtMatrixLayout_t d_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
};

/// Element (row, l) of an operand whose K lies contiguous.
using Element = std::function<double(int row, int l)>;

std::vector<double> exact(int m, int n, int k, const Element& a, const Element& b) {
  std::vector<double> sums(static_cast<std::size_t>(m) * static_cast<std::size_t>(n));
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < m; ++i) {
      double sum = 0;
      for (int l = 0; l < k; ++l) sum += a(i, l) * b(j, l);
      sums[static_cast<std::size_t>(j * m + i)] = sum;
    }
  }
  return sums;
}

template <typename T>
std::vector<T> random_values(std::size_t count, int from, int to, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> values(from, to);
  std::vector<T> all(count);
  for (T& value : all) value = static_cast<T>(values(random));
  return all;
}

template <typename T>
void require_equal(const std::vector<T>& found, const std::vector<double>& wanted) {
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    require_that(
        static_cast<double>(found[i]) == wanted[i],
        "element " + std::to_string(i) + " is " + std::to_string(found[i]) + ", not " + std::to_string(wanted[i]),
        __LINE__);
  }
}

void require_close(const std::vector<float>& found, const std::vector<double>& wanted, double relative) {
  REQUIRE(found.size() == wanted.size());
  double largest = 0;
  for (const double value : wanted) largest = std::max(largest, std::fabs(value));
  for (std::size_t i = 0; i < found.size(); ++i) REQUIRE(std::fabs(found[i] - wanted[i]) <= relative * largest);
}

TEST(FakeCublasLt, products_of_f64_f32_and_i8_are_exact_for_small_integers) {
  expect_works({}, [] {
    constexpr int m = 8;
    constexpr int n = 5;
    constexpr int k = 12;
    const auto a = random_values<int>(m * k, -9, 9, 1);
    const auto b = random_values<int>(n * k, -9, 9, 2);
    const auto wanted = exact(
        m, n, k, [&](int i, int l) { return a[static_cast<std::size_t>(i * k + l)]; },
        [&](int j, int l) { return b[static_cast<std::size_t>(j * k + l)]; });
    const auto with = [&]<typename In, typename Out, typename Scalar>(cublasComputeType_t compute, cudaDataType_t scale,
                                                                      cudaDataType_t in, cudaDataType_t out, In, Out,
                                                                      Scalar) {
      void* const at_a = upload(std::vector<In>(a.begin(), a.end()));
      void* const at_b = upload(std::vector<In>(b.begin(), b.end()));
      {
        Plan plan(compute, scale, in, out, m, n, k);
        require_equal(plan.multiply<Out, Scalar>(at_a, at_b, m * n), wanted);
      }
      REQUIRE(cudaFree(at_a) == cudaSuccess && cudaFree(at_b) == cudaSuccess);
    };
    with(CUBLAS_COMPUTE_64F, CUDA_R_64F, CUDA_R_64F, CUDA_R_64F, 0.0, 0.0, 0.0);
    with(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 0.0F, 0.0F, 0.0F);
    with(CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 0.0F, 0.0F, 0.0F);
    with(CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, CUDA_R_32I, std::int8_t{}, std::int32_t{}, std::int32_t{});
  });
}

TEST(FakeCublasLt, tf32_drops_what_the_matrix_units_do_not_read) {
  expect_works({}, [] {
    // 1 + 2^-10 is a tf32, 1 + 2^-10 + 2^-11 is not.
    void* const a = upload(std::vector<float>{1.0F + 0x1p-10F + 0x1p-11F});
    void* const b = upload(std::vector<float>{1.0F});
    {
      Plan plan(CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 1, 1, 1);
      REQUIRE((plan.multiply<float, float>(a, b, 1)[0] == 1.0F + 0x1p-10F));
    }
    REQUIRE(cudaFree(a) == cudaSuccess && cudaFree(b) == cudaSuccess);
  });
}

TEST(FakeCublasLt, an_operand_that_is_not_transposed_and_a_result_of_16_bits) {
  expect_works({}, [] {
    // A = [[1, 2], [3, 4]] as it lies: columns (1, 3), (2, 4). B = (1, 1).
    const auto half = [](float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16U); };
    void* const a = upload(std::vector<std::uint16_t>{half(1), half(3), half(2), half(4)});
    void* const b = upload(std::vector<std::uint16_t>{half(1), half(1)});
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_16BF, CUDA_R_16BF, 2, 1, 2, false);
      REQUIRE((plan.multiply<std::uint16_t, float>(a, b, 2) == std::vector<std::uint16_t>{half(3), half(7)}));
    }
    REQUIRE(cudaFree(a) == cudaSuccess && cudaFree(b) == cudaSuccess);
  });
}

TEST(FakeCublasLt, alpha_beta_and_the_bias_count) {
  expect_works({}, [] {
    void* const a = upload(std::vector<float>{1, 2});  // op(A) = (1, 2)^T
    void* const b = upload(std::vector<float>{10});
    void* const d = upload(std::vector<float>{1000, 2000});
    void* const bias = upload(std::vector<float>{0.5F, -4000.0F});
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 2, 1, 1);
      plan.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU_BIAS);
      plan.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
      const float alpha = 3;
      const float beta = 2;
      REQUIRE(plan.run(&alpha, a, b, &beta, d, nullptr, nullptr, 0) == CUBLAS_STATUS_SUCCESS);
      REQUIRE((download<float>(d, 2) == std::vector<float>{2030.5F, 60.0F}));
    }
    for (void* const gone : {a, b, d, bias}) REQUIRE(cudaFree(gone) == cudaSuccess);
  });
}

#if CUBLAS_VERSION >= 120900  // which has all of these scales
TEST(FakeCublasLt, mx_scales_are_read_from_tiles_of_128_by_4) {
  expect_works(blackwell, [] {
    constexpr int m = 272;  // more than two tiles
    constexpr int n = 16;
    constexpr int k = 288;  // nine scales a row: three tiles, the last with one
    constexpr int per_row = k / 32;
    const auto a = random_values<std::uint8_t>(m * k, 0, 0x7e, 1);  // E4M3 without NaN
    const auto b = random_values<std::uint8_t>(n * k, 0, 0x7e, 2);
    const auto scales = [](int rows, unsigned seed) {
      return random_values<std::uint8_t>(static_cast<std::size_t>(rows * per_row), 124, 130, seed);
    };
    const auto scales_a = scales(m, 3);
    const auto scales_b = scales(n, 4);
    // The documentation's figure: rows r, r + 32, r + 64, r + 96 of a tile side by side, four scales each.
    const auto tiled = [](const std::vector<std::uint8_t>& from, int rows) {
      std::vector<std::uint8_t> to;
      for (int top = 0; top < rows; top += 128) {
        for (int left = 0; left < per_row; left += 4) {
          for (int r = 0; r < 32; ++r) {
            for (int quarter = 0; quarter < 4; ++quarter) {
              for (int s = left; s < left + 4; ++s) {
                const int row = top + 32 * quarter + r;
                to.push_back(row < rows && s < per_row ? from[static_cast<std::size_t>(row * per_row + s)] : 0);
              }
            }
          }
        }
      }
      return to;
    };
    const auto value = [](std::uint8_t code, std::uint8_t scale) {
      const __half_raw raw = __nv_cvt_fp8_to_halfraw(code, __NV_E4M3);
      return static_cast<double>(__half2float(__half(raw))) * std::ldexp(1.0, scale - 127);
    };
    const auto element = [&](const std::vector<std::uint8_t>& codes, const std::vector<std::uint8_t>& factors) {
      return [&codes, &factors, &value](int row, int l) {
        return value(codes[static_cast<std::size_t>(row * k + l)],
                     factors[static_cast<std::size_t>(row * per_row + l / 32)]);
      };
    };
    void* const at_a = upload(a);
    void* const at_b = upload(b);
    void* const at_scales_a = upload(tiled(scales_a, m));
    void* const at_scales_b = upload(tiled(scales_b, n));
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_32F, m, n, k);
      plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0});
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC32_UE8M0});
      plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, at_scales_a);
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, at_scales_b);
      require_close(plan.multiply<float, float>(at_a, at_b, m * n),
                    exact(m, n, k, element(a, scales_a), element(b, scales_b)), 1e-6);
    }
    for (void* const gone : {at_a, at_b, at_scales_a, at_scales_b}) REQUIRE(cudaFree(gone) == cudaSuccess);
  });
}

TEST(FakeCublasLt, nvfp4_has_two_elements_a_byte_and_a_scale_for_16) {
  expect_works(blackwell, [] {
    constexpr int m = 32;
    constexpr int n = 32;
    constexpr int k = 64;
    const auto a = random_values<std::uint8_t>(m * k / 2, 0, 255, 1);
    const auto b = random_values<std::uint8_t>(n * k / 2, 0, 255, 2);
    // One tile: scale s of row r at r x 16 + s, for the first 32 rows.
    const auto scales = random_values<std::uint8_t>(512, 0x20, 0x50, 3);
    const auto element = [&](const std::vector<std::uint8_t>& codes) {
      return [&codes, &scales](int row, int l) {
        constexpr std::array<double, 8> magnitudes{0, 0.5, 1, 1.5, 2, 3, 4, 6};
        const int byte = codes[static_cast<std::size_t>((row * k + l) / 2)];
        const int code = l % 2 == 0 ? byte & 15 : byte >> 4;
        const double magnitude = magnitudes[static_cast<std::size_t>(code & 7)];
        const std::uint8_t scale = scales[static_cast<std::size_t>(row * 16 + l / 16)];
        const __half_raw raw = __nv_cvt_fp8_to_halfraw(scale, __NV_E4M3);
        return (code & 8 ? -magnitude : magnitude) * static_cast<double>(__half2float(__half(raw)));
      };
    };
    void* const at_a = upload(a);
    void* const at_b = upload(b);
    void* const at_scales = upload(scales);
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_4F_E2M1, CUDA_R_32F, m, n, k);
      for (const auto mode : {CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_DESC_B_SCALE_MODE}) {
        plan.set(mode, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC16_UE4M3});
      }
      plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, at_scales);
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, at_scales);
      require_close(plan.multiply<float, float>(at_a, at_b, m * n), exact(m, n, k, element(a), element(b)), 1e-6);
    }
    for (void* const gone : {at_a, at_b, at_scales}) REQUIRE(cudaFree(gone) == cudaSuccess);
  });
}

TEST(FakeCublasLt, hopper_has_scales_for_128_elements_and_for_128_by_128) {
  expect_works({}, [] {
    constexpr int m = 144;  // two blocks of 128
    constexpr int n = 16;
    constexpr int k = 272;  // three scales along k, four with padding
    const auto a = random_values<std::uint8_t>(m * k, 0x28, 0x48, 1);
    const auto b = random_values<std::uint8_t>(n * k, 0x28, 0x48, 2);
    const std::vector<float> wide{1, 2, 4, 99, 0.5F, 8, 16, 99};  // two columns of k, 99 is padding
    std::vector<float> rows(3 * n);                               // N contiguous
    std::iota(rows.begin(), rows.end(), 1.0F);
    const auto value = [](std::uint8_t code) {
      return static_cast<double>(__half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3))));
    };
    const Element of_a = [&](int i, int l) {
      return value(a[static_cast<std::size_t>(i * k + l)]) *
             static_cast<double>(wide[static_cast<std::size_t>(i / 128 * 4 + l / 128)]);
    };
    const Element of_b = [&](int j, int l) {
      return value(b[static_cast<std::size_t>(j * k + l)]) *
             static_cast<double>(rows[static_cast<std::size_t>(l / 128 * n + j)]);
    };
    void* const at_a = upload(a);
    void* const at_b = upload(b);
    void* const at_wide = upload(wide);
    void* const at_rows = upload(rows);
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_8F_E4M3, CUDA_R_32F, m, n, k);
      plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F});
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F});
      plan.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, at_wide);
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, at_rows);
      require_close(plan.multiply<float, float>(at_a, at_b, m * n), exact(m, n, k, of_a, of_b), 1e-6);
      plan.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F});
      REQUIRE(plan.ask(CUBLAS_STATUS_NOT_SUPPORTED).empty());
    }
    for (void* const gone : {at_a, at_b, at_wide, at_rows}) REQUIRE(cudaFree(gone) == cudaSuccess);
  });
}
#endif

TEST(FakeCublasLt, refuses_what_the_chip_or_the_layout_does_not_allow) {
  const auto refused = [](const Environment& environment, cublasComputeType_t compute, cudaDataType_t scale,
                          cudaDataType_t in, int m, int k, bool transposed, cublasStatus_t status) {
    expect_works(environment, [=] {
      const cudaDataType_t out = in == CUDA_R_8I ? CUDA_R_32I : CUDA_R_32F;
      REQUIRE(Plan(compute, scale, in, out, m, 16, k, transposed).ask(status).empty() ==
              (status != CUBLAS_STATUS_SUCCESS));
    });
  };
  const Environment hopper;
  const Environment ampere{{"RACKPROOF_FAKE_GPUS", "1xA100"}};
  const auto f32 = CUBLAS_COMPUTE_32F;
  const auto no = CUBLAS_STATUS_NOT_SUPPORTED;
  const auto yes = CUBLAS_STATUS_SUCCESS;
  refused(hopper, f32, CUDA_R_32F, CUDA_R_8F_E4M3, 16, 16, true, yes);
  refused(hopper, f32, CUDA_R_32F, CUDA_R_8F_E4M3, 16, 16, false, no);
  refused(blackwell, f32, CUDA_R_32F, CUDA_R_8F_E4M3, 16, 16, false, yes);
  refused(hopper, f32, CUDA_R_32F, CUDA_R_8F_E4M3, 16, 24, true, no);
  refused(ampere, f32, CUDA_R_32F, CUDA_R_8F_E4M3, 16, 16, true, no);
#if CUBLAS_VERSION >= 120900
  refused(hopper, f32, CUDA_R_32F, CUDA_R_4F_E2M1, 32, 32, true, no);
#endif
  refused(hopper, CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, 8, 4, true, yes);
  refused(hopper, CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, 8, 4, false, no);
  refused(hopper, CUBLAS_COMPUTE_32I, CUDA_R_32I, CUDA_R_8I, 6, 4, true, no);
  refused(hopper, CUBLAS_COMPUTE_16F, CUDA_R_16F, CUDA_R_32F, 16, 16, true, no);
  refused(hopper, f32, CUDA_R_32F, CUDA_R_16F, 3, 5, false, yes);
}

TEST(FakeCublasLt, offers_algorithms_that_fit_the_workspace) {
  expect_works({}, [] {
    void* const a = upload(std::vector<float>(64, 1.0F));
    void* workspace = nullptr;
    REQUIRE(cudaMalloc(&workspace, 1U << 20U) == cudaSuccess);
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 8, 8, 8);
      plan.allow(0);
      REQUIRE(plan.ask().size() == 1);
      plan.allow(std::size_t{4} << 20U);
      const auto found = plan.ask();
      REQUIRE(found.size() == 3);
      std::int32_t id = -1;
      std::size_t written = 0;
      REQUIRE(cublasLtMatmulAlgoConfigGetAttribute(&found[2].algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &written) ==
              CUBLAS_STATUS_SUCCESS);
      REQUIRE(id == 21 && written == sizeof id);
      void* const d = upload(std::vector<float>(64));
      const float one = 1;
      const float zero = 0;
      REQUIRE(plan.run(&one, a, a, &zero, d, &found[2].algo, workspace, 1024) == CUBLAS_STATUS_INVALID_VALUE);
      REQUIRE(plan.run(&one, a, a, &zero, d, &found[2].algo, workspace, 1U << 20U) == CUBLAS_STATUS_SUCCESS);
      REQUIRE(download<float>(d, 64) == std::vector<float>(64, 8.0F));
      REQUIRE(cudaFree(d) == cudaSuccess);
    }
    REQUIRE(cudaFree(a) == cudaSuccess && cudaFree(workspace) == cudaSuccess);
  });
}

TEST(FakeCublasLt, finds_operands_that_end_too_early) {
  expect_found("cublasLtMatmul: the 256 bytes of B are not memory of this GPU", [] {
    void* const a = upload(std::vector<float>(64));
    void* const b = upload(std::vector<float>(63));
    Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 8, 8, 8);
    const float one = 1;
    (void)plan.run(&one, a, b, &one, a, nullptr, nullptr, 0);
  });
}

TEST(FakeCublasLt, finds_what_was_not_destroyed) {
  expect_found("1 handles of cuBLASLt were not destroyed", [] {
    cublasLtHandle_t handle = nullptr;
    (void)cublasLtCreate(&handle);
  });
  expect_found("1 descriptors of cuBLASLt were not destroyed", [] {
    cublasLtMatrixLayout_t layout = nullptr;
    (void)cudaFree(nullptr);
    (void)cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 1, 1, 1);
  });
}

TEST(FakeCublasLt, flips_one_bit_of_each_product_from_the_one_asked_for_on) {
  expect_works({{"RACKPROOF_FAKE_FAULTS", "bit_flip@gemm=2"}}, [] {
    void* const a = upload(std::vector<float>(16, 1.0F));
    {
      Plan plan(CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 4, 4, 4);
      const auto wrong = [&] {
        const auto result = plan.multiply<float, float>(a, a, 16);
        return std::count_if(result.begin(), result.end(), [](float value) { return value != 4.0F; });
      };
      REQUIRE(wrong() == 0);
      REQUIRE(wrong() == 1);
      REQUIRE(wrong() == 1);
    }
    REQUIRE(cudaFree(a) == cudaSuccess);
  });
}

TEST(FakeFormats, agree_with_the_toolkit_on_every_code) {
  for (unsigned code = 0; code < 65536; ++code) {
    const auto half = static_cast<std::uint16_t>(code);
    __half_raw raw{};
    raw.x = half;
    const float value = __half2float(__half(raw));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(fake_lt::decode_f16(half))) << code;
      continue;
    }
    ASSERT_EQ(fake_lt::decode_f16(half), value) << code;
    ASSERT_EQ(fake_lt::encode_f16(value), half) << code;
  }
  for (unsigned code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    const float e4m3 = __half2float(__half(__nv_cvt_fp8_to_halfraw(byte, __NV_E4M3)));
    const float e5m2 = __half2float(__half(__nv_cvt_fp8_to_halfraw(byte, __NV_E5M2)));
    if (!std::isnan(e4m3)) {
      EXPECT_EQ(fake_lt::decode_e4m3(byte), e4m3) << code;
    }
    if (!std::isnan(e5m2)) {
      EXPECT_EQ(fake_lt::decode_e5m2(byte), e5m2) << code;
    }
    EXPECT_EQ(std::isnan(fake_lt::decode_e4m3(byte)), std::isnan(e4m3)) << code;
  }
}

TEST(FakeFormats, round_to_the_nearest_f16_and_bf16_as_the_toolkit_does) {
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(value)) continue;
    const __half_raw wanted = __float2half_rn(value);
    ASSERT_EQ(fake_lt::encode_f16(value), wanted.x) << value;
    const float back = fake_lt::decode_bf16(fake_lt::encode_bf16(value));
    if (std::isfinite(back)) {
      ASSERT_LE(std::fabs(back - value), std::max(std::ldexp(std::fabs(value), -8), 0x1p-134F)) << value;
    }
  }
}

}  // namespace
}  // namespace rackproof
