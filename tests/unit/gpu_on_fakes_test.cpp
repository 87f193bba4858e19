// A GPU's device on the test doubles of CUDA and NVML: ctest puts their folder, RACKPROOF_FAKES, on LD_LIBRARY_PATH.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

#include "common/backends/cuda/cublaslt.hpp"
#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/cuda/measured_peaks.hpp"

namespace rackproof::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t mebi = std::size_t{1} << 20U;

class GpuOnFakes : public ::testing::Test {
 protected:
  GpuOnFakes() {
    // Read by the doubles when they are first called.
    ::setenv("RACKPROOF_FAKE_GPUS", "2xH100", 0);
    ::setenv("RACKPROOF_FAKE_MEMORY", "256MiB", 0);
  }
  static CudaDevice open(int local_rank = 1) {
    return CudaDevice({.local_rank = local_rank, .ranks_on_node = 2, .threads = 1});
  }
};

std::vector<std::uint32_t> numbers(std::size_t bytes, std::uint32_t first) {
  std::vector<std::uint32_t> values(bytes / sizeof(std::uint32_t));
  std::iota(values.begin(), values.end(), first);
  return values;
}

TEST_F(GpuOnFakes, knows_who_it_is) {
  const CudaDevice device = open();
  EXPECT_EQ(device.id(), "cuda:1");
  EXPECT_TRUE(device.is_fake());
  EXPECT_THAT(device.name(), HasSubstr("H100"));
  EXPECT_EQ(device.capability(), 90);
  const auto facts = device.facts();
  for (const char* name : {"uuid", "pci_bus_id", "driver", "cuda_driver", "cuda_runtime", "serial"}) {
    ASSERT_TRUE(facts.contains(name)) << name;
    EXPECT_FALSE(facts.at(name).empty()) << name;
  }
  EXPECT_EQ(device.serial(), facts.at("serial"));
  EXPECT_NE(open(0).facts().at("uuid"), facts.at("uuid"));
  EXPECT_THAT(device.place().device,
              AllOf(StartsWith("cuda:1 GPU-"), HasSubstr(facts.at("uuid")), HasSubstr(facts.at("serial"))));
  EXPECT_TRUE(device.supports(DataType::f8e4m3));
  EXPECT_FALSE(device.supports(DataType::f4e2m1));
}

TEST_F(GpuOnFakes, copies_of_any_size_come_back_as_they_went) {
  CudaDevice device = open();
  for (const std::size_t bytes : {std::size_t{4}, mebi, 4 * mebi, 33 * mebi + 4, 48 * mebi}) {
    const auto there = device.allocate(bytes);
    const auto also_there = device.allocate(bytes);
    const auto sent = numbers(bytes, 7);
    auto received = numbers(bytes, 0);
    device.copy_to_device(there->data(), sent.data(), bytes);
    device.copy(also_there->data(), there->data(), bytes);
    device.copy_to_host(received.data(), also_there->data(), bytes);
    EXPECT_TRUE(received == sent) << bytes;
  }
}

TEST_F(GpuOnFakes, host_memory_may_be_used_again_when_a_copy_returns) {
  CudaDevice device = open();
  constexpr std::size_t bytes = 20 * mebi;
  const auto there = device.allocate(bytes);
  auto values = numbers(bytes, 1);
  device.copy_to_device(there->data(), values.data(), bytes);
  std::fill(values.begin(), values.end(), 0);
  device.copy_to_host(values.data(), there->data(), bytes);
  EXPECT_TRUE(values == numbers(bytes, 1));
}

