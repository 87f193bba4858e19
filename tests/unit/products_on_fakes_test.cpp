// Products of every type on the test doubles of CUDA and cuBLASLt, checked as the gemm suite checks them: ctest puts
// their folder, RACKPROOF_FAKES, on LD_LIBRARY_PATH. The doubles read which GPU they are once, so each test wants a
// process of its own, which ctest gives it.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/cuda/cuda_device.hpp"
#include "suites/gemm/shapes.hpp"
#include "suites/gemm/workload.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/one_rank.hpp"

namespace rackproof::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// Where open() fails.
constexpr const char* own_process =
    "each test needs a process of its own, as ctest gives it, and no RACKPROOF_FAKE_GPUS";

class ProductsOnFakes : public ::testing::Test {
 protected:
  /// False where this process already has GPUs of another kind.
  bool open(const char* kind) {
    ::setenv("RACKPROOF_FAKE_GPUS", (std::string("1x") + kind).c_str(), 0);
    ::setenv("RACKPROOF_FAKE_MEMORY", "256MiB", 0);
    device_ = std::make_unique<CudaDevice>(DeviceRequest{.local_rank = 0, .ranks_on_node = 1, .threads = 1});
    collective_ = std::make_unique<OneRank>(*device_);
    return device_->name().find(kind) != std::string::npos;
  }

  void expect_sound(const std::string& types, const std::vector<gemm::Shape>& shapes, bool tuned = false) {
    Options options;
    options.cold_buffers = false;
    const Platform platform;
    for (gemm::Product product : gemm::products_of(shapes, gemm::parse_types(types))) {
      product.tuned = tuned;
      const std::string name = gemm::case_name(product);
      const std::string reason = device_->refuses(gemm::problem_of(product));
      if (product.type == DataType::i8 && product.layout == WeightLayout::plain) {
        EXPECT_THAT(reason, HasSubstr("K-major")) << name;
        continue;
      }
      ASSERT_THAT(reason, IsEmpty()) << name;
      const auto workload = gemm::make_workload(product, {*device_, *collective_, platform, options});
      for (int step = 0; step < 2; ++step) {
        workload->prepare();
        workload->step();
        workload->finish();
      }
      const Verification result = workload->verify();
      EXPECT_EQ(result.outcome, Verification::Outcome::passed) << name << ": " << result.detail;
      EXPECT_LT(result.error, 0.7) << name;
      EXPECT_THAT(workload->implementation(), AllOf(StartsWith("cuBLASLt "), HasSubstr("algorithm "))) << name;
    }
  }

  [[nodiscard]] std::string refusal(const std::string& type, const gemm::Shape& shape = {64, 64, 128}) const {
    return device_->refuses(gemm::problem_of(gemm::products_of({shape}, gemm::parse_types(type)).back()));
  }

  std::unique_ptr<CudaDevice> device_;
  std::unique_ptr<OneRank> collective_;
};

TEST_F(ProductsOnFakes, of_hopper_are_right_in_every_type_and_layout) {
  ASSERT_TRUE(open("H100")) << own_process;
  expect_sound("f64,f32,tf32,f16,bf16", {{64, 64, 64}, {33, 35, 37}, {1, 200, 100}});
  expect_sound("f8", {{64, 64, 128}, {1, 48, 80}, {130, 272, 304}});
  expect_sound("f8-block", {{64, 64, 128}, {132, 272, 304}});
  expect_sound("i8", {{64, 64, 64}, {33, 36, 44}});
}

TEST_F(ProductsOnFakes, of_blackwell_are_right_in_the_types_that_hopper_lacks) {
  ASSERT_TRUE(open("B200")) << own_process;
  expect_sound("f8,mxf8,nvf4", {{64, 64, 128}, {1, 48, 96}, {130, 272, 352}});
  EXPECT_THAT(refusal("f8-block"), HasSubstr("Hopper"));
}

TEST_F(ProductsOnFakes, of_types_that_the_chip_lacks_are_refused_with_the_reason) {
  ASSERT_TRUE(open("H100")) << own_process;
  EXPECT_THAT(refusal("mxf8"), HasSubstr("compute capability 10.0; this one has 9.0"));
  EXPECT_THAT(refusal("nvf4"), HasSubstr("f4e2m1 needs"));
  EXPECT_THAT(refusal("f8-block", {1, 64, 128}), HasSubstr("m in multiples of 4"));
  EXPECT_THAT(refusal("i8", {64, 63, 64}), HasSubstr("n in multiples of 4"));
  try {
    (void)device_->matmul(gemm::problem_of(gemm::products_of({{64, 64, 64}}, gemm::parse_types("nvf4")).front()));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_THAT(error.line(), HasSubstr("m = 64, n = 64, k = 64"));
  }
}

TEST_F(ProductsOnFakes, of_ampere_have_no_f8) {
  ASSERT_TRUE(open("A100")) << own_process;
  EXPECT_THAT(refusal("f8"), HasSubstr("8.9"));
  expect_sound("bf16,i8", {{32, 32, 32}});
}

TEST_F(ProductsOnFakes, can_be_tuned) {
  ASSERT_TRUE(open("B200")) << own_process;
  expect_sound("f32,nvf4", {{64, 64, 128}}, true);
}

TEST_F(ProductsOnFakes, take_weights_that_are_given_transposed) {
  ASSERT_TRUE(open("H100")) << own_process;
  MatmulProblem problem;
  problem.m = 2;
  problem.n = 3;
  problem.k = 4;
  problem.transposed_weights = true;
  const std::vector<float> a{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> b{1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1};  // B^T
  std::vector<float> c(6);
  const auto plan = device_->matmul(problem);
  const auto there_a = device_->allocate(a.size() * sizeof(float));
  const auto there_b = device_->allocate(b.size() * sizeof(float));
  const auto packed = device_->allocate(plan->weight_bytes());
  const auto there_c = device_->allocate(c.size() * sizeof(float));
  device_->copy_to_device(there_a->data(), a.data(), a.size() * sizeof(float));
  device_->copy_to_device(there_b->data(), b.data(), b.size() * sizeof(float));
  plan->pack(there_b->data(), packed->data());
  plan->run(there_a->data(), packed->data(), there_c->data());
  device_->copy_to_host(c.data(), there_c->data(), c.size() * sizeof(float));
  EXPECT_EQ(c, (std::vector<float>{1, 2, 10, 5, 6, 26}));
}

}  // namespace
}  // namespace rackproof::cuda
