// The host device: memory, threads, products.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "common/backends/backend.hpp"
#include "common/backends/host/blis.hpp"
#include "common/backends/host/cpu.hpp"
#include "common/backends/host/isa.hpp"
#include "common/backends/host/matvec.hpp"
#include "common/backends/host/openblas.hpp"
#include "common/core/bfloat16.hpp"
#include "common/core/error.hpp"
#include "common/core/random.hpp"

namespace rackproof {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const Backend& host_backend() {
  static const auto backends = make_all_backends();
  return choose_device_backend(backends, "host");
}

std::unique_ptr<Device> open_host(int threads = 1) {
  return host_backend().open_device({.local_rank = 0, .ranks_on_node = 1, .threads = threads});
}

// --- memory ---------------------------------------------------------------------------------------------------------

TEST(HostDevice, small_buffers_are_aligned_to_a_cache_line_and_large_ones_to_a_huge_page) {
  const auto device = open_host();
  const auto small = device->allocate(100);
  const auto large = device->allocate(5U << 20U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(small->data()) % 64, 0U);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(large->data()) % (2U << 20U), 0U);
  EXPECT_EQ(small->bytes(), 100U);
}

TEST(HostDevice, buffers_are_present_in_memory_before_they_are_used) {
  const auto device = open_host();
  constexpr std::size_t bytes = std::size_t{64} << 20U;
  const auto resident = [] {
    std::ifstream file("/proc/self/statm");
    std::size_t total = 0;
    std::size_t pages = 0;
    file >> total >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  };
  const std::size_t before = resident();
  const auto buffer = device->allocate(bytes);
  EXPECT_GE(resident() - before, bytes * 9 / 10);
}

TEST(HostDevice, copies_every_byte_and_no_other_whatever_the_number_of_threads) {
  for (const int threads : {1, 2, 3}) {
    const auto device = open_host(threads);
    for (const std::size_t bytes : {0U, 1U, 4095U, 4096U, 4097U, 100'000U}) {
      std::vector<unsigned char> from(bytes + 1);
      for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i % 251 + 1);
      std::vector<unsigned char> to(bytes + 1, 0);
      device->copy(to.data(), from.data(), bytes);
      EXPECT_TRUE(std::equal(to.begin(), to.end() - 1, from.begin())) << threads << " threads, " << bytes;
      EXPECT_EQ(to.back(), 0) << threads << " threads, " << bytes;
    }
    EXPECT_TRUE(device->is_host());
  }
}

TEST(HostDevice, refuses_more_memory_than_there_is_and_says_how_much_there_is) {
  const auto device = open_host();
  for (const std::size_t bytes : {std::size_t{1} << 50U, std::numeric_limits<std::size_t>::max()}) {
    try {
      static_cast<void>(device->allocate(bytes));
      FAIL() << "allocated " << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::infrastructure);
      EXPECT_THAT(error.line(), AllOf(HasSubstr("asked for"), HasSubstr("GiB are available"), HasSubstr("host:0")));
    }
  }
}

TEST(HostDevice, memory_that_is_held_counts_against_the_share_and_comes_back) {
  const auto device = host_backend().open_device({.local_rank = 0, .ranks_on_node = 64, .threads = 1});
  const std::size_t before = device->memory_available();
  ASSERT_GT(before, std::size_t{16} << 20U);
  {
    const auto buffer = device->allocate(8U << 20U);
    EXPECT_LE(device->memory_available(), before - (8U << 20U));
  }
  EXPECT_EQ(device->memory_available(), before);
}

TEST(HostDevice, share_of_cache_and_memory_shrinks_with_the_ranks_on_the_node) {
  const auto alone = host_backend().open_device({.local_rank = 0, .ranks_on_node = 1, .threads = 1});
  const auto shared = host_backend().open_device({.local_rank = 3, .ranks_on_node = 4, .threads = 1});
  EXPECT_GT(shared->cache_bytes(), 0U);
  EXPECT_LT(shared->cache_bytes(), alone->cache_bytes());
  EXPECT_LT(shared->memory_available(), alone->memory_available() / 3);
  EXPECT_EQ(shared->id(), "host:3");
  EXPECT_EQ(shared->name(), alone->name());
}