TEST_F(GpuOnFakes, what_was_recorded_is_done_at_each_replay_and_not_before) {
  CudaDevice device = open();
  constexpr std::size_t bytes = 4096;
  const auto from = device.allocate(bytes);
  const auto to = device.allocate(bytes);
  auto seen = numbers(bytes, 0);
  device.copy_to_device(to->data(), numbers(bytes, 5).data(), bytes);
  const auto recording = device.record([&] { device.copy(to->data(), from->data(), bytes); });
  device.copy_to_host(seen.data(), to->data(), bytes);
  EXPECT_TRUE(seen == numbers(bytes, 5));
  for (const std::uint32_t first : {100U, 200U}) {
    device.copy_to_device(from->data(), numbers(bytes, first).data(), bytes);
    recording->replay();
    device.copy_to_host(seen.data(), to->data(), bytes);
    EXPECT_TRUE(seen == numbers(bytes, first));
  }
}

TEST_F(GpuOnFakes, work_that_throws_while_it_is_recorded_leaves_a_device_that_works) {
  CudaDevice device = open();
  constexpr std::size_t bytes = 4096;
  const auto there = device.allocate(bytes);
  const auto also_there = device.allocate(bytes);
  EXPECT_THROW(static_cast<void>(device.record([&] {
                 device.copy(also_there->data(), there->data(), bytes);
                 throw std::runtime_error("no");
               })),
               std::runtime_error);
  auto seen = numbers(bytes, 0);
  device.copy_to_device(there->data(), numbers(bytes, 9).data(), bytes);
  device.copy_to_host(seen.data(), there->data(), bytes);
  EXPECT_TRUE(seen == numbers(bytes, 9));
  EXPECT_TRUE(device.is_usable());
}

TEST_F(GpuOnFakes, the_timer_tells_the_time_between_its_marks) {
  CudaDevice device = open();
  const auto from = device.allocate(mebi);
  const auto to = device.allocate(mebi);
  const auto timer = device.make_timer();
  ASSERT_NE(timer, nullptr);
  timer->begin();
  device.copy(to->data(), from->data(), mebi);
  timer->end();
  const double seconds = timer->seconds();
  EXPECT_TRUE(std::isfinite(seconds));
  EXPECT_GE(seconds, 0.0);
}

TEST_F(GpuOnFakes, too_much_memory_is_refused_with_both_numbers_and_the_device_goes_on) {
  CudaDevice device = open();
  EXPECT_LT(device.memory_available(), 256 * mebi);
  try {
    static_cast<void>(device.allocate(1024 * mebi));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::infrastructure);
    EXPECT_THAT(error.line(), AllOf(HasSubstr("1 GiB"), HasSubstr("256 MiB are free"), HasSubstr("GPU-"),
                                    HasSubstr("serial"), HasSubstr("host ")));
  }
  EXPECT_TRUE(device.is_usable());
  EXPECT_NE(device.allocate(mebi)->data(), nullptr);
}

TEST_F(GpuOnFakes, peaks_of_a_gpu_without_a_data_sheet_are_measured_by_its_own_products_and_copies) {
  CudaDevice device = open();
  // Little memory makes for small products.
  const auto taken = device.allocate(device.memory_available() - 76 * mebi);
  const Peaks peaks = measure_gpu_peaks(device);
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16, DataType::f16, DataType::i8}) {
    ASSERT_TRUE(peaks.flops.contains(type)) << name(type);
    EXPECT_GT(peaks.flops.at(type), 0.0) << name(type);
  }
  EXPECT_GT(peaks.memory_bandwidth, 0.0);
  EXPECT_THAT(peaks.source, AllOf(HasSubstr("measured"), HasSubstr("512^3")));
}

TEST_F(GpuOnFakes, the_driver_tells_what_it_feels) {
  CudaDevice device = open();
  const auto source = device.telemetry();
  ASSERT_NE(source, nullptr);
  const auto quantities = source->quantities();
  std::vector<float> values(quantities.size(), std::nanf(""));
  source->read(values);
  for (std::size_t i = 0; i < quantities.size(); ++i) {
    if (quantities[i].name == "power" || quantities[i].name == "clock" || quantities[i].name == "temperature") {
      EXPECT_GT(values[i], 0.0F) << quantities[i].name;
    }
    if (quantities[i].kind == TelemetryQuantity::Kind::bits) {
      EXPECT_EQ(quantities[i].bits.size(), 9U);
    }
  }
}

