#include "suites/allreduce/elements.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"

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
  return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

}  // namespace

void encode(DataType type, double value, std::byte* place) {
  switch (type) {
    case DataType::f64:
      return write(place, value);
    case DataType::f32:
      return write(place, static_cast<float>(value));
    case DataType::bf16:
      return write(place, to_bf16(static_cast<float>(value)));
    case DataType::i32:
      return write(place, static_cast<std::int32_t>(value));
    case DataType::i8:
      return write(place, static_cast<std::int8_t>(value));
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
    case DataType::i32:
      return read<std::int32_t>(place);
    case DataType::i8:
      return read<std::int8_t>(place);
    default:
      no_such_type(type);
  }
}

bool can_hold(DataType type, double value) {
  if (type == DataType::i32) return within<std::int32_t>(value);
  if (type == DataType::i8) return within<std::int8_t>(value);
  return true;
}

}  // namespace rackproof::allreduce