// --- threads --------------------------------------------------------------------------------------------------------

host::Cpu cpu_with(int cores, int bound_cores) {
  host::Cpu cpu;
  cpu.cores = cores;
  cpu.bound_cores = bound_cores;
  return cpu;
}

TEST(Threads, are_the_ranks_share_of_the_cores_and_never_more_than_it_is_bound_to) {
  const auto threads = [](int cores, int bound, int ranks) {
    return host::threads_of_rank(cpu_with(cores, bound), {}, ranks, 0, nullptr);
  };
  EXPECT_EQ(threads(2, 2, 1), 2);
  EXPECT_EQ(threads(2, 2, 2), 1);
  EXPECT_EQ(threads(2, 1, 1), 1);
  EXPECT_EQ(threads(2, 2, 8), 1);
  EXPECT_EQ(threads(64, 32, 4), 16);
  EXPECT_EQ(threads(64, 8, 4), 8);
}

TEST(Threads, follow_the_request_then_the_environment_then_the_quota) {
  const auto cpu = cpu_with(64, 64);
  EXPECT_EQ(host::threads_of_rank(cpu, 4.0, 1, 5, "7"), 5);
  EXPECT_EQ(host::threads_of_rank(cpu, 4.0, 1, 0, "7"), 7);
  EXPECT_EQ(host::threads_of_rank(cpu, 4.0, 1, 0, "3,2"), 3);
  EXPECT_EQ(host::threads_of_rank(cpu, 3.5, 1, 0, ""), 4);
  EXPECT_EQ(host::threads_of_rank(cpu, 4.0, 2, 0, "rubbish"), 2);
  EXPECT_EQ(host::threads_of_rank(cpu, 0.5, 2, 0, "0"), 1);
}

TEST(Threads, of_the_device_are_part_of_its_name) {
  EXPECT_THAT(open_host(1)->name(), ::testing::EndsWith(", 1 thread"));
  const auto device = open_host(2);
  EXPECT_EQ(device->threads(), 2);
  EXPECT_THAT(device->name(), ::testing::EndsWith(", 2 threads"));
}

// --- control groups -------------------------------------------------------------------------------------------------

class FakeRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "rackproof_root_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::filesystem::path root_;
};

TEST_F(FakeRoot, the_tightest_limit_on_the_way_to_the_root_holds) {
  write("proc/meminfo", "MemTotal: 8000 kB\nMemAvailable:    6000 kB\n");
  write("proc/self/cgroup", "0::/job/step\n");
  write("sys/fs/cgroup/job/memory.max", "3000000\n");
  write("sys/fs/cgroup/job/memory.current", "1000000\n");
  write("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 400000\n");
  write("sys/fs/cgroup/job/step/memory.max", "max\n");
  write("sys/fs/cgroup/job/step/memory.current", "1000000\n");
  write("sys/fs/cgroup/job/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/job/step/cpu.max", "max 100000\n");
  const auto group = host::read_control_group(root_);
  EXPECT_EQ(group.memory_room, 2400000U);
  EXPECT_EQ(group.cpu_quota, 1.5);
  EXPECT_EQ(host::memory_available_now(root_), 2400000U);
}

TEST_F(FakeRoot, version_1_limits_are_read_too) {
  write("proc/meminfo", "MemAvailable:    6000 kB\n");
  write("proc/self/cgroup", "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n");
  write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000000\n");
  write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "6000000\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "6000000\n");
  write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  const auto group = host::read_control_group(root_);
  EXPECT_EQ(group.memory_room, 0U);
  EXPECT_FALSE(group.cpu_quota.has_value());
}

TEST_F(FakeRoot, without_control_groups_the_systems_figure_holds) {
  write("proc/meminfo", "MemAvailable:    6000 kB\n");
  EXPECT_EQ(host::memory_available_now(root_), 6000U * 1024U);
}

// --- products -------------------------------------------------------------------------------------------------------

/// Row-major operands of a product, and its result in f64.
struct Operands {
  std::vector<double> a, b, expected, magnitude;
};

