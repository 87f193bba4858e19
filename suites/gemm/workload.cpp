#include "suites/gemm/workload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "common/core/clock.hpp"
#include "common/core/digest.hpp"
#include "common/core/error.hpp"
#include "common/core/float16.hpp"
#include "common/core/quantised.hpp"
#include "common/core/random.hpp"
#include "common/core/small_floats.hpp"
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
    device.copy_to_device(set(0), host, bytes_);
    copy_first_to_all(device);
  }
  void copy_first_to_all(Device& device) const {
    for (std::size_t i = 1; i < sets_; ++i) device.copy(set(i), set(0), bytes_);
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
  } else if constexpr (std::is_same_v<T, Half>) {
    std::array<float, 512> some{};
    for (std::size_t done = 0; done < values.size(); done += some.size()) {
      const auto part = std::span(some).first(std::min(some.size(), values.size() - done));
      fill_normal(part, stream, first + done, 1.0F);
      std::transform(part.begin(), part.end(), values.begin() + static_cast<std::ptrdiff_t>(done), to_f16);
    }
  } else {
    fill_normal(values, stream, first, 1.0F);
  }
}

/// A whole operand, by all threads.
template <typename T, typename Fill>
std::vector<T> make_operand(std::size_t count, const Fill& fill) {
  std::vector<T> values(count);
  constexpr std::size_t block = std::size_t{1} << 16U;
  const std::size_t blocks = (count + block - 1) / block;
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t first = i * block;
    fill(std::span<T>(values).subspan(first, std::min(block, count - first)), first);
  }
  return values;
}

/// What no product is: NaN, and for integers the largest, which k x 127^2 reaches only far beyond our k.
template <typename T>
constexpr T poison() {
  return std::numeric_limits<T>::has_quiet_NaN ? std::numeric_limits<T>::quiet_NaN() : std::numeric_limits<T>::max();
}

std::size_t count_of(std::int64_t rows, std::int64_t columns) { return static_cast<std::size_t>(rows * columns); }

/// Seeds of one case.
struct Streams {
  explicit Streams(std::uint64_t seed)
      : a(random_stream(seed, purpose_a)),
        b(random_stream(seed, purpose_b)),
        check(random_stream(seed, purpose_check)),
        poison(random_stream(seed, purpose_poison)) {}
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t check;
  std::uint64_t poison;
};

/// A and B of a case: made, brought to the device, and made anew to check C against.
template <typename Out>
class Operands {
 public:
  Operands() = default;
  Operands(const Operands&) = delete;
  Operands& operator=(const Operands&) = delete;
  virtual ~Operands() = default;
  /// In the layout of the plan.
  [[nodiscard]] virtual std::size_t a_bytes(const Matmul& plan) const = 0;
  /// Writes one A and one B.
  virtual void fill(Device& device, Matmul& plan, void* a, void* weights) const = 0;
  [[nodiscard]] virtual FreivaldsResult check(std::span<const Out> c, const Accumulation& accumulation) const = 0;
};

template <typename In, typename Out>
class PlainOperands final : public Operands<Out> {
 public:
  PlainOperands(const Product& product, const Streams& streams)
      : shape_(product.shape), streams_(streams), to_tf32_(product.type == DataType::tf32) {}

  [[nodiscard]] std::size_t a_bytes(const Matmul& /*plan*/) const override {
    return count_of(shape_.m, shape_.k) * sizeof(In);
  }

  void fill(Device& device, Matmul& plan, void* a, void* weights) const override {
    device.copy_to_device(a, make(streams_.a, shape_.m, shape_.k).data(), a_bytes(plan));
    const std::size_t plain_bytes = count_of(shape_.k, shape_.n) * sizeof(In);
    const auto plain = device.allocate(plain_bytes);
    device.copy_to_device(plain->data(), make(streams_.b, shape_.k, shape_.n).data(), plain_bytes);
    plan.pack(plain->data(), weights);
    device.synchronize();
  }

  [[nodiscard]] FreivaldsResult check(std::span<const Out> c, const Accumulation& accumulation) const override {
    const auto a = make(streams_.a, shape_.m, shape_.k);
    const Rows<In> b = [this](std::int64_t row, std::int64_t first, std::int64_t count, std::vector<In>& scratch) {
      scratch.resize(static_cast<std::size_t>(count));
      fill_some(std::span<In>(scratch), streams_.b, static_cast<std::uint64_t>(row * shape_.n + first));
      return std::span<const In>(scratch);
    };
    return freivalds<In, Out>(shape_, rows_of(std::span<const In>(a), shape_.k), b, c, streams_.check, accumulation);
  }

