#include "suites/gemm/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "common/core/digest.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "suites/gemm/freivalds.hpp"

namespace rackproof::gemm {
namespace {

enum Purpose : std::uint64_t { purpose_a = 1, purpose_b = 2, purpose_check = 3, purpose_poison = 4 };

/// Operands start on pages, so that those of all sets are aligned alike; small ones on cache lines, so that they fill
/// what they occupy.
std::size_t aligned(std::size_t bytes) {
  const std::size_t alignment = bytes < 4096 ? 64 : 4096;
  return (bytes + alignment - 1) / alignment * alignment;
}

/// `sets` equal blocks in one buffer.
class Pool {
 public:
  Pool(Device& device, std::size_t bytes, std::size_t sets)
      : bytes_(bytes), sets_(sets), buffer_(device.allocate(aligned(bytes) * sets)) {}

  [[nodiscard]] void* set(std::size_t index) const { return buffer_->as<std::byte>() + index * aligned(bytes_); }
  void fill_all(Device& device, const void* host) const {
    for (std::size_t i = 0; i < sets_; ++i) device.copy_to_device(set(i), host, bytes_);
  }

 private:
  std::size_t bytes_;
  std::size_t sets_;
  std::unique_ptr<Buffer> buffer_;
};

/// Elements [first, first + values.size()) of the normals of `stream`.
template <typename T>
void fill_operand(std::span<T> values, std::uint64_t stream, std::uint64_t first) {
  if constexpr (std::is_same_v<T, std::int8_t>) {
    fill_normal(values, stream, first, 32.0F);
  } else {
    fill_normal(values, stream, first, 1.0F);
  }
}

/// A whole operand, by all threads.
template <typename T>
std::vector<T> make_operand(std::size_t count, std::uint64_t stream) {
  std::vector<T> values(count);
  constexpr std::size_t block = std::size_t{1} << 16U;
  const std::size_t blocks = (count + block - 1) / block;
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t first = i * block;
    fill_operand(std::span<T>(values).subspan(first, std::min(block, count - first)), stream, first);
  }
  return values;
}

/// What no product is: NaN, and for integers the largest, which k x 127^2 reaches only far beyond our k.
template <typename T>
constexpr T poison() {
  return std::numeric_limits<T>::has_quiet_NaN ? std::numeric_limits<T>::quiet_NaN() : std::numeric_limits<T>::max();
}

std::size_t count_of(std::int64_t rows, std::int64_t columns) { return static_cast<std::size_t>(rows * columns); }

template <typename In, typename Out>
class GemmWorkload final : public Workload {
 public:
  GemmWorkload(const Product& product, const Context& context)
      : shape_(product.shape),
        device_(context.device),
        stream_a_(random_stream(context.options.seed, purpose_a)),
        stream_b_(random_stream(context.options.seed, purpose_b)),
        stream_check_(random_stream(context.options.seed, purpose_check)),
        stream_poison_(random_stream(context.options.seed, purpose_poison)),
        plan_(device_.matmul({.m = shape_.m,
                              .n = shape_.n,
                              .k = shape_.k,
                              .input = product.type,
                              .output = output_type(product.type),
                              .layout = product.layout,
                              .weights_for_m = product.weights_for_m,
                              .transposed_weights = false})),
        sets_(count_sets(aligned(a_bytes()) + aligned(plan_->weight_bytes()) + aligned(c_bytes()),
                         context.options.cold_buffers, device_.cache_bytes(), device_.memory_available())),
        a_(device_, a_bytes(), sets_),
        weights_(device_, plan_->weight_bytes(), sets_),
        c_(device_, c_bytes(), sets_),
        timer_(device_.make_timer()) {
    a_.fill_all(device_, make_operand<In>(count_of(shape_.m, shape_.k), stream_a_).data());
    fill_weights();
    c_.fill_all(device_, std::vector<Out>(count_of(shape_.m, shape_.n), poison<Out>()).data());
    device_.synchronize();
  }

  void prepare() override {
    current_ = (current_ + 1) % sets_;
    // One element is poisoned before every step, so that a step that writes nothing cannot pass with the result of an
    // earlier one. Poisoning all of them would bring C into the cache.
    const std::uint64_t at = random_bits(stream_poison_, steps_++) % count_of(shape_.m, shape_.n);
    const Out value = poison<Out>();
    device_.copy_to_device(static_cast<Out*>(c_.set(current_)) + at, &value, sizeof(value));
    device_.synchronize();
  }

