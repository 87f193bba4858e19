// What NCCL's reductions do to elements, with the rounding of their type: each partial sum is rounded, as it is where a
// ring stores it between two GPUs.
#pragma once

#include <nccl.h>

#include <cstddef>
#include <string>

namespace rackproof::fake_nccl {

[[nodiscard]] bool is_type(int type);
[[nodiscard]] bool is_reduction(int reduction);
/// Of one element.
[[nodiscard]] std::size_t bytes_of(ncclDataType_t type);
[[nodiscard]] std::string name_of(ncclDataType_t type);
/// As NCCL writes it: "ncclFloat32".
[[nodiscard]] const char* nccl_name_of(ncclDataType_t type);

/// accumulated[i] = reduction(accumulated[i], next[i]). ncclAvg adds; see begin_average() and end_average().
void accumulate(void* accumulated, const void* next, std::size_t count, ncclDataType_t type, ncclRedOp_t reduction);
/// ncclAvg multiplies floating-point contributions by 1 / ranks before it adds them ...
void begin_average(void* contribution, std::size_t count, ncclDataType_t type, int ranks);
/// ... and divides sums of integers afterwards.
void end_average(void* sum, std::size_t count, ncclDataType_t type, int ranks);
/// Flips the lowest bit of an integer, the highest bit of the fraction of a floating-point number.
void damage(void* element, ncclDataType_t type);

}  // namespace rackproof::fake_nccl
