#include "tests/fakes/nccl/arithmetic.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace rackproof::fake_nccl {
namespace {

// The type that elements are computed in. A float's sum or product of two numbers of at most 11 bits, rounded again to
// theirs, is what rounding once would give (Figueroa, When is double rounding innocuous?, 1995).
template <typename T>
struct Computed {
  using Type = T;
};
template <>
struct Computed<__half> {
  using Type = float;
};
template <>
struct Computed<__nv_bfloat16> {
  using Type = float;
};
template <>
struct Computed<__nv_fp8_e4m3> {
  using Type = float;
};
template <>
struct Computed<__nv_fp8_e5m2> {
  using Type = float;
};

template <typename T>
constexpr bool is_8_bit_float = std::is_same_v<T, __nv_fp8_e4m3> || std::is_same_v<T, __nv_fp8_e5m2>;

template <typename T>
typename Computed<T>::Type read(T element) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half2float(element);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __bfloat162float(element);
  } else {
    return static_cast<typename Computed<T>::Type>(element);
  }
}

template <typename T>
T rounded(typename Computed<T>::Type value) {
  if constexpr (std::is_same_v<T, __half>) {
    return __float2half(value);
  } else if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16(value);
  } else if constexpr (is_8_bit_float<T>) {
    return T(__float2half(value));  // GPUs compute on these in f16
  } else {
    return value;
  }
}

template <typename C>
C combine(C a, C b, ncclRedOp_t reduction) {
  switch (reduction) {
    case ncclProd:
      if constexpr (std::is_integral_v<C>) {  // wraps around
        using Unsigned = std::make_unsigned_t<C>;
        return static_cast<C>(
            static_cast<Unsigned>(std::uint64_t{static_cast<Unsigned>(a)} * static_cast<Unsigned>(b)));
      } else {
        return a * b;
      }
    case ncclMax:
      return std::max(a, b);
    case ncclMin:
      return std::min(a, b);
    default:
      if constexpr (std::is_integral_v<C>) {
        using Unsigned = std::make_unsigned_t<C>;
        return static_cast<C>(static_cast<Unsigned>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b)));
      } else {
        return a + b;
      }
  }
}

/// Calls `visit` with a value of the C++ type that `type` is.
template <typename Visit>
auto with_type(ncclDataType_t type, Visit visit) {
  switch (type) {
    case ncclInt8:
      return visit(std::int8_t{});
    case ncclUint8:
      return visit(std::uint8_t{});
    case ncclInt32:
      return visit(std::int32_t{});
    case ncclUint32:
      return visit(std::uint32_t{});
    case ncclInt64:
      return visit(std::int64_t{});
    case ncclUint64:
      return visit(std::uint64_t{});
    case ncclFloat16:
      return visit(__half{});
    case ncclFloat64:
      return visit(double{});
    case ncclBfloat16:
      return visit(__nv_bfloat16{});
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
    case ncclFloat8e4m3:
      return visit(__nv_fp8_e4m3{});
    case ncclFloat8e5m2:
      return visit(__nv_fp8_e5m2{});
#endif
    default:
      return visit(float{});
  }
}

/// The highest bit of the fraction; the lowest of an integer.
int bit_to_damage(ncclDataType_t type) {
  switch (type) {
    case ncclFloat64:
      return 51;
    case ncclFloat32:
      return 22;
    case ncclFloat16:
      return 9;
    case ncclBfloat16:
      return 6;
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 24, 3)
    case ncclFloat8e4m3:
      return 2;
    case ncclFloat8e5m2:
      return 1;
#endif
    default:
      return 0;
  }
}

}  // namespace

bool is_type(int type) { return type >= 0 && type < ncclNumTypes; }
bool is_reduction(int reduction) { return reduction >= 0 && reduction < ncclNumOps; }

std::size_t bytes_of(ncclDataType_t type) {
  return with_type(type, []<typename T>(T) { return sizeof(T); });
}

std::string name_of(ncclDataType_t type) {
  static constexpr std::array<const char*, 12> names = {"i8",  "u8",  "i32", "u32",  "i64",    "u64",
                                                        "f16", "f32", "f64", "bf16", "f8e4m3", "f8e5m2"};
  return is_type(type) ? names.at(type) : "type " + std::to_string(type);
}

const char* nccl_name_of(ncclDataType_t type) {
  static constexpr std::array<const char*, 12> names = {
      "ncclInt8",    "ncclUint8",   "ncclInt32",   "ncclUint32",   "ncclInt64",      "ncclUint64",
      "ncclFloat16", "ncclFloat32", "ncclFloat64", "ncclBfloat16", "ncclFloat8e4m3", "ncclFloat8e5m2"};
  return names.at(static_cast<std::size_t>(type));
}

void accumulate(void* accumulated, const void* next, std::size_t count, ncclDataType_t type, ncclRedOp_t reduction) {
  with_type(type, [=]<typename T>(T) {
    auto* a = static_cast<T*>(accumulated);
    const auto* b = static_cast<const T*>(next);
    for (std::size_t i = 0; i < count; ++i) a[i] = rounded<T>(combine(read(a[i]), read(b[i]), reduction));
  });
}

void begin_average(void* contribution, std::size_t count, ncclDataType_t type, int ranks) {
  with_type(type, [=]<typename T>(T) {
    using C = typename Computed<T>::Type;
    if constexpr (std::is_floating_point_v<C>) {
      auto* a = static_cast<T*>(contribution);
      const C share = C{1} / static_cast<C>(ranks);
      for (std::size_t i = 0; i < count; ++i) a[i] = rounded<T>(read(a[i]) * share);
    }
  });
}

void end_average(void* sum, std::size_t count, ncclDataType_t type, int ranks) {
  with_type(type, [=]<typename T>(T) {
    if constexpr (std::is_integral_v<T>) {
      auto* a = static_cast<T*>(sum);
      for (std::size_t i = 0; i < count; ++i) a[i] = static_cast<T>(a[i] / static_cast<T>(ranks));
    }
  });
}

void damage(void* element, ncclDataType_t type) {
  const int bit = bit_to_damage(type);
  auto* byte = static_cast<unsigned char*>(element) + bit / 8;
  *byte = static_cast<unsigned char>(*byte ^ (1U << (bit % 8)));
}

}  // namespace rackproof::fake_nccl