  void step() override {
    if (timer_) timer_->begin();
    plan_->run(a_.set(current_), weights_.set(current_), c_.set(current_));
    if (timer_) timer_->end();
  }

  [[nodiscard]] double device_seconds() override { return timer_ ? timer_->seconds() : Workload::device_seconds(); }

  void finish() override { device_.synchronize(); }

  Verification verify() override {
    std::vector<Out> c(count_of(shape_.m, shape_.n));
    device_.copy_to_host(c.data(), c_.set(current_), c_bytes());
    // The inputs are made anew: what the device holds of them may be what is broken.
    const auto a = make_operand<In>(count_of(shape_.m, shape_.k), stream_a_);
    const Rows<In> b = [this](std::int64_t row, std::int64_t first, std::int64_t count, std::vector<In>& scratch) {
      scratch.resize(static_cast<std::size_t>(count));
      fill_operand(std::span<In>(scratch), stream_b_, static_cast<std::uint64_t>(row * shape_.n + first));
      return std::span<const In>(scratch);
    };
    const FreivaldsResult result =
        freivalds<In, Out>(shape_, rows_of(std::span<const In>(a), shape_.k), b, c, stream_check_);
    Verification verification;
    verification.error = result.error;
    verification.outcome = judge(result.error);
    verification.digest = digest(std::as_bytes(std::span<const Out>(c)));
    verification.digest_is_shared = true;
    if (verification.outcome == Verification::Outcome::failed) {
      verification.detail = fmt::format("row {} of C is wrong in its columns from {} on: {:.3g} times the tolerance",
                                        result.row, result.first_column, result.error);
    }
    return verification;
  }

  [[nodiscard]] bool is_collective() const override { return false; }

 private:
  [[nodiscard]] std::size_t a_bytes() const { return count_of(shape_.m, shape_.k) * sizeof(In); }
  [[nodiscard]] std::size_t c_bytes() const { return count_of(shape_.m, shape_.n) * sizeof(Out); }

  /// Packs once, and copies: packing takes longer.
  void fill_weights() {
    const std::size_t plain_bytes = count_of(shape_.k, shape_.n) * sizeof(In);
    const auto plain = device_.allocate(plain_bytes);
    device_.copy_to_device(plain->data(), make_operand<In>(count_of(shape_.k, shape_.n), stream_b_).data(),
                           plain_bytes);
    plan_->pack(plain->data(), weights_.set(0));
    if (sets_ == 1) return;
    std::vector<std::byte> packed(plan_->weight_bytes());
    device_.copy_to_host(packed.data(), weights_.set(0), packed.size());
    weights_.fill_all(device_, packed.data());
  }

  Shape shape_;
  Device& device_;
  std::uint64_t stream_a_;
  std::uint64_t stream_b_;
  std::uint64_t stream_check_;
  std::uint64_t stream_poison_;
  std::unique_ptr<Matmul> plan_;
  std::size_t sets_;
  Pool a_;
  Pool weights_;
  Pool c_;
  std::unique_ptr<DeviceTimer> timer_;  ///< null: the host's clock is the device's
  std::size_t current_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace

std::size_t count_sets(std::size_t set_bytes, bool cold, std::size_t cache_bytes, std::size_t memory_available) {
  if (!cold || set_bytes == 0) return 1;
  const std::size_t wanted = std::max<std::size_t>(2, (2 * cache_bytes + set_bytes - 1) / set_bytes);
  const std::size_t fitting = memory_available / 4 / set_bytes;
  return std::max<std::size_t>(1, std::min(wanted, fitting));
}

double operand_bytes(const Product& product) {
  const auto m = static_cast<double>(product.shape.m);
  const auto n = static_cast<double>(product.shape.n);
  const auto k = static_cast<double>(product.shape.k);
  return (m * k + k * n) * static_cast<double>(size_of(product.type)) +
         m * n * static_cast<double>(size_of(output_type(product.type)));
}

std::unique_ptr<Workload> make_workload(const Product& product, const Context& context) {
  switch (product.type) {
    case DataType::f64:
      return std::make_unique<GemmWorkload<double, double>>(product, context);
    case DataType::f32:
      return std::make_unique<GemmWorkload<float, float>>(product, context);
    case DataType::bf16:
      return std::make_unique<GemmWorkload<bf16_bits, float>>(product, context);
    case DataType::i8:
      return std::make_unique<GemmWorkload<std::int8_t, std::int32_t>>(product, context);
    default:
      throw Error(ExitCode::internal, "gemm", 0, "", fmt::format("products of {} do not exist", name(product.type)));
  }
}

}  // namespace rackproof::gemm
