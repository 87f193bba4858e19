// The gemm suite: its cases, its options, and a whole case on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/core/error.hpp"
#include "common/core/float16.hpp"
#include "common/core/small_floats.hpp"
#include "suites/gemm/shapes.hpp"
#include "suites/gemm/workload.hpp"
#include "suites/suite.hpp"
#include "tests/fakes/one_rank.hpp"

namespace rackproof {

std::unique_ptr<Suite> make_gemm_suite();

namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

Options options_with(const std::string& types = "f64,f32,bf16,i8", const std::string& sizes = "profile") {
  Options options;
  options.values = {{"gemm-types", types}, {"gemm-sizes", sizes}, {"gemm-algorithms", "auto"}};
  return options;
}

std::string usage_of(const Options& options) {
  try {
    static_cast<void>(make_gemm_suite()->cases(options, {}));
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    return error.line();
  }
  return "";
}

/// A device that multiplies as the host does and then spoils the result.
class SpoilingDevice final : public Device {
 public:
  using Spoil = std::function<void(Device&, void*, std::size_t)>;
  SpoilingDevice(Device& real, std::size_t c_bytes, Spoil spoil)
      : real_(real), c_bytes_(c_bytes), spoil_(std::move(spoil)) {}
  std::string name() const override { return real_.name(); }
  std::string serial() const override { return ""; }
  std::string id() const override { return "spoiling:0"; }
  int threads() const override { return real_.threads(); }
  std::size_t memory_available() const override { return real_.memory_available(); }
  std::size_t cache_bytes() const override { return 1U << 16U; }
  bool supports(DataType type) const override { return real_.supports(type); }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override { return real_.allocate(bytes); }
  void copy_to_device(void* device, const void* host, std::size_t bytes) override {
    real_.copy_to_device(device, host, bytes);
  }
  void copy_to_host(void* host, const void* device, std::size_t bytes) override {
    real_.copy_to_host(host, device, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override { real_.copy(to, from, bytes); }
  std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override {
    return std::make_unique<SpoilingMatmul>(*this, real_.matmul(problem));
  }
  TokenKernels& token_kernels() override { return real_.token_kernels(); }
  void synchronize() override {}
  Peaks measure_peaks() override { return {}; }

 private:
  class SpoilingMatmul final : public Matmul {
   public:
    SpoilingMatmul(SpoilingDevice& device, std::unique_ptr<Matmul> real) : device_(device), real_(std::move(real)) {}
    std::size_t weight_bytes() const override { return real_->weight_bytes(); }
    void pack(const void* plain, void* packed) override { real_->pack(plain, packed); }
    void run(const void* a, const void* weights, void* c) override {
      const auto* const bytes = static_cast<const std::byte*>(c);
      const std::vector<std::byte> before(bytes, bytes + device_.c_bytes_);
      real_->run(a, weights, c);
      device_.before_ = before;
      device_.spoil_(device_, c, device_.c_bytes_);
    }
    std::string implementation() const override { return "spoiling"; }

   private:
    SpoilingDevice& device_;
    std::unique_ptr<Matmul> real_;
  };

  Device& real_;
  std::size_t c_bytes_;
  Spoil spoil_;

 public:
  std::vector<std::byte> before_;  ///< C as it was before the product
};

class GemmOnHost : public ::testing::Test {
 protected:
  GemmOnHost()
      : backends_(make_all_backends()), device_(choose_device_backend(backends_, "host").open_device({.threads = 1})) {}

  Verification verify_after(Device& device, const gemm::Product& product, int steps, std::uint64_t seed = 1) {
    Options options = options_with();
    options.seed = seed;
    const auto workload = gemm::make_workload(product, {device, collective_, platform_, options});
    EXPECT_FALSE(workload->is_collective());
    for (int i = 0; i < steps; ++i) {
      workload->prepare();
      workload->step();
    }
    return workload->verify();
  }

  /// The host, with a cache that a few sets overflow.
  SpoilingDevice sound() {
    return {*device_, 0, [](Device&, void*, std::size_t) {}};
  }

  std::vector<std::unique_ptr<Backend>> backends_;
  std::unique_ptr<Device> device_;
  OneRank collective_{*device_};
  Platform platform_;
};

TEST(GemmCases, names_are_unique_and_say_type_shape_and_layout) {
  for (const Profile profile : {Profile::quick, Profile::accept}) {
    Options options = options_with();
    options.profile = profile;
    const auto cases = make_gemm_suite()->cases(options, {});
    std::set<std::string> names;
    for (const Case& each : cases) names.insert(each.name);
    EXPECT_EQ(names.size(), cases.size());
    EXPECT_THAT(names, Contains("gemm/bf16/m2048n2048k2048/packed"));
    EXPECT_THAT(names, Contains("gemm/bf16/m1n32000k768/packed"));
    EXPECT_THAT(names, Contains("gemm/f64/m127n1000k333/plain"));
  }
}

TEST(GemmCases, accept_has_every_quick_case_and_the_shapes_of_a_large_model) {
  Options options = options_with();
  const auto quick = make_gemm_suite()->cases(options, {});
  options.profile = Profile::accept;
  std::set<std::string> accept;
  for (const Case& each : make_gemm_suite()->cases(options, {})) accept.insert(each.name);
  for (const Case& each : quick) EXPECT_THAT(accept, Contains(each.name));
  EXPECT_THAT(accept, Contains("gemm/bf16/m128n28672k4096/packed"));
  EXPECT_THAT(accept, Contains("gemm/f64/m4096n4096k4096/plain"));
}

TEST(GemmCases, count_two_flop_a_term_and_the_bytes_of_all_operands) {
  const auto cases = make_gemm_suite()->cases(options_with("bf16", "10x20x30"), {});
  ASSERT_THAT(cases, SizeIs(2));
  EXPECT_EQ(cases[0].work.flop, 12000.0);
  EXPECT_EQ(cases[0].work.bytes, 10 * 30 * 2 + 30 * 20 * 2 + 10 * 20 * 4);
  EXPECT_EQ(cases[0].figures.front().name, "tflops");
  EXPECT_EQ(cases[0].figures.front().amount, 12000.0 / 1e12);
}

TEST(GemmCases, share_of_the_peak_is_shown_where_a_device_is_known) {
  Platform platform;
  EXPECT_THAT(make_gemm_suite()->cases(options_with("f32", "64"), platform).front().figures, SizeIs(1));
  platform.known = true;
  platform.memory_available = 1U << 30U;
  platform.peaks.flops[DataType::f32] = 1e12;
  const auto cases = make_gemm_suite()->cases(options_with("f32,bf16", "64"), platform);
  ASSERT_THAT(cases[0].figures, SizeIs(2));
  EXPECT_EQ(cases[0].figures[1].name, "peak_share");
  // A step that takes flop / peak seconds has 100 %.
  EXPECT_DOUBLE_EQ(cases[0].figures[1].amount / (cases[0].work.flop / 1e12), 100.0);
  EXPECT_THAT(cases[0].skip_reason, IsEmpty());
  EXPECT_THAT(cases.back().skip_reason, HasSubstr("no bf16"));
}

TEST(GemmCases, that_do_not_fit_are_skipped_with_both_numbers) {
  Platform platform;
  platform.known = true;
  platform.memory_available = 1U << 20U;
  platform.peaks.flops[DataType::f32] = 1e12;
  const auto cases = make_gemm_suite()->cases(options_with("f32", "1024"), platform);
  EXPECT_EQ(cases.front().skip_reason, "needs 24 MiB of memory, there are 1 MiB");
}

TEST(GemmOptions, that_make_no_sense_are_told_in_one_line) {
  EXPECT_THAT(usage_of(options_with("f17")), AllOf(HasSubstr("--gemm-types"), HasSubstr("'f17'"), HasSubstr("bf16")));
  EXPECT_THAT(usage_of(options_with("f8e4m3")), HasSubstr("choose from f64, f32, tf32, f16, bf16, f8, f8-block"));
  EXPECT_THAT(usage_of(options_with("i32")), HasSubstr("not multiplied"));
  EXPECT_THAT(usage_of(options_with("")), HasSubstr("--gemm-types"));
  EXPECT_THAT(usage_of(options_with("f32,f32")), HasSubstr("twice"));
  EXPECT_THAT(usage_of(options_with("f32", "12x3")), HasSubstr("MxNxK"));
  EXPECT_THAT(usage_of(options_with("f32", "0")), HasSubstr("--gemm-sizes"));
  EXPECT_THAT(usage_of(options_with("f32", "5000000000")), HasSubstr("--gemm-sizes"));
  EXPECT_THAT(usage_of(options_with("f32", "64,64x64x64")), HasSubstr("twice"));
  EXPECT_THAT(usage_of(options_with("f32", "64,")), HasSubstr("--gemm-sizes"));
  Options options = options_with();
  options.values["gemm-algorithms"] = "heuristic,fastest";
  EXPECT_THAT(usage_of(options), HasSubstr("--gemm-algorithms: 'fastest' is neither heuristic nor tuned"));
}

std::set<std::string> names_on(const std::string& device, const Options& options) {
  Platform platform;
  platform.device = device;
  std::set<std::string> names;
  for (const Case& each : make_gemm_suite()->cases(options, platform)) names.insert(each.name);
  return names;
}

TEST(GemmCases, of_a_gpu_are_of_all_types_and_larger) {
  Options options = options_with("auto");
  const auto quick = names_on("cuda", options);
  for (const std::string type : {"f64", "f32", "tf32", "f16", "bf16", "f8", "f8-block", "mxf8", "nvf4", "i8"}) {
    EXPECT_THAT(quick, Contains("gemm/" + type + "/m8192n8192k8192/packed"));
  }
  EXPECT_THAT(quick, Contains("gemm/bf16/m2048n28672k4096/packed"));
  EXPECT_THAT(quick, Contains("gemm/bf16/m1n1280k8192/packed"));
  EXPECT_THAT(quick, Contains("gemm/bf16/m1999n2001k2003/plain"));
  EXPECT_THAT(quick, Contains("gemm/nvf4/m1996n2000k2016/packed"));
  EXPECT_THAT(quick, Not(Contains(HasSubstr("tuned"))));
  options.profile = Profile::accept;
  const auto accept = names_on("cuda", options);
  for (const std::string& name : quick) EXPECT_THAT(accept, Contains(name));
  EXPECT_THAT(accept, Contains("gemm/mxf8/m16384n16384k16384/packed/tuned"));
  EXPECT_THAT(accept, Contains("gemm/f8/m2048n7168k8192/packed"));
  EXPECT_EQ(names_on("host", options_with("auto")), names_on("host", options_with("f64,f32,bf16,i8")));
}

TEST(GemmCases, that_the_host_lacks_are_skipped_where_they_are_asked_for) {
  Platform platform;
  platform.known = true;
  platform.memory_available = 1U << 30U;
  platform.peaks.flops = {{DataType::f32, 1e12}, {DataType::f8e4m3, 1e12}};
  Options options = options_with("f16,f8-block,f32", "64");
  options.values["gemm-algorithms"] = "tuned";
  const auto cases = make_gemm_suite()->cases(options, platform);
  EXPECT_EQ(cases.front().skip_reason, "this device multiplies no f16");
  EXPECT_EQ(cases[2].skip_reason, "this device multiplies no f8-block");
  EXPECT_THAT(cases.back().skip_reason, HasSubstr("one algorithm"));
  platform.device = "cuda";
  for (const Case& each : make_gemm_suite()->cases(options, platform)) EXPECT_THAT(each.skip_reason, IsEmpty());
}

TEST(GemmCases, of_narrow_types_count_their_elements_and_scales) {
  const auto cases = make_gemm_suite()->cases(options_with("f8,f8-block,mxf8,nvf4", "128x256x512"), {});
  ASSERT_THAT(cases, SizeIs(4));
  const double elements = 128.0 * 512.0 + 512.0 * 256.0;
  const double c = 128.0 * 256.0 * 4.0;
  EXPECT_EQ(cases[0].work.bytes, elements + 2 * 4 + c);
  EXPECT_EQ(cases[1].work.bytes, elements + (128 * 4 + 2 * 4) * 4 + c);
  EXPECT_EQ(cases[2].work.bytes, elements + elements / 32 + c);
  EXPECT_EQ(cases[3].work.bytes, elements / 2 + elements / 16 + c);
  for (const Case& each : cases) EXPECT_EQ(each.work.flop, 2.0 * 128 * 256 * 512);
}

/// A device whose products are sums in f64, rounded once: for every type, and slow.
class ReferenceDevice final : public Device {
 public:
  explicit ReferenceDevice(Device& memory) : memory_(memory) {}
  std::string name() const override { return "reference"; }
  std::string serial() const override { return ""; }
  std::string id() const override { return "reference:0"; }
  int threads() const override { return 1; }
  std::size_t memory_available() const override { return memory_.memory_available(); }
  std::size_t cache_bytes() const override { return 1U << 16U; }
  bool supports(DataType) const override { return true; }
  std::unique_ptr<Buffer> allocate(std::size_t bytes) override { return memory_.allocate(bytes); }
  void copy_to_device(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  std::unique_ptr<Matmul> matmul(const MatmulProblem& problem) override {
    return std::make_unique<ReferenceMatmul>(*this, problem);
  }
  TokenKernels& token_kernels() override { return memory_.token_kernels(); }
  void synchronize() override {}
  Peaks measure_peaks() override { return {}; }

  std::function<void(float*)> spoil = [](float*) {};
  std::vector<std::size_t> chosen;  ///< algorithms, as they were asked for

 private:
  class ReferenceMatmul final : public Matmul {
   public:
    ReferenceMatmul(ReferenceDevice& device, const MatmulProblem& problem) : device_(device), problem_(problem) {}
    std::size_t weight_bytes() const override { return static_cast<std::size_t>(problem_.k * problem_.n * 4); }
    std::size_t input_bytes() const override { return 64; }
    void pack(const void* plain, void* packed) override {
      std::memcpy(packed, plain, bytes_of(static_cast<std::size_t>(problem_.k * problem_.n), problem_.input));
    }
    void pack_input(const Quantised& a, void*) override { a_ = a; }
    void pack_weights(const Quantised& b, void*) override { b_ = b; }
    void run(const void* a, const void* weights, void* c) override {
      auto* const out = static_cast<float*>(c);
      for (std::int64_t i = 0; i < problem_.m; ++i) {
        for (std::int64_t j = 0; j < problem_.n; ++j) {
          double sum = 0.0;
          for (std::int64_t l = 0; l < problem_.k; ++l) {
            sum += problem_.scaling == Scaling::none
                       ? element(a, i * problem_.k + l) * element(weights, l * problem_.n + j)
                       : a_.value(i, l) * b_.value(j, l);
          }
          out[i * problem_.n + j] = static_cast<float>(sum);
        }
      }
      device_.spoil(out);
    }
    std::size_t algorithms() const override { return 3; }
    void choose(std::size_t algorithm) override { device_.chosen.push_back(algorithm); }
    std::string implementation() const override { return "sums in f64"; }

   private:
    double element(const void* data, std::int64_t at) const {
      if (problem_.input == DataType::f16) return from_f16(static_cast<const Half*>(data)[at]);
      const float value = static_cast<const float*>(data)[at];
      if (problem_.input == DataType::tf32) {
        EXPECT_EQ(value, to_tf32(value));
      }
      return value;
    }
    ReferenceDevice& device_;
    MatmulProblem problem_;
    Quantised a_;
    Quantised b_;
  };
  Device& memory_;
};

TEST_F(GemmOnHost, types_of_gpus_pass_their_check_and_one_wrong_element_fails) {
  ReferenceDevice device(*device_);
  for (const auto& product : gemm::products_of({{16, 48, 160}}, gemm::parse_types("tf32,f16,f8,f8-block,mxf8,nvf4"))) {
    if (product.layout == WeightLayout::plain && product.type != DataType::f16 && product.type != DataType::tf32)
      continue;
    device.spoil = [](float*) {};
    const Verification sound = verify_after(device, product, 2);
    EXPECT_EQ(sound.outcome, Verification::Outcome::passed) << gemm::case_name(product) << " " << sound.detail;
    EXPECT_LT(sound.error, 0.5) << gemm::case_name(product);
    // A hundredth of a typical element.
    device.spoil = [](float* c) { c[7 * 48 + 30] += 0.12F; };
    const Verification spoilt = verify_after(device, product, 2);
    EXPECT_EQ(spoilt.outcome, Verification::Outcome::failed) << gemm::case_name(product);
    EXPECT_THAT(spoilt.detail, StartsWith("row 7 of C is wrong"));
    device.spoil = [](float* c) { c[5] = std::numeric_limits<float>::quiet_NaN(); };
    EXPECT_EQ(verify_after(device, product, 2).outcome, Verification::Outcome::failed) << gemm::case_name(product);
  }
}

TEST_F(GemmOnHost, a_tuned_product_tries_every_algorithm_and_takes_one) {
  ReferenceDevice device(*device_);
  gemm::Product product{DataType::f32, {8, 8, 8}, WeightLayout::plain, 8};
  EXPECT_EQ(verify_after(device, product, 1).outcome, Verification::Outcome::passed);
  EXPECT_THAT(device.chosen, IsEmpty());
  product.tuned = true;
  EXPECT_EQ(verify_after(device, product, 1).outcome, Verification::Outcome::passed);
  ASSERT_THAT(device.chosen, SizeIs(4));
  EXPECT_EQ(std::vector<std::size_t>(device.chosen.begin(), device.chosen.end() - 1),
            (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_LT(device.chosen.back(), 3U);
}

TEST(GemmSets, span_twice_the_cache_within_a_quarter_of_the_memory) {
  EXPECT_EQ(gemm::count_sets(100, false, 1000, 1000000), 1U);
  EXPECT_EQ(gemm::count_sets(100, true, 1000, 1000000), 20U);
  EXPECT_EQ(gemm::count_sets(300, true, 1000, 1000000), 7U);
  EXPECT_EQ(gemm::count_sets(5000, true, 1000, 1000000), 2U);
  EXPECT_EQ(gemm::count_sets(100, true, 1000, 4000), 10U);
  EXPECT_EQ(gemm::count_sets(5000, true, 1000, 4000), 1U);
}

TEST_F(GemmOnHost, every_type_and_layout_passes_its_check_hot_or_rotating) {
  SpoilingDevice device = sound();
  for (const auto& product : gemm::products_of({{64, 96, 80}, {1, 200, 100}}, gemm::parse_types("f64,f32,bf16,i8"))) {
    if (!device_->supports(product.type)) continue;
    const Verification result = verify_after(device, product, 3);
    EXPECT_EQ(result.outcome, Verification::Outcome::passed) << gemm::case_name(product) << " " << result.detail;
    EXPECT_LT(result.error, 0.7) << gemm::case_name(product);
    EXPECT_TRUE(result.digest_is_shared);
  }
}

TEST_F(GemmOnHost, digest_is_that_of_the_result_and_so_of_the_seed) {
  SpoilingDevice device = sound();
  const gemm::Product product{DataType::f32, {64, 64, 64}, WeightLayout::packed, 64};
  const Verification first = verify_after(device, product, 1, 1);
  EXPECT_EQ(verify_after(device, product, 3, 1).digest, first.digest);
  EXPECT_NE(verify_after(device, product, 1, 2).digest, first.digest);
  EXPECT_NE(first.digest, 0U);
}

TEST_F(GemmOnHost, a_product_that_never_ran_fails) {
  SpoilingDevice device = sound();
  for (const DataType type : {DataType::f64, DataType::f32, DataType::i8}) {
    const gemm::Product product{type, {32, 32, 32}, WeightLayout::plain, 32};
    EXPECT_EQ(verify_after(device, product, 0).outcome, Verification::Outcome::failed) << name(type);
  }
}

TEST_F(GemmOnHost, a_last_step_that_writes_nothing_fails_even_if_an_earlier_one_was_right) {
  for (const DataType type : {DataType::f64, DataType::f32, DataType::i8}) {
    const gemm::Product product{type, {32, 32, 32}, WeightLayout::plain, 32};
    const std::size_t bytes = 32 * 32 * size_of(gemm::output_type(type));
    int step = 0;
    SpoilingDevice* self = nullptr;
    SpoilingDevice device(*device_, bytes, [&](Device&, void* c, std::size_t size) {
      if (++step == 40) std::memcpy(c, self->before_.data(), size);
    });
    self = &device;
    EXPECT_EQ(verify_after(device, product, 39).outcome, Verification::Outcome::passed) << name(type);
    step = 0;
    EXPECT_EQ(verify_after(device, product, 40).outcome, Verification::Outcome::failed) << name(type);
  }
}

TEST_F(GemmOnHost, one_wrong_element_fails_and_its_row_is_named) {
  const gemm::Product product{DataType::f32, {128, 96, 64}, WeightLayout::plain, 128};
  SpoilingDevice device(*device_, 128 * 96 * 4, [](Device&, void* c, std::size_t) {
    // One step of bf16.
    static_cast<float*>(c)[77 * 96 + 5] *= 1.0F + 0x1p-8F;
    static_cast<float*>(c)[77 * 96 + 5] += 0x1p-8F;
  });
  const Verification result = verify_after(device, product, 2);
  EXPECT_EQ(result.outcome, Verification::Outcome::failed);
  EXPECT_THAT(result.detail, StartsWith("row 77 of C is wrong"));
  SpoilingDevice healthy = sound();
  EXPECT_NE(result.digest, verify_after(healthy, product, 2).digest);
}

TEST_F(GemmOnHost, nan_and_infinity_fail) {
  const gemm::Product product{DataType::f32, {16, 16, 16}, WeightLayout::plain, 16};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    SpoilingDevice device(*device_, 16 * 16 * 4,
                          [bad](Device&, void* c, std::size_t) { static_cast<float*>(c)[3] = bad; });
    EXPECT_EQ(verify_after(device, product, 1).outcome, Verification::Outcome::failed) << bad;
  }
}

}  // namespace
}  // namespace rackproof