 private:
  void fill_some(std::span<In> values, std::uint64_t stream, std::uint64_t first) const {
    fill_operand(values, stream, first);
    if constexpr (std::is_same_v<In, float>) {
      if (to_tf32_) std::transform(values.begin(), values.end(), values.begin(), to_tf32);
    }
  }
  [[nodiscard]] std::vector<In> make(std::uint64_t stream, std::int64_t rows, std::int64_t columns) const {
    return make_operand<In>(count_of(rows, columns),
                            [&](std::span<In> some, std::size_t first) { fill_some(some, stream, first); });
  }

  Shape shape_;
  Streams streams_;
  bool to_tf32_;
};

class ScaledOperands final : public Operands<float> {
 public:
  ScaledOperands(const Product& product, const Streams& streams)
      : shape_(product.shape), scaling_(product.scaling), streams_(streams) {}

  [[nodiscard]] std::size_t a_bytes(const Matmul& plan) const override { return plan.input_bytes(); }

  void fill(Device& device, Matmul& plan, void* a, void* weights) const override {
    plan.pack_input(make(Side::left), a);
    plan.pack_weights(make(Side::right), weights);
    device.synchronize();
  }

  [[nodiscard]] FreivaldsResult check(std::span<const float> c, const Accumulation& accumulation) const override {
    const Quantised quantised_a = make(Side::left);
    std::vector<float> a(count_of(shape_.m, shape_.k));
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < shape_.m; ++row) {
      quantised_a.read(row, 0, std::span(a).subspan(count_of(row, shape_.k), static_cast<std::size_t>(shape_.k)));
    }
    const Quantised quantised_b = make(Side::right);
    const Rows<float> b = [&](std::int64_t row, std::int64_t first, std::int64_t count, std::vector<float>& scratch) {
      scratch.resize(static_cast<std::size_t>(count));
      for (std::int64_t j = 0; j < count; ++j) {
        quantised_b.read(first + j, row, std::span(scratch).subspan(static_cast<std::size_t>(j), 1));
      }
      return std::span<const float>(scratch);
    };
    return freivalds<float, float>(shape_, rows_of(std::span<const float>(a), shape_.k), b, c, streams_.check,
                                   accumulation);
  }

 private:
  /// A, or B^T, whose element (j, l) is the normal of index j k + l.
  [[nodiscard]] Quantised make(Side side) const {
    const std::int64_t rows = side == Side::left ? shape_.m : shape_.n;
    const std::uint64_t stream = side == Side::left ? streams_.a : streams_.b;
    const std::vector<float> values = make_operand<float>(
        count_of(rows, shape_.k), [&](std::span<float> some, std::size_t first) { fill_operand(some, stream, first); });
    float largest = 0.0F;
#pragma omp parallel for schedule(static) reduction(max : largest)
    for (const float value : values) largest = std::max(largest, std::abs(value));
    Quantised matrix = make_quantised(scaling_, side, rows, shape_.k, largest);
    const std::int64_t height = rows_together(scaling_, side);
#pragma omp parallel for schedule(static)
    for (std::int64_t first = 0; first < rows; first += height) {
      quantise_rows(matrix, first,
                    std::span<const float>(values).subspan(count_of(first, shape_.k),
                                                           count_of(std::min(height, rows - first), shape_.k)));
    }
    return matrix;
  }

  Shape shape_;
  Scaling scaling_;
  Streams streams_;
};

/// Checksums of products that must all have the same bits, made by the device behind each.
class ProductSums {
 public:
  explicit ProductSums(Device& device)
      : device_(device), sums_(device.allocate(zeros_.size() * sizeof(std::uint64_t))) {
    clear();
  }

  /// Asks for that of the product at `data`.
  void add(const void* data, std::size_t bytes) {
    if (pending_ == zeros_.size()) fetch();
    device_.checksum(data, bytes, sums_->as<std::uint64_t>() + pending_++);
  }

  struct Deviation {
    std::uint64_t products = 0;  ///< all there were
    std::uint64_t others = 0;    ///< those with other bits than the last
    std::uint64_t first = 0;     ///< number of the first of these, from 1
  };
  [[nodiscard]] Deviation deviation() {
    fetch();
    Deviation result;
    result.products = added_;
    for (const auto& [sum, seen] : seen_) {
      if (sum == last_) continue;
      result.others += seen.times;
      result.first = result.first == 0 ? seen.first : std::min(result.first, seen.first);
    }
    return result;
  }

 private:
  struct Seen {
    std::uint64_t times = 0;
    std::uint64_t first = 0;
  };

