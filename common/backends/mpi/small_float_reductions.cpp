#include "common/backends/mpi/small_float_reductions.hpp"

#include "common/backends/mpi/bf16_reductions.hpp"
#include "common/core/error.hpp"
#include "common/core/float16.hpp"
#include "common/core/float8.hpp"
#include "common/mpi/communicator.hpp"

namespace rackproof {
namespace {

struct F16 {
  using Bits = std::uint16_t;
  static float wide(Bits bits) { return from_f16_bits(bits); }
  static Bits narrow(float value) { return to_f16_bits(value); }
};
struct F8e4m3 {
  using Bits = f8_bits;
  static float wide(Bits bits) { return from_f8e4m3(bits); }
  static Bits narrow(float value) { return to_f8e4m3(value); }
};
struct F8e5m2 {
  using Bits = f8_bits;
  static float wide(Bits bits) { return from_f8e5m2(bits); }
  static Bits narrow(float value) { return to_f8e5m2(value); }
};

float reduced(Reduction reduction, float a, float b) {
  switch (reduction) {
    case Reduction::sum:
      return a + b;
    case Reduction::prod:
      return a * b;
    // NaN compares as false, and a NaN on the left is chosen by being unlike itself.
    case Reduction::min:
      return a < b || a != a ? a : b;
    case Reduction::max:
      return a > b || a != a ? a : b;
  }
  return a;
}

template <typename Type>
void reduce_as(Reduction reduction, const void* from, void* into, std::size_t count) {
  const auto* const theirs = static_cast<const typename Type::Bits*>(from);
  auto* const ours = static_cast<typename Type::Bits*>(into);
  for (std::size_t i = 0; i < count; ++i) {
    ours[i] = Type::narrow(reduced(reduction, Type::wide(theirs[i]), Type::wide(ours[i])));
  }
}

template <DataType type, Reduction reduction>
void mpi_function(void* from, void* into, int* count, MPI_Datatype* /*type*/) {
  reduce_small_floats(type, reduction, from, into, static_cast<std::size_t>(*count));
}

}  // namespace

bool is_small_float(DataType type) {
  return type == DataType::bf16 || type == DataType::f16 || type == DataType::f8e4m3 || type == DataType::f8e5m2;
}

void reduce_small_floats(DataType type, Reduction reduction, const void* from, void* into, std::size_t count) {
  switch (type) {
    case DataType::bf16:
      return reduce_bf16(reduction, static_cast<const bf16_bits*>(from), static_cast<bf16_bits*>(into), count);
    case DataType::f16:
      return reduce_as<F16>(reduction, from, into, count);
    case DataType::f8e4m3:
      return reduce_as<F8e4m3>(reduction, from, into, count);
    case DataType::f8e5m2:
      return reduce_as<F8e5m2>(reduction, from, into, count);
    default:
      throw Error(ExitCode::internal, "mpi", static_cast<int>(type), "", "not one of the small types");
  }
}

SmallFloatReductions::SmallFloatReductions() {
  const auto make = [this]<DataType type, Reduction reduction>() {
    constexpr int commutative = 1;
    MPI_Op handle = MPI_OP_NULL;
    mpi::check(MPI_Op_create(mpi_function<type, reduction>, commutative, &handle), "MPI_Op_create");
    handles_.emplace(std::pair(type, reduction), handle);
  };
  const auto make_all = [&]<DataType type>() {
    make.template operator()<type, Reduction::sum>();
    make.template operator()<type, Reduction::min>();
    make.template operator()<type, Reduction::max>();
    make.template operator()<type, Reduction::prod>();
  };
  make_all.operator()<DataType::bf16>();
  make_all.operator()<DataType::f16>();
  make_all.operator()<DataType::f8e4m3>();
  make_all.operator()<DataType::f8e5m2>();
}

SmallFloatReductions::~SmallFloatReductions() {
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (finalised != 0) return;
  for (auto& [what, handle] : handles_) MPI_Op_free(&handle);
}

}  // namespace rackproof