template <typename T>
double value_of(T element) {
  if constexpr (std::is_same_v<T, bf16_bits>) {
    return static_cast<double>(from_bf16(element));
  } else {
    return static_cast<double>(element);
  }
}

template <typename In>
std::vector<In> normals(std::size_t count, std::uint64_t purpose) {
  std::vector<In> values(count);
  const float scale = std::is_same_v<In, std::int8_t> ? 32.0F : 1.0F;
  fill_normal(std::span<In>(values), random_stream(7, purpose), 0, scale);
  return values;
}

struct MatmulCase {
  std::int64_t m, n, k;
  WeightLayout layout;
  bool transposed;
  std::int64_t weights_for_m;
};

std::string case_name(const ::testing::TestParamInfo<MatmulCase>& info) {
  const auto& c = info.param;
  return "m" + std::to_string(c.m) + "n" + std::to_string(c.n) + "k" + std::to_string(c.k) +
         (c.layout == WeightLayout::packed ? "_packed"
          : c.transposed                   ? "_transposed"
                                           : "_plain") +
         std::to_string(c.weights_for_m);
}

class HostMatmul : public ::testing::TestWithParam<MatmulCase> {
 protected:
  /// Largest |c - reference| / (sum over k of |a b|); infinity for NaN.
  template <typename In, typename Out>
  double error_of(DataType input, DataType output) {
    const MatmulCase& c = GetParam();
    const MatmulProblem problem{.m = c.m,
                                .n = c.n,
                                .k = c.k,
                                .input = input,
                                .output = output,
                                .layout = c.layout,
                                .weights_for_m = c.weights_for_m,
                                .transposed_weights = c.transposed};
    const auto device = open_host();
    const auto plan = device->matmul(problem);
    EXPECT_FALSE(plan->implementation().empty());
    const auto a = normals<In>(static_cast<std::size_t>(c.m * c.k), 1);
    const auto b = normals<In>(static_cast<std::size_t>(c.k * c.n), 2);
    std::vector<In> given = b;
    if (c.transposed) {
      for (std::int64_t i = 0; i < c.k; ++i) {
        for (std::int64_t j = 0; j < c.n; ++j) {
          given[static_cast<std::size_t>(j * c.k + i)] = b[static_cast<std::size_t>(i * c.n + j)];
        }
      }
    }
    const auto weights = device->allocate(plan->weight_bytes());
    const auto device_a = device->allocate(a.size() * sizeof(In));
    const auto device_c = device->allocate(static_cast<std::size_t>(c.m * c.n) * sizeof(Out));
    std::memset(weights->data(), 0xff, weights->bytes());
    std::memset(device_c->data(), 0xff, device_c->bytes());
    device->copy_to_device(device_a->data(), a.data(), a.size() * sizeof(In));
    plan->pack(given.data(), weights->data());
    plan->run(device_a->data(), weights->data(), device_c->data());
    std::vector<Out> result(static_cast<std::size_t>(c.m * c.n));
    device->copy_to_host(result.data(), device_c->data(), device_c->bytes());
    double worst = 0.0;
    for (std::int64_t i = 0; i < c.m; ++i) {
      for (std::int64_t j = 0; j < c.n; ++j) {
        double sum = 0.0;
        double size = 0.0;
        for (std::int64_t l = 0; l < c.k; ++l) {
          const double product =
              value_of(a[static_cast<std::size_t>(i * c.k + l)]) * value_of(b[static_cast<std::size_t>(l * c.n + j)]);
          sum += product;
          size += std::abs(product);
        }
        const double error = std::abs(value_of(result[static_cast<std::size_t>(i * c.n + j)]) - sum);
        worst = std::isfinite(error) ? std::max(worst, size > 0.0 ? error / size : error)
                                     : std::numeric_limits<double>::infinity();
        if (std::isinf(worst)) return worst;
      }
    }
    return worst;
  }
};