  void clear() {
    device_.copy_to_device(sums_->data(), zeros_.data(), sizeof(zeros_));
    pending_ = 0;
  }
  void fetch() {
    auto sums = zeros_;
    device_.copy_to_host(sums.data(), sums_->data(), sizeof(sums));
    for (const std::uint64_t sum : std::span(sums).first(pending_)) {
      Seen& seen = seen_[sum];
      if (seen.times++ == 0) seen.first = added_ + 1;
      ++added_;
      last_ = sum;
    }
    clear();
  }

  Device& device_;
  std::array<std::uint64_t, 1024> zeros_{};
  std::unique_ptr<Buffer> sums_;
  std::size_t pending_ = 0;  ///< that the device was asked for and nobody has fetched
  std::map<std::uint64_t, Seen> seen_;
  std::uint64_t added_ = 0;
  std::uint64_t last_ = 0;
};

template <typename Out>
class GemmWorkload final : public Workload {
 public:
  GemmWorkload(const Product& product, const Context& context, std::unique_ptr<Operands<Out>> operands)
      : shape_(product.shape),
        device_(context.device),
        streams_(context.options.seed),
        operands_(std::move(operands)),
        plan_(device_.matmul(problem_of(product))),
        sets_(count_sets(aligned(operands_->a_bytes(*plan_)) + aligned(plan_->weight_bytes()) + aligned(c_bytes()),
                         context.options.cold_buffers, device_.cache_bytes(), device_.memory_available())),
        a_(device_, operands_->a_bytes(*plan_), sets_),
        weights_(device_, plan_->weight_bytes(), sets_),
        c_(device_, c_bytes(), sets_),
        timer_(device_.make_timer()) {
    // Hot, what reads C would change what the cache holds when the next product begins.
    if (context.options.cold_buffers && device_.can_checksum()) sums_ = std::make_unique<ProductSums>(device_);
    operands_->fill(device_, *plan_, a_.set(0), weights_.set(0));
    a_.copy_first_to_all(device_);
    weights_.copy_first_to_all(device_);
    c_.fill_all(device_, std::vector<Out>(count_of(shape_.m, shape_.n), poison<Out>()).data());
    device_.synchronize();
  }

  /// More than any library offers a plan.
  static constexpr std::size_t most_algorithms = 16;
  using AlgorithmSeconds = std::array<double, most_algorithms>;

  /// Measures each algorithm as a step is measured.
  [[nodiscard]] AlgorithmSeconds measure_algorithms() {
    AlgorithmSeconds seconds{};
    seconds.fill(out_of_question);
    for (std::size_t i = 0; i < std::min(plan_->algorithms(), seconds.size()); ++i) {
      plan_->choose(i);
      seconds[i] = best_seconds();
    }
    return seconds;
  }
  void choose_fastest(const AlgorithmSeconds& seconds) {
    plan_->choose(static_cast<std::size_t>(std::min_element(seconds.begin(), seconds.end()) - seconds.begin()));
  }

  void prepare() override {
    if (steps_ > 0 && sums_) sums_->add(c_.set(current_), c_bytes());
    current_ = (current_ + 1) % sets_;
    // One element is poisoned before every step, so that a step that writes nothing cannot pass with the result of an
    // earlier one. Poisoning all of them would bring C into the cache.
    const std::uint64_t at = random_bits(streams_.poison, steps_++) % count_of(shape_.m, shape_.n);
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
    const FreivaldsResult result = operands_->check(c, plan_->accumulation());
    Verification verification;
    verification.error = result.error;
    verification.outcome = judge(result.error);
    verification.digest = digest(std::as_bytes(std::span<const Out>(c)));
    verification.digest_is_shared = true;
    if (verification.outcome == Verification::Outcome::failed) {
      verification.detail = fmt::format("row {} of C is wrong in its columns from {} on: {:.3g} times the tolerance",
                                        result.row, result.first_column, result.error);
    }
    if (sums_) compare_products(verification);
    return verification;
  }

  [[nodiscard]] bool is_collective() const override { return false; }
  [[nodiscard]] std::string implementation() const override { return plan_->implementation(); }

 private:
  [[nodiscard]] std::size_t c_bytes() const { return count_of(shape_.m, shape_.n) * sizeof(Out); }

  /// What was wrong once is not seen in the last product.
  void compare_products(Verification& verification) {
    sums_->add(c_.set(current_), c_bytes());
    const ProductSums::Deviation found = sums_->deviation();
    if (found.others == 0 || verification.outcome == Verification::Outcome::failed) return;
    verification.outcome = Verification::Outcome::failed;
    verification.error = std::numeric_limits<double>::infinity();
    verification.detail = fmt::format(
        "{} of {} products of one input had other bits than the last one, which is right; the first was "
        "number {}",
        found.others, found.products, found.first);
  }

