// Launches to compare: small runs by the real writer, with a noise between them that is the same everywhere.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results::testing {

/// One launch: who it is and how its cases differ from the usual.
struct LaunchPlan {
  int number = 0;  ///< of the run: its id, and its noise of up to 0.2 % in every case
  RunHeader header{};
  /// Times the usual time of a case, of one rank.
  std::function<double(const std::string& name, int rank)> factor = [](const std::string&, int) { return 1.0; };
  std::function<Status(const std::string& name)> status = [](const std::string&) { return Status::passed; };
  bool finished = true;
};

inline CaseHeader launch_case(const std::string& name, bool collective) {
  const FigureHeader figure = collective ? FigureHeader{"latency", "us", FigureHeader::Kind::time, 1e6}
                                         : FigureHeader{"tflops", "TFLOP/s", FigureHeader::Kind::rate, 2e-3};
  return {name, {{"type", std::string("f32")}}, 2e9, 12e6, 0.0, collective ? 8 : 0, {figure}, collective, ""};
}

/// Four ranks on two nodes; two cases in which ranks work on their own, and two collective ones.
inline RunHeader launch_header(const std::string& blas = "openblas") {
  RunHeader header = example_header();
  header.ranks = {{"node-a", "host:0", "Example CPU", "SN-1", 0, 0},
                  {"node-a", "host:1", "Example CPU", "SN-2", 0, 1},
                  {"node-b", "host:0", "Example CPU", "SN-3", 1, 0},
                  {"node-b", "host:1", "Example CPU", "SN-4", 1, 1}};
  header.suites = {{"gemm", {launch_case("gemm/f32/m512", false), launch_case("gemm/f64/m512", false)}},
                   {"allreduce", {launch_case("allreduce/f32/8B", true), launch_case("allreduce/f32/1MiB", true)}}};
  header.max_samples = 8;
  header.telemetry.clear();
  header.telemetry_ticks = 0;
  header.provenance = {
      {"command", "/opt/bin/rackproof run --suite gemm,allreduce --out x.h5"},
      {"configuration", R"({"profile": "quick", "order": 7})"},
      {"environment", R"({"OMP_NUM_THREADS": "1", "PMIX_ID": "17"})"},
      {"labels", fmt::format(R"({{"blas": "{}"}})", blas)},
      {"libraries",
       blas == "openblas"
           ? R"([{"build_id": "0123456789", "libraries": [{"path": "/usr/lib/libopenblasp-r0.3.21.so", "build_id": "abcdef0123", "version": "OpenBLAS 0.3.21, more"}]}])"
           : R"([{"build_id": "9876543210", "libraries": [{"path": "/usr/lib/libblis.so.4", "version": "0.9.0"}]}])"}};
  return header;
}

/// Within 0.2 % of 1, and no two alike among 40 runs and 8 cases.
inline double launch_noise(int number, std::size_t which) {
  const auto step = static_cast<int>((static_cast<std::size_t>(number) * 97 + which * 31) % 401);
  return 1.0 + 1e-5 * (step - 200);
}

inline std::filesystem::path write_launch(const std::filesystem::path& path, LaunchPlan plan) {
  plan.header.run_id = fmt::format("3f0c1d3e-5b1f-4c1e-9d53-{:012d}", plan.number);
  const auto ranks = static_cast<int>(plan.header.ranks.size());
  constexpr int samples = 5;
  Writer writer(path, plan.header);
  std::size_t position = 0;
  for (std::size_t s = 0; s < plan.header.suites.size(); ++s) {
    for (std::size_t c = 0; c < plan.header.suites[s].cases.size(); ++c) {
      const CaseHeader& one = plan.header.suites[s].cases[c];
      const Status status = plan.status(one.name);
      const double usual = 1e-3 * static_cast<double>(s + 2 * c + 1) * launch_noise(plan.number, position++);
      if (!one.skip_reason.empty() || status == Status::not_run) continue;
      RankBlock block = example_block(s, c, 0, ranks, samples);
      block.host_time.clear();
      CaseOutcome outcome = example_outcome(s, c, ranks, samples, status);
      outcome.timer = Timer::host;
      for (int r = 0; r < ranks; ++r) {
        for (int i = 0; i < samples; ++i) {
          const double time = usual * plan.factor(one.name, r) * (1.0 + 1e-3 * i);
          block.time[static_cast<std::size_t>(r * samples + i)] = time;
          outcome.figure_time[static_cast<std::size_t>(i)] = time;
        }
      }
      writer.write_block(s, c, block);
      writer.finish_case(s, c, outcome);
    }
  }
  if (plan.finished) {
    writer.finish();
  } else {
    writer.abandon();
  }
  return path;
}

}  // namespace rackproof::results::testing
