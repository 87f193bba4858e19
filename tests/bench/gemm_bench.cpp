// The same product bare, with the library called in a plain timed loop, and through the suite and its sampler. The two
// take turns, so that both see the same machine. Prints, for each case, the median of both, the median over turns of
// the ratio of their medians (what the suite adds; the aim is within 2 %), and the ratio of their fastest tenths, which
// still says something on a machine that does other work beside.
//
//   mpirun -n 1 --bind-to none build/release/tests/bench/gemm_bench [--rounds 10] [--hot] [--case REGEX]
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <memory>
#include <regex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/backends/host/blas.hpp"
#include "common/backends/host/onednn.hpp"
#include "common/core/clock.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"
#include "common/core/units.hpp"
#include "common/measure/sampler.hpp"
#include "common/mpi/communicator.hpp"
#include "common/mpi/global_clock.hpp"
#include "common/stats/order_statistics.hpp"
#include "suites/gemm/shapes.hpp"
#include "suites/gemm/workload.hpp"
#include "suites/suite.hpp"
#include "tests/bench/bench_world.hpp"

namespace {

using namespace rackproof;
using dnnl::memory;

/// A product with the library's own interface, on as many sets of operands as the suite rotates through.
class Bare {
 public:
  virtual ~Bare() = default;
  virtual void run(std::size_t set) = 0;
  [[nodiscard]] virtual std::size_t sets() const = 0;
};

memory::data_type to_onednn(DataType type) {
  switch (type) {
    case DataType::bf16:
      return memory::data_type::bf16;
    case DataType::i8:
      return memory::data_type::s8;
    case DataType::i32:
      return memory::data_type::s32;
    default:
      return memory::data_type::f32;
  }
}

void fill(void* data, std::size_t bytes, DataType type, std::uint64_t stream) {
  switch (type) {
    case DataType::f64:
      return fill_normal(std::span(static_cast<double*>(data), bytes / 8), stream, 0, 1.0);
    case DataType::f32:
      return fill_normal(std::span(static_cast<float*>(data), bytes / 4), stream, 0, 1.0F);
    case DataType::bf16:
      return fill_normal(std::span(static_cast<bf16_bits*>(data), bytes / 2), stream, 0, 1.0F);
    default:
      return fill_normal(std::span(static_cast<std::int8_t*>(data), bytes), stream, 0, 32.0F);
  }
}

class BareOneDnn final : public Bare {
 public:
  BareOneDnn(const gemm::Product& product, Device& device, bool cold) : engine_(dnnl::engine::kind::cpu, 0) {
    const auto& [m, n, k] = product.shape;
    const auto in = to_onednn(product.type);
    const auto out = to_onednn(gemm::output_type(product.type));
    const bool packed = product.layout == WeightLayout::packed;
    const memory::desc plain({k, n}, in, memory::format_tag::ab);
    const auto plan = host::onednn::matmul_plan(engine_, {{m, k}, in, memory::format_tag::ab},
                                                packed ? memory::desc({k, n}, in, memory::format_tag::any) : plain,
                                                {{m, n}, out, memory::format_tag::ab});
    primitive_ = dnnl::matmul(plan);
    stream_ = dnnl::stream(engine_);
    const std::size_t a_bytes = plan.src_desc().get_size();
    const std::size_t b_bytes = plan.weights_desc().get_size();
    const std::size_t c_bytes = plan.dst_desc().get_size();
    const std::size_t sets =
        gemm::count_sets(a_bytes + b_bytes + c_bytes, cold, device.cache_bytes(), device.memory_available());
    a_ = device.allocate(aligned(a_bytes) * sets);
    b_ = device.allocate(aligned(b_bytes) * sets);
    c_ = device.allocate(aligned(c_bytes) * sets);
    scratch_ = device.allocate(plan.scratchpad_desc().get_size());
    const auto plain_b = device.allocate(plain.get_size());
    fill(a_->data(), a_bytes, product.type, 1);
    fill(plain_b->data(), plain.get_size(), product.type, 2);
    for (std::size_t set = 0; set < sets; ++set) {
      auto* a = a_->as<std::byte>() + set * aligned(a_bytes);
      auto* b = b_->as<std::byte>() + set * aligned(b_bytes);
      auto* c = c_->as<std::byte>() + set * aligned(c_bytes);
      memory weights(plan.weights_desc(), engine_, b);
      if (set == 0) {
        memory from(plain, engine_, plain_b->data());
        dnnl::reorder(from, weights).execute(stream_, from, weights);
        stream_.wait();
      } else {
        std::memcpy(a, a_->data(), a_bytes);
        std::memcpy(b, b_->data(), b_bytes);
      }
      arguments_.push_back({{DNNL_ARG_SRC, memory(plan.src_desc(), engine_, a)},
                            {DNNL_ARG_WEIGHTS, weights},
                            {DNNL_ARG_DST, memory(plan.dst_desc(), engine_, c)},
                            {DNNL_ARG_SCRATCHPAD, memory(plan.scratchpad_desc(), engine_, scratch_->data())}});
    }
  }