TEST_P(HostMatmul, f64_is_right) { EXPECT_LT((error_of<double, double>(DataType::f64, DataType::f64)), 1e-14); }
TEST_P(HostMatmul, f32_is_right) { EXPECT_LT((error_of<float, float>(DataType::f32, DataType::f32)), 2e-6); }
TEST_P(HostMatmul, bf16_to_f32_is_right) {
  if (!open_host()->supports(DataType::bf16)) GTEST_SKIP() << "no bf16 here";
  EXPECT_LT((error_of<bf16_bits, float>(DataType::bf16, DataType::f32)), 2e-6);
}
TEST_P(HostMatmul, bf16_to_bf16_is_right) {
  if (!open_host()->supports(DataType::bf16)) GTEST_SKIP() << "no bf16 here";
  EXPECT_LT((error_of<bf16_bits, bf16_bits>(DataType::bf16, DataType::bf16)), 5e-3);
}
TEST(HostDevice, types_that_it_lacks_are_refused_with_their_names) {
  const auto device = open_host();
  for (const DataType type : {DataType::tf32, DataType::f16, DataType::f8e4m3, DataType::f4e2m1}) {
    EXPECT_FALSE(device->supports(type)) << name(type);
    MatmulProblem problem;
    problem.m = problem.n = problem.k = 64;
    problem.input = type;
    EXPECT_THAT(device->refuses(problem), ::testing::HasSubstr("no " + std::string(name(type))));
  }
  MatmulProblem problem;
  problem.m = problem.n = problem.k = 64;
  EXPECT_EQ(device->refuses(problem), "");
  problem.scaling = Scaling::tensor;
  EXPECT_NE(device->refuses(problem), "");
}

