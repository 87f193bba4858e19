// A GPU's device on the test doubles of CUDA and NVML: ctest puts their folder, RACKPROOF_FAKES, on LD_LIBRARY_PATH.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/cuda/measured_peaks.hpp"

namespace rackproof::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
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

}  // namespace
}  // namespace rackproof::cuda