/// In a process of its own, which leaves without the checks of the doubles: what was waited for in vain is not freed.
void end_a_wait(bool of_a_copy) {
  CudaDevice device({.local_rank = 0, .ranks_on_node = 1, .threads = 1});
  const auto there = device.allocate(64 * mebi);
  const auto also_there = device.allocate(64 * mebi);
  device.while_waiting([](double /*seconds*/) { throw std::runtime_error("enough"); });
  bool ended = false;
  for (int i = 0; i < 1000 && !ended; ++i) {
    device.copy(also_there->data(), there->data(), 64 * mebi);
    try {
      // May find nothing left to wait for.
      std::uint32_t number = 0;
      if (of_a_copy) {
        device.copy_to_host(&number, there->data(), sizeof(number));
      } else {
        device.synchronize();
      }
    } catch (const std::runtime_error&) {
      ended = true;
    }
  }
  std::_Exit(ended && !device.is_usable() ? 0 : 1);
}

TEST_F(GpuOnFakes, what_waits_for_it_can_be_ended_and_then_it_is_not_used_again) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(end_a_wait(false), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(end_a_wait(true), ::testing::ExitedWithCode(0), "");
}

/// In a process of its own, for faults are read once.
void meet_an_ecc_error() {
  ::setenv("RACKPROOF_FAKE_FAULTS", "ecc@call=30", 1);
  int code = 1;
  {
    CudaDevice device({.local_rank = 0, .ranks_on_node = 1, .threads = 1});
    const auto there = device.allocate(mebi);
    const auto also_there = device.allocate(mebi);
    try {
      for (int i = 0; i < 100; ++i) {
        device.copy(also_there->data(), there->data(), mebi);
        device.synchronize();
      }
    } catch (const Error& error) {
      std::fputs((error.line() + "\n").c_str(), stderr);
      code = device.is_usable() ? 2 : static_cast<int>(error.exit_code());
    }
  }
  std::exit(code);
}

TEST_F(GpuOnFakes, an_uncorrectable_error_names_the_gpu_and_its_destructors_stay_quiet) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(meet_an_ecc_error(), ::testing::ExitedWithCode(75),
              "uncorrectable.*host .*device cuda:0 GPU-[0-9a-f-]+ serial [0-9]+\\]\n$");
}

/// What a call throws on a GPU with such a fault, in a process of its own: faults are read once. Ends with the error's
/// exit code, or 100 where the device may still be used.
template <typename Action>
void meet(const char* fault, Action action) {
  ::setenv("RACKPROOF_FAKE_FAULTS", fault, 1);
  int code = 1;
  try {
    CudaDevice device({.local_rank = 0, .ranks_on_node = 1, .threads = 1, .hang_timeout = 0.5});
    try {
      action(device);
    } catch (const Error& error) {
      std::fputs((error.line() + "\n").c_str(), stderr);
      code = device.is_usable() ? 100 : static_cast<int>(error.exit_code());
    }
  } catch (const Error& error) {
    std::fputs((error.line() + "\n").c_str(), stderr);
    code = static_cast<int>(error.exit_code());
  }
  std::exit(code);
}

/// f32, 64^3.
void multiply(CudaDevice& device, int times, bool waits = true) {
  constexpr std::size_t bytes = 64 * 64 * sizeof(float);
  const auto a = device.allocate(bytes);
  const auto b = device.allocate(bytes);
  const auto c = device.allocate(bytes);
  const std::vector<float> ones(64 * 64, 1.0F);
  device.copy_to_device(a->data(), ones.data(), bytes);
  device.copy_to_device(b->data(), ones.data(), bytes);
  const auto plan = device.matmul({.m = 64, .n = 64, .k = 64});
  for (int i = 0; i < times; ++i) plan->run(a->data(), b->data(), c->data());
  if (waits) device.synchronize();
}