TEST_P(HostMatmul, i8_is_exact) {
  if (!open_host()->supports(DataType::i8)) GTEST_SKIP() << "no i8 here";
  EXPECT_EQ((error_of<std::int8_t, std::int32_t>(DataType::i8, DataType::i32)), 0.0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, HostMatmul,
                         ::testing::Values(MatmulCase{128, 96, 64, WeightLayout::plain, false, 0},
                                           MatmulCase{127, 100, 333, WeightLayout::plain, false, 0},
                                           MatmulCase{127, 100, 333, WeightLayout::packed, false, 0},
                                           MatmulCase{33, 100, 77, WeightLayout::plain, true, 0},
                                           MatmulCase{1, 200, 333, WeightLayout::plain, false, 0},
                                           MatmulCase{1, 203, 333, WeightLayout::plain, true, 0},
                                           MatmulCase{3, 203, 77, WeightLayout::plain, true, 0},
                                           MatmulCase{4, 7, 1, WeightLayout::plain, true, 0},
                                           MatmulCase{1, 1280, 768, WeightLayout::packed, false, 128},
                                           MatmulCase{1, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{2, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{3, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{4, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{5, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{8, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{128, 333, 1001, WeightLayout::packed, false, 128},
                                           MatmulCase{1, 1, 1, WeightLayout::packed, false, 128}),
                         case_name);

TEST(HostMatmulPlans, weights_packed_once_serve_every_number_of_rows) {
  const auto device = open_host(2);
  constexpr std::int64_t n = 333;
  constexpr std::int64_t k = 250;
  const auto a = normals<float>(128 * k, 1);
  const auto b = normals<float>(k * n, 2);
  const auto plan_of = [&](std::int64_t m) {
    return device->matmul({.m = m, .n = n, .k = k, .layout = WeightLayout::packed, .weights_for_m = 128});
  };
  const auto first = plan_of(128);
  const auto weights = device->allocate(first->weight_bytes());
  first->pack(b.data(), weights->data());
  std::vector<float> expected(128 * n);
  first->run(a.data(), weights->data(), expected.data());
  for (const std::int64_t m : {1, 2, 3, 4, 5, 8, 64, 127}) {
    const auto plan = plan_of(m);
    ASSERT_EQ(plan->weight_bytes(), first->weight_bytes()) << m;
    std::vector<std::byte> packed(plan->weight_bytes());
    plan->pack(b.data(), packed.data());
    EXPECT_EQ(std::memcmp(packed.data(), weights->data(), packed.size()), 0) << m;
    std::vector<float> result(static_cast<std::size_t>(m * n), NAN);
    plan->run(a.data(), weights->data(), result.data());
    for (std::size_t i = 0; i < result.size(); ++i) ASSERT_NEAR(result[i], expected[i], 1e-3) << m << " " << i;
  }
}

TEST(HostMatmulPlans, a_plan_says_which_library_and_version_runs_it) {
  const auto device = open_host();
  EXPECT_THAT(
      device->matmul({.m = 8, .n = 8, .k = 8, .input = DataType::f64, .output = DataType::f64})->implementation(),
      StartsWith("OpenBLAS 0."));
  EXPECT_THAT(device->matmul({.m = 8, .n = 8, .k = 8})->implementation(), StartsWith("oneDNN "));
}

TEST(OpenBlasCore, is_changed_only_where_the_choice_wastes_the_processor) {
  EXPECT_EQ(host::better_openblas_core("Prescott", 512), "SkylakeX");
  EXPECT_EQ(host::better_openblas_core("Nehalem", 256), "Haswell");
  EXPECT_EQ(host::better_openblas_core("Prescott", 128), "");
  EXPECT_EQ(host::better_openblas_core("Haswell", 512), "");
  EXPECT_EQ(host::better_openblas_core("SapphireRapids", 512), "");
  EXPECT_EQ(host::better_openblas_core("neoversen1", 128), "");
}

TEST(Blis, multiplies_as_openblas_does_and_says_what_it_is) {
  const host::Blis library;
  library.set_threads(1);
  const std::array<double, 4> a{1, 2, 3, 4};
  const std::array<double, 4> b{1, 0, 0, 2};
  std::array<double, 4> c{};
  library.dgemm()(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 2, 1.0, a.data(), 2, b.data(), 2, 0.0, c.data(), 2);
  EXPECT_EQ(c, (std::array<double, 4>{1, 4, 3, 8}));
  EXPECT_TRUE(library.description().starts_with("BLIS ")) << library.description();
}

TEST(OpenBlasCore, does_not_waste_this_processor_and_leaves_the_environment_alone) {
  if (std::getenv("OPENBLAS_CORETYPE") != nullptr) GTEST_SKIP() << "the user has chosen";
  const host::OpenBlas library;
  const int bits = host::best_isa() == host::Isa::avx512 ? 512 : host::best_isa() == host::Isa::avx2 ? 256 : 128;
  EXPECT_EQ(host::better_openblas_core(library.core(), bits), "") << library.description();
  EXPECT_EQ(std::getenv("OPENBLAS_CORETYPE"), nullptr);
}

TEST(HostMatmulPlans, a_product_of_types_that_do_not_exist_is_a_defect) {
  const auto device = open_host();
  EXPECT_THROW(static_cast<void>(device->matmul({.m = 8, .n = 8, .k = 8, .input = DataType::i32})), Error);
  EXPECT_THROW(static_cast<void>(device->matmul({.m = 0, .n = 8, .k = 8})), Error);
  EXPECT_THROW(
      static_cast<void>(device->matmul(
          {.m = 8, .n = 8, .k = 8, .layout = WeightLayout::packed, .weights_for_m = 0, .transposed_weights = true})),
      Error);
}

// --- own kernels, in every instruction set that this CPU has ---------------------------------------------------------

/// B[k, n] in the blocked layout, the unused edge zero.
template <typename T>
std::vector<T> block(const std::vector<T>& b, std::int64_t k, std::int64_t n, host::BlockedLayout& layout) {
  const std::int64_t blocks_k = (k + layout.block_k - 1) / layout.block_k;
  const std::int64_t blocks_n = (n + layout.block_n - 1) / layout.block_n;
  layout.stride_k = layout.block_k * layout.block_n;
  layout.stride_n = layout.stride_k * blocks_k;
  std::vector<T> out(static_cast<std::size_t>(blocks_n * layout.stride_n));
  for (std::int64_t i = 0; i < k; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      const std::int64_t inner_i = i % layout.block_k;
      const std::int64_t inner_j = j % layout.block_n;
      out[static_cast<std::size_t>(i / layout.block_k * layout.stride_k + j / layout.block_n * layout.stride_n +
                                   (inner_i / layout.interleave * layout.block_n + inner_j) * layout.interleave +
                                   inner_i % layout.interleave)] = b[static_cast<std::size_t>(i * n + j)];
    }
  }
  return out;
}

class Matvec : public ::testing::TestWithParam<host::Isa> {};

template <typename Weight, typename Kernel>
void check_blocked(host::BlockedLayout layout, std::int64_t m, std::int64_t n, std::int64_t k, Kernel kernel) {
  SCOPED_TRACE(::testing::Message() << "m " << m << " n " << n << " k " << k << " block_k " << layout.block_k
                                    << " block_n " << layout.block_n << " interleave " << layout.interleave);
  const auto b = normals<Weight>(static_cast<std::size_t>(k * n), 5);
  const std::int64_t stride = (k + layout.block_k - 1) / layout.block_k * layout.block_k;
  std::vector<float> a(static_cast<std::size_t>(m * stride), 0.0F);
  for (std::int64_t r = 0; r < m; ++r) {
    fill_normal(std::span<float>(a).subspan(static_cast<std::size_t>(r * stride), static_cast<std::size_t>(k)), 9,
                static_cast<std::uint64_t>(r * k), 1.0F);
  }
  const auto blocked = block(b, k, n, layout);
  std::vector<float> c(static_cast<std::size_t>(m * n) + 1, NAN);
  kernel({m, n, k, stride}, layout, a.data(), blocked.data(), c.data());
  for (std::int64_t r = 0; r < m; ++r) {
    for (std::int64_t j = 0; j < n; ++j) {
      double expected = 0.0;
      for (std::int64_t i = 0; i < k; ++i) {
        expected += static_cast<double>(a[static_cast<std::size_t>(r * stride + i)]) *
                    value_of(b[static_cast<std::size_t>(i * n + j)]);
      }
      ASSERT_NEAR(c[static_cast<std::size_t>(r * n + j)], expected, 1e-3) << r << " " << j;
    }
  }
  EXPECT_TRUE(std::isnan(c.back())) << "wrote behind the end";
}

TEST_P(Matvec, reads_every_blocked_layout_of_f32_and_bf16) {
  const auto& kernels = host::matvec_kernels(GetParam());
  for (std::int64_t m = 1; m <= host::matvec_max_rows; ++m) {
    for (const std::int64_t n : {1, 64, 333}) {
      for (const std::int64_t block_n : {16, 48, 64}) {
        check_blocked<float>({.block_k = 16, .block_n = block_n}, m, n, 77, kernels.blocked_f32);
        check_blocked<bf16_bits>({.block_k = 32, .block_n = block_n, .interleave = 2}, m, n, 77,
                                 kernels.blocked_bf16_f32);
        check_blocked<bf16_bits>({.block_k = 8, .block_n = block_n}, m, n, 77, kernels.blocked_bf16_f32);
      }
    }
  }
}

TEST_P(Matvec, refuses_layouts_that_it_cannot_read) {
  EXPECT_TRUE(host::MatvecKernels::can_read<bf16_bits>({.block_k = 32, .block_n = 64, .interleave = 2}));
  EXPECT_FALSE(host::MatvecKernels::can_read<bf16_bits>({.block_k = 32, .block_n = 64, .interleave = 4}));
  EXPECT_FALSE(host::MatvecKernels::can_read<bf16_bits>({.block_k = 32, .block_n = 24, .interleave = 2}));
  EXPECT_FALSE(host::MatvecKernels::can_read<float>({.block_k = 32, .block_n = 64, .interleave = 2}));
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Matvec, ::testing::ValuesIn(host::supported_isas()),
                         [](const auto& isa) { return std::string(host::name(isa.param)); });

// --- peaks ----------------------------------------------------------------------------------------------------------

TEST(HostPeaks, name_every_supported_type_and_their_source) {
  const auto device = open_host();
  const Peaks peaks = device->measure_peaks();
  for (const DataType type : {DataType::f64, DataType::f32, DataType::bf16, DataType::i8}) {
    EXPECT_EQ(peaks.flops.contains(type), device->supports(type)) << name(type);
  }
  for (const auto& [type, rate] : peaks.flops) EXPECT_TRUE(std::isfinite(rate) && rate > 0.0) << name(type);
  EXPECT_GT(peaks.memory_bandwidth, 0.0);
  EXPECT_THAT(peaks.source, StartsWith("measured at start"));
}

}  // namespace
}  // namespace rackproof
