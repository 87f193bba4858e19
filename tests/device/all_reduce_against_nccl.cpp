// The same all-reduce by NCCL in a row of calls and through the suite's streamed mode, by turns. Prints the ratio of
// their medians: what the suite adds to what nccl-tests would print.
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/backends/cuda/cuda_device.hpp"
#include "common/backends/cuda/handles.hpp"
#include "common/core/units.hpp"
#include "common/stats/order_statistics.hpp"
#include "tests/bench/bench_world.hpp"

using namespace rackproof;

namespace {

void require(ncclResult_t result, const char* call) {
  if (result == ncclSuccess) return;
  throw Error(ExitCode::infrastructure, "nccl", static_cast<int>(result), call, ncclGetErrorString(result));
}

/// NCCL's own communicator over all ranks.
class Bare {
 public:
  explicit Bare(BenchWorld& gpus) : stream_(dynamic_cast<cuda::CudaDevice&>(*gpus.device).stream()) {
    ncclUniqueId id{};
    if (gpus.world.is_root()) require(ncclGetUniqueId(&id), "ncclGetUniqueId");
    std::string text(id.internal, sizeof id.internal);
    gpus.world.broadcast(text);
    text.copy(id.internal, sizeof id.internal);
    require(ncclCommInitRank(&communicator_, gpus.world.size(), id, gpus.world.rank()), "ncclCommInitRank");
  }
  Bare(const Bare&) = delete;
  Bare& operator=(const Bare&) = delete;
  ~Bare() { (void)ncclCommDestroy(communicator_); }
  void all_reduce(const void* send, void* receive, std::size_t count) {
    require(ncclAllReduce(send, receive, count, ncclFloat, ncclSum, communicator_, stream_), "ncclAllReduce");
  }

 private:
  cudaStream_t stream_;
  ncclComm_t communicator_ = nullptr;
};

struct Arguments {
  int rounds = 10;
  std::vector<std::string> sizes{"8B", "1KiB", "64KiB", "1MiB", "64MiB", "1GiB"};
};

/// Seconds a call, of a row of `calls`, of the slowest rank: as nccl-tests has it, by the host's clock.
template <typename Call>
double row(BenchWorld& gpus, int calls, Call call) {
  gpus.device->synchronize();
  gpus.world.barrier();
  const double begin = gpus.steady.now();
  for (int i = 0; i < calls; ++i) call();
  gpus.device->synchronize();
  double seconds = (gpus.steady.now() - begin) / calls;
  gpus.world.all_reduce_max({&seconds, 1});
  return seconds;
}

void compare(BenchWorld& gpus, Bare& bare, std::int64_t bytes, int rounds) {
  const auto count = static_cast<std::size_t>(bytes) / sizeof(float);
  const auto send = gpus.device->allocate(count * sizeof(float));
  const auto receive = gpus.device->allocate(count * sizeof(float));
  const std::vector<float> ones(count, 1.0F);
  gpus.device->copy_to_device(send->data(), ones.data(), count * sizeof(float));
  const int calls = bytes <= (1 << 20) ? 200 : bytes <= (64 << 20) ? 20 : 5;
  const auto by_nccl = [&] { bare.all_reduce(send->data(), receive->data(), count); };
  const auto by_suite = [&] { gpus.collective->all_reduce(send->data(), receive->data(), count, DataType::f32); };
  (void)row(gpus, 5, by_nccl);
  (void)row(gpus, 5, by_suite);
  std::vector<double> bare_times;
  std::vector<double> suite_times;
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    bare_times.push_back(row(gpus, calls, by_nccl));
    suite_times.push_back(row(gpus, calls, by_suite));
    ratios.push_back(suite_times.back() / bare_times.back());
  }
  std::vector<float> sums(count);
  gpus.device->copy_to_host(sums.data(), receive->data(), count * sizeof(float));
  for (const float sum : sums) {
    if (sum != static_cast<float>(gpus.world.size())) {
      throw Error(ExitCode::fail, "nccl", 0, "", fmt::format("rank {} received a wrong sum", gpus.world.rank()));
    }
  }
  if (!gpus.world.is_root()) return;
  const double n = gpus.world.size();
  const double seconds = stats::median(suite_times);
  fmt::print("{:>8} {:>12} {:>12} {:>8.4f} {:>12.2f}\n", format_bytes(static_cast<double>(bytes)),
             format_duration(stats::median(bare_times)), format_duration(seconds), stats::median(ratios),
             static_cast<double>(bytes) / seconds * 2.0 * (n - 1.0) / n / 1e9);
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("The same all-reduce by NCCL alone and through rackproof's collectives, one rank a GPU");
  app.add_option("--rounds", arguments.rounds, "turns of each")->check(CLI::PositiveNumber);
  app.add_option("--sizes", arguments.sizes, "message sizes with their unit, comma-separated")->delimiter(',');
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  BenchWorld gpus("cuda");
  Bare bare(gpus);
  if (gpus.world.is_root()) {
    fmt::print("{} x {}, {}, {} rounds\n{:>8} {:>12} {:>12} {:>8} {:>12}\n", gpus.world.size(), gpus.device->name(),
               gpus.collective->implementation(), arguments.rounds, "size", "NCCL", "suite", "ratio", "busbw GB/s");
  }
  for (const std::string& size : arguments.sizes) {
    const auto bytes = static_cast<std::int64_t>(parse_bytes(size, "--sizes") / 4 * 4);
    if (bytes < 4) throw usage_error("--sizes: a message has at least the 4 bytes of one f32");
    compare(gpus, bare, bytes, arguments.rounds);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return run_benchmark("all_reduce_against_nccl", argc, argv, run); }