TEST_F(GpuOnFakes, memory_that_is_freed_under_work_that_hangs_is_left_alone) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto free_and_wait = [](CudaDevice& device) {
    multiply(device, 3, false);
    device.synchronize();
  };
  EXPECT_EXIT(meet("hang@gemm=2", free_and_wait), ::testing::ExitedWithCode(75), "was not done after");
}

TEST_F(GpuOnFakes, work_that_hangs_is_given_up_and_nothing_waits_for_it_any_more) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  // cublasLtDestroy and cudaFree of this GPU would never return.
  EXPECT_EXIT(meet("hang@gemm=2", [](CudaDevice& device) { multiply(device, 3); }), ::testing::ExitedWithCode(75),
              "was not done after .*--hang-timeout.*host .*device cuda:0 GPU-[0-9a-f-]+ serial [0-9]+\\]\n$");
}

TEST_F(GpuOnFakes, a_product_on_a_gpu_that_died_tells_what_killed_it_and_not_what_the_library_makes_of_it) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(meet("ecc@call=60", [](CudaDevice& device) { multiply(device, 1000); }), ::testing::ExitedWithCode(75),
              "uncorrectable ECC.*drain.*cublasLtMatmul: 214");
}

TEST_F(GpuOnFakes, a_wrong_call_of_the_library_is_our_defect_and_no_reason_to_drain_a_gpu) {
  CudaDevice device = open();
  const CublasLt library(device);
  for (const auto status : {CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_NOT_SUPPORTED}) {
    try {
      library.check(status, "cublasLtMatmul");
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::internal);
      EXPECT_THAT(error.line(), AllOf(HasSubstr("please report"), Not(HasSubstr("drain"))));
    }
  }
  EXPECT_TRUE(device.is_usable());
}

TEST_F(GpuOnFakes, a_kernel_that_went_astray_is_no_reason_to_queue_again) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(meet("illegal_address@call=60", [](CudaDevice& device) { multiply(device, 1000); }),
              ::testing::ExitedWithCode(1), "illegal memory access.*went astray.*please report");
}

TEST_F(GpuOnFakes, a_build_without_code_for_the_gpu_is_found_when_it_is_opened) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(meet("no_kernel_image", [](CudaDevice&) {}), ::testing::ExitedWithCode(2),
              "code for the architectures [0-9]+.* none for NVIDIA H100.*9\\.0.*RACKPROOF_CUDA_ARCHITECTURES=90");
}

TEST_F(GpuOnFakes, a_fabric_that_is_not_up_is_told_with_what_starts_it) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(meet("system_not_ready", [](CudaDevice&) {}), ::testing::ExitedWithCode(75),
              "not yet initialized.*nvidia-fabricmanager.*cudaGetDeviceCount: 802.*host ");
}

TEST_F(GpuOnFakes, a_driver_older_than_the_runtime_is_told_with_both_versions) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto with_old_driver = [] {
    ::setenv("RACKPROOF_FAKE_DRIVER", "11.4", 1);
    meet("", [](CudaDevice&) {});
  };
  EXPECT_EXIT(with_old_driver(), ::testing::ExitedWithCode(2),
              "driver is for CUDA 11\\.4, older than the CUDA 1[0-9]\\.[0-9].*install a newer driver.*: 35\\)");
}

TEST_F(GpuOnFakes, a_chip_that_is_too_old_is_told_with_what_is_needed) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const auto on_an_old_chip = [] {
    ::setenv("RACKPROOF_FAKE_GPUS", "1xV100", 1);
    if (count_devices() != 0) std::exit(100);
    meet("", [](CudaDevice&) {});
  };
  EXPECT_EXIT(on_an_old_chip(), ::testing::ExitedWithCode(2), "V100.*compute capability 7\\.0.*needs 8\\.0 or later");
}

}  // namespace
}  // namespace rackproof::cuda
