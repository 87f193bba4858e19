// What of a GPU's device needs no GPU.
#include "common/backends/cuda/cuda_device.hpp"

#include <gmock/gmock.h>

#include "common/backends/cuda/data_sheet.hpp"
#include "common/backends/cuda/nvml_telemetry.hpp"

namespace rackproof::cuda {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

DeviceRequest rank_of(int local_rank, int ranks_on_node) {
  return {.local_rank = local_rank, .ranks_on_node = ranks_on_node, .threads = 1};
}

TEST(ChooseDevice, goes_by_local_rank_where_all_gpus_are_visible) {
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(choose_device(8, rank_of(rank, 8)), rank);
  }
}

TEST(ChooseDevice, takes_one_of_its_own_where_each_rank_sees_its_own) {
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(choose_device(1, rank_of(rank, 4)), 0);  // one a rank
    EXPECT_LT(choose_device(2, rank_of(rank, 4)), 2);  // srun --gpus-per-task=2
    EXPECT_GE(choose_device(2, rank_of(rank, 4)), 0);
  }
}

TEST(Computes, small_types_from_the_capability_on_that_has_them) {
  EXPECT_FALSE(computes(80, DataType::f8e4m3));
  EXPECT_FALSE(computes(86, DataType::f8e5m2));
  EXPECT_TRUE(computes(89, DataType::f8e4m3));
  EXPECT_TRUE(computes(90, DataType::f8e5m2));
  EXPECT_FALSE(computes(90, DataType::f4e2m1));
  for (const int blackwell : {100, 103, 120}) EXPECT_TRUE(computes(blackwell, DataType::f4e2m1));
  for (const DataType type : {DataType::f64, DataType::f32, DataType::tf32, DataType::bf16, DataType::i8}) {
    EXPECT_TRUE(computes(80, type));
  }
}

TEST(DataSheet, tells_parts_apart_whose_names_hold_each_other) {
  const auto bandwidth = [](const char* name) {
    const auto peaks = data_sheet_peaks(name);
    return peaks ? peaks->memory_bandwidth : 0.0;
  };
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA H100 80GB HBM3"), 3.35e12);
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA H100 PCIe"), 2.0e12);
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA H200"), 4.8e12);
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA GH200 480GB"), 4.0e12);
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA GH200 144G HBM3e"), 4.8e12);
  EXPECT_DOUBLE_EQ(bandwidth("NVIDIA A100-SXM4-80GB"), 2.039e12);
  EXPECT_EQ(data_sheet_peaks("NVIDIA B200")->flops.at(DataType::bf16), 2250e12);
  EXPECT_EQ(data_sheet_peaks("NVIDIA GB200")->flops.at(DataType::bf16), 2500e12);
  EXPECT_EQ(data_sheet_peaks("NVIDIA GB300")->flops.at(DataType::f8e4m3), 5000e12);
}

TEST(DataSheet, knows_nothing_of_other_parts_nor_of_slices) {
  for (const char* name : {"NVIDIA H100 NVL", "NVIDIA H200 NVL", "NVIDIA A100-SXM4-40GB", "NVIDIA A100 80GB PCIe",
                           "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA RTX 6000 Ada Generation", ""}) {
    EXPECT_FALSE(data_sheet_peaks(name).has_value()) << name;
  }
}

TEST(DataSheet, leaves_out_what_the_sources_do_not_tell_and_names_them) {
  const Peaks h100 = *data_sheet_peaks("NVIDIA H100 80GB HBM3");
  EXPECT_FALSE(h100.flops.contains(DataType::f4e2m1));
  EXPECT_EQ(h100.flops.at(DataType::f64), 67e12);
  EXPECT_EQ(h100.flops.at(DataType::f16), h100.flops.at(DataType::bf16));
  EXPECT_FALSE(data_sheet_peaks("NVIDIA B200")->flops.contains(DataType::f64));
  EXPECT_FALSE(data_sheet_peaks("NVIDIA B300 SXM6 AC")->flops.contains(DataType::i8));
  EXPECT_THAT(h100.source, AllOf(HasSubstr("H100 SXM"), HasSubstr("ml-engineering")));
}

TEST(ClockReasons, every_bit_has_a_name_of_its_own) {
  std::uint32_t all = 0;
  std::set<std::string_view> names;
  for (const nvml::ClockReason& reason : nvml::clock_reasons) {
    EXPECT_EQ(all & reason.bit, 0U) << reason.name;
    EXPECT_EQ(reason.bit & (reason.bit - 1), 0U) << reason.name;
    EXPECT_EQ(reason.name.find(' '), std::string_view::npos) << reason.name;
    all |= reason.bit;
    names.insert(reason.name);
  }
  EXPECT_EQ(all, 0x1ffU);
  EXPECT_EQ(names.size(), nvml::clock_reasons.size());
}

TEST(Errors, those_that_end_the_use_of_a_gpu_are_told_apart) {
  EXPECT_TRUE(is_sticky(cudaErrorECCUncorrectable));
  EXPECT_TRUE(is_sticky(cudaErrorIllegalAddress));
  EXPECT_FALSE(is_sticky(cudaErrorMemoryAllocation));
  EXPECT_FALSE(is_sticky(cudaErrorNotReady));
}

}  // namespace
}  // namespace rackproof::cuda
