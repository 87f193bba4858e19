// Writes launches to compare, for tests in other languages: launch_files FOLDER.
//   base-01.h5 ... base-10.h5     label blas=openblas
//   same-01.h5 ... same-10.h5     nothing else
//   slow-01.h5 ... slow-10.h5     label blas=blis, another library; gemm/f32 takes 3 % more, allreduce/f32/8B 3 % less
//   device-01.h5 ... device-10.h5 rank 2 takes 5 % more in gemm
//   bad-01.h5 ... bad-04.h5       allreduce/f32/1MiB is not there, gemm/f64 fails in one, gemm/f32 is other work
//   rack-1.h5 ... rack-3.h5       GPUs of a synthetic rack of 5 nodes x 2 ranks (tests/bench/synthetic_run.hpp): rank 7
//                                 takes 10 % more in gemm, and so do messages from and to node 1, every pair of which
//                                 has met; nothing else differs by 1 %; telemetry
//   ranks.h5, fake.h5             three ranks; a fake device
//   broken.h5.part                an unfinished one
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "tests/bench/synthetic_run.hpp"
#include "tests/unit/launch_fixture.hpp"

namespace {

using namespace rackproof::results;
using namespace rackproof::results::testing;

LaunchPlan bad_launch(int i) {
  LaunchPlan plan{300 + i, launch_header()};
  plan.header.suites[1].cases.pop_back();
  plan.header.suites[0].cases[0].parameters.set("type", std::string("tf32"));
  plan.status = [i](const std::string& name) {
    return i == 2 && name == "gemm/f64/m512" ? Status::failed : Status::passed;
  };
  return plan;
}

SyntheticOptions rack_launch(int i) {
  SyntheticOptions options;
  options.ranks = 10;
  options.ranks_per_node = 2;
  options.cases = 45;  // of which 9 rounds: all pairs
  options.ticks = 40;
  options.launch = static_cast<std::uint64_t>(i);
  options.noise = 0.001;
  options.device_spread = 0.0;
  options.slow_rank = 7;
  options.slow_node = 1;
  return options;
}

void write_all(const std::filesystem::path& folder) {
  for (int i = 1; i <= 3; ++i) write_synthetic(folder / fmt::format("rack-{}.h5", i), rack_launch(i));
  for (int i = 1; i <= 10; ++i) {
    const auto name = [&](const char* side) { return folder / fmt::format("{}-{:02d}.h5", side, i); };
    write_launch(name("base"), {i, launch_header()});
    write_launch(name("same"), {100 + i, launch_header()});
    LaunchPlan slow{200 + i, launch_header("blis")};
    slow.factor = [](const std::string& which, int) {
      return which == "gemm/f32/m512" ? 1.03 : which == "allreduce/f32/8B" ? 0.97 : 1.0;
    };
    write_launch(name("slow"), slow);
    LaunchPlan device{400 + i, launch_header()};
    device.factor = [](const std::string& which, int rank) {
      return which.starts_with("gemm") && rank == 2 ? 1.05 : 1.0;
    };
    write_launch(name("device"), device);
    if (i <= 4) write_launch(name("bad"), bad_launch(i));
  }
  LaunchPlan ranks{501, launch_header()};
  ranks.header.ranks.pop_back();
  write_launch(folder / "ranks.h5", ranks);
  LaunchPlan fake{502, launch_header()};
  fake.header.device_fake = true;
  write_launch(folder / "fake.h5", fake);
  LaunchPlan broken{503, launch_header()};
  broken.status = [](const std::string& name) { return name.starts_with("gemm") ? Status::passed : Status::not_run; };
  broken.finished = false;
  write_launch(folder / "broken.h5", broken);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: launch_files FOLDER\n");
    return 2;
  }
  try {
    write_all(argv[1]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "launch_files: {}\n", error.what());
    return 1;
  }
  return 0;
}