  void run(std::size_t set) override {
    primitive_.execute(stream_, arguments_[set]);
    stream_.wait();
  }
  [[nodiscard]] std::size_t sets() const override { return arguments_.size(); }

 private:
  static std::size_t aligned(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

  dnnl::engine engine_;
  dnnl::stream stream_;
  dnnl::primitive primitive_;
  std::unique_ptr<Buffer> a_, b_, c_, scratch_;
  std::vector<std::unordered_map<int, memory>> arguments_;
};

class BareBlas final : public Bare {
 public:
  BareBlas(const gemm::Product& product, Device& device, bool cold) : shape_(product.shape) {
    const auto& [m, n, k] = shape_;
    sets_ = gemm::count_sets(static_cast<std::size_t>(m * k + k * n + m * n) * sizeof(double), cold,
                             device.cache_bytes(), device.memory_available());
    a_ = device.allocate(static_cast<std::size_t>(m * k) * sizeof(double) * sets_);
    b_ = device.allocate(static_cast<std::size_t>(k * n) * sizeof(double) * sets_);
    c_ = device.allocate(static_cast<std::size_t>(m * n) * sizeof(double) * sets_);
    fill(a_->data(), a_->bytes(), DataType::f64, 1);
    fill(b_->data(), b_->bytes(), DataType::f64, 2);
  }

  void run(std::size_t set) override {
    const auto& [m, n, k] = shape_;
    const auto at = static_cast<std::int64_t>(set);
    library_.dgemm()(CblasRowMajor, CblasNoTrans, CblasNoTrans, static_cast<blasint>(m), static_cast<blasint>(n),
                     static_cast<blasint>(k), 1.0, a_->as<double>() + at * m * k, static_cast<blasint>(k),
                     b_->as<double>() + at * k * n, static_cast<blasint>(n), 0.0, c_->as<double>() + at * m * n,
                     static_cast<blasint>(n));
  }
  [[nodiscard]] std::size_t sets() const override { return sets_; }

 private:
  gemm::Shape shape_;
  std::size_t sets_ = 1;
  host::Blas library_;
  std::unique_ptr<Buffer> a_, b_, c_;
};

int run(int argc, char** argv) {
  int rounds = 10;
  bool hot = false;
  std::string pattern = ".*";
  CLI::App app("The same matrix product bare and through the suite");
  app.add_option("--rounds", rounds, "turns of each")->check(CLI::PositiveNumber);
  app.add_flag("--hot", hot, "one set of operands instead of a rotation through twice the cache");
  app.add_option("--case", pattern, "cases to run, a regular expression");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  const std::regex wanted(pattern);

  BenchWorld host("host");
  auto& [world, steady, clock, backends, platform, device, collective] = host;
  Options options;
  options.cold_buffers = !hot;
  const Context context{*device, *collective, platform, options};

  constexpr int steps = 20;
  if (world.is_root()) {
    fmt::print("{}, {} buffers, {} x {} steps of each\n{:<34} {:>10} {:>10} {:>8} {:>14}\n", device->name(),
               hot ? "hot" : "cold", rounds, steps, "case", "bare", "suite", "ratio", "fastest tenth");
  }
  for (const gemm::Product& product :
       gemm::products_of({{512, 512, 512}, {1024, 1024, 1024}, {128, 4096, 768}}, gemm::default_operands("host"))) {
    const std::string name = gemm::case_name(product);
    if (!device->supports(product.type) || !std::regex_search(name, wanted)) continue;
    std::unique_ptr<Bare> bare;
    if (product.type == DataType::f64) {
      bare = std::make_unique<BareBlas>(product, *device, options.cold_buffers);
    } else {
      bare = std::make_unique<BareOneDnn>(product, *device, options.cold_buffers);
    }
    const auto workload = gemm::make_workload(product, context);
    std::vector<double> bare_times;
    std::vector<double> suite_times;
    std::vector<double> ratios;
    std::size_t set = 0;
    for (int round = 0; round < rounds; ++round) {
      std::vector<double> times;
      for (int step = -5; step < steps; ++step) {
        set = (set + 1) % bare->sets();
        const double begin = steady.now();
        bare->run(set);
        const double end = steady.now();
        if (step >= 0) times.push_back(end - begin);
      }
      StoppingRule rule;
      rule.min_samples = steps;
      rule.max_samples = steps;
      rule.budget = 10.0;
      const Samples samples = measure(*workload, world, clock, rule);
      const std::vector<double>& seen = samples.time;
      ratios.push_back(stats::median(seen) / stats::median(times));
      bare_times.insert(bare_times.end(), times.begin(), times.end());
      suite_times.insert(suite_times.end(), seen.begin(), seen.end());
    }
    if (world.is_root()) {
      fmt::print("{:<34} {:>10} {:>10} {:>8.4f} {:>14.4f}\n", name, format_duration(stats::median(bare_times)),
                 format_duration(stats::median(suite_times)), stats::median(ratios),
                 stats::quantile(suite_times, 0.1) / stats::quantile(bare_times, 0.1));
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_benchmark("gemm_bench", argc, argv, run); }
