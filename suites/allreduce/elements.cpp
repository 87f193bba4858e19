#include "suites/allreduce/elements.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "common/core/float16.hpp"
#include "common/core/float8.hpp"

namespace rackproof::allreduce {
namespace {

[[noreturn]] void no_such_type(DataType type) {
  throw Error(ExitCode::internal, "allreduce", static_cast<int>(type), "", "a data type that does not exist");
}

template <typename T>
void write(std::byte* place, T value) {
  std::memcpy(place, &value, sizeof(T));
}

template <typename T>
T read(const std::byte* place) {
  T value;
  std::memcpy(&value, place, sizeof(T));
  return value;
}

template <typename T>
bool within(double value) {
  // 2^(digits) is a double, the largest number of 64 bits is not.
  return value >= static_cast<double>(std::numeric_limits<T>::min()) &&
         value < std::ldexp(1.0, std::numeric_limits<T>::digits);
}

}  // namespace

const std::vector<DataType>& exchanged_types() {
  static const std::vector<DataType> types{DataType::f64,    DataType::f32,    DataType::f16, DataType::bf16,
                                           DataType::f8e4m3, DataType::f8e5m2, DataType::i64, DataType::u64,
                                           DataType::i32,    DataType::u32,    DataType::i8,  DataType::u8};
  return types;
}

void encode(DataType type, double value, std::byte* place) {
  switch (type) {
    case DataType::f64:
      return write(place, value);
    case DataType::f32:
      return write(place, static_cast<float>(value));
    case DataType::bf16:
      return write(place, to_bf16(static_cast<float>(value)));
    case DataType::f16:
      return write(place, to_f16_bits(static_cast<float>(value)));
    case DataType::f8e4m3:
      return write(place, to_f8e4m3(static_cast<float>(value)));
    case DataType::f8e5m2:
      return write(place, to_f8e5m2(static_cast<float>(value)));
    case DataType::i64:
      return write(place, static_cast<std::int64_t>(value));
    case DataType::u64:
      return write(place, static_cast<std::uint64_t>(value));
    case DataType::i32:
      return write(place, static_cast<std::int32_t>(value));
    case DataType::u32:
      return write(place, static_cast<std::uint32_t>(value));
    case DataType::i8:
      return write(place, static_cast<std::int8_t>(value));
    case DataType::u8:
      return write(place, static_cast<std::uint8_t>(value));
    default:
      no_such_type(type);
  }
}

double decode(DataType type, const std::byte* place) {
  switch (type) {
    case DataType::f64:
      return read<double>(place);
    case DataType::f32:
      return static_cast<double>(read<float>(place));
    case DataType::bf16:
      return static_cast<double>(from_bf16(read<bf16_bits>(place)));
    case DataType::f16:
      return static_cast<double>(from_f16_bits(read<std::uint16_t>(place)));
    case DataType::f8e4m3:
      return static_cast<double>(from_f8e4m3(read<f8_bits>(place)));
    case DataType::f8e5m2:
      return static_cast<double>(from_f8e5m2(read<f8_bits>(place)));
    case DataType::i64:
      return static_cast<double>(read<std::int64_t>(place));
    case DataType::u64:
      return static_cast<double>(read<std::uint64_t>(place));
    case DataType::i32:
      return read<std::int32_t>(place);
    case DataType::u32:
      return read<std::uint32_t>(place);
    case DataType::i8:
      return read<std::int8_t>(place);
    case DataType::u8:
      return read<std::uint8_t>(place);
    default:
      no_such_type(type);
  }
}

bool can_hold(DataType type, double value) {
  switch (type) {
    case DataType::i64:
      return within<std::int64_t>(value);
    case DataType::u64:
      return within<std::uint64_t>(value);
    case DataType::i32:
      return within<std::int32_t>(value);
    case DataType::u32:
      return within<std::uint32_t>(value);
    case DataType::i8:
      return within<std::int8_t>(value);
    case DataType::u8:
      return within<std::uint8_t>(value);
    default:
      return true;
  }
}

}  // namespace rackproof::allreduce