  /// Of a few steps after one that is not counted.
  double best_seconds() {
    constexpr int steps = 5;
    const SteadyClock clock;
    double best = out_of_question;
    for (int i = 0; i <= steps; ++i) {
      current_ = (current_ + 1) % sets_;
      const double begin = clock.now();
      step();
      finish();
      const double seconds = timer_ ? timer_->seconds() : clock.now() - begin;
      if (i > 0) best = std::min(best, seconds);
    }
    return best;
  }

  static constexpr double out_of_question = 1e30;

  Shape shape_;
  Device& device_;
  Streams streams_;
  std::unique_ptr<Operands<Out>> operands_;
  std::unique_ptr<Matmul> plan_;
  std::size_t sets_;
  Pool a_;
  Pool weights_;
  Pool c_;
  std::unique_ptr<DeviceTimer> timer_;  ///< null: the host's clock is the device's
  std::unique_ptr<ProductSums> sums_;   ///< null: only the last product is looked at
  std::size_t current_ = 0;
  std::uint64_t steps_ = 0;
};

/// Collective for tuned products, which run by the algorithm whose slowest rank is fastest.
template <typename Out>
std::unique_ptr<Workload> make_gemm(const Product& product, const Context& context,
                                    std::unique_ptr<Operands<Out>> operands) {
  if (!product.tuned) return std::make_unique<GemmWorkload<Out>>(product, context, std::move(operands));
  std::unique_ptr<GemmWorkload<Out>> workload;
  typename GemmWorkload<Out>::AlgorithmSeconds seconds{};
  agree(context.collective, [&] {
    workload = std::make_unique<GemmWorkload<Out>>(product, context, std::move(operands));
    seconds = workload->measure_algorithms();
  });
  if (const mpi::Communicator* ranks = context.collective.ranks()) ranks->all_reduce_max(seconds);
  workload->choose_fastest(seconds);
  return workload;
}

template <typename In, typename Out>
std::unique_ptr<Workload> make_plain(const Product& product, const Context& context) {
  return make_gemm<Out>(product, context,
                        std::make_unique<PlainOperands<In, Out>>(product, Streams(context.options.seed)));
}

}  // namespace

std::size_t count_sets(std::size_t set_bytes, bool cold, std::size_t cache_bytes, std::size_t memory_available) {
  if (!cold || set_bytes == 0) return 1;
  const std::size_t wanted = std::max<std::size_t>(2, (2 * cache_bytes + set_bytes - 1) / set_bytes);
  const std::size_t fitting = memory_available / 4 / set_bytes;
  return std::max<std::size_t>(1, std::min(wanted, fitting));
}

double operand_bytes(const Product& product) {
  const auto& [m, n, k] = product.shape;
  const double c =
      static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(size_of(output_type(product.type)));
  if (product.scaling != Scaling::none) {
    return static_cast<double>(quantised_bytes(product.scaling, Side::left, m, k)) +
           static_cast<double>(quantised_bytes(product.scaling, Side::right, n, k)) + c;
  }
  return (static_cast<double>(m) + static_cast<double>(n)) * static_cast<double>(k) *
             static_cast<double>(size_of(product.type)) +
         c;
}

MatmulProblem problem_of(const Product& product) {
  return {.m = product.shape.m,
          .n = product.shape.n,
          .k = product.shape.k,
          .input = product.type,
          .output = output_type(product.type),
          .layout = product.layout,
          .weights_for_m = product.weights_for_m,
          .transposed_weights = false,
          .scaling = product.scaling};
}

std::unique_ptr<Workload> make_workload(const Product& product, const Context& context) {
  if (product.scaling != Scaling::none) {
    return make_gemm<float>(product, context, std::make_unique<ScaledOperands>(product, Streams(context.options.seed)));
  }
  switch (product.type) {
    case DataType::f64:
      return make_plain<double, double>(product, context);
    case DataType::f32:
    case DataType::tf32:
      return make_plain<float, float>(product, context);
    case DataType::f16:
      return make_plain<Half, float>(product, context);
    case DataType::bf16:
      return make_plain<bf16_bits, float>(product, context);
    case DataType::i8:
      return make_plain<std::int8_t, std::int32_t>(product, context);
    default:
      throw Error(ExitCode::internal, "gemm", 0, "", fmt::format("products of {} do not exist", name(product.type)));
  }
}

}  // namespace rackproof::gemm
