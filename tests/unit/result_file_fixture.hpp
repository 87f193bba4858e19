// What the tests of result files share: a folder of their own and a run that is small but has every kind of thing.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "results/writer.hpp"

namespace rackproof::results::testing {

/// Removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "rackproof-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Three ranks on two nodes; a suite of independent work with parameters of all types, some of them absent, and a
/// collective one with a skipped case.
inline RunHeader example_header() {
  RunHeader header;
  header.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a11";
  header.date = "2026-03-05T14:03:22Z";
  header.software = "rackproof";
  header.software_version = "0.1.0";
  header.max_samples = 40;
  header.ranks = {{"node-a", "host:0", "Example CPU", "", 0, 0},
                  {"node-a", "host:1", "Example CPU", "SN-1", 0, 1},
                  {"nöde-b", "host:0", "Example CPU", "SN-2", 1, 0, "GPU-2"}};
  SuiteHeader gemm{"gemm", {}};
  const FigureHeader rate{"rate", "TFLOP/s", FigureHeader::Kind::rate, 2e-3};
  gemm.cases.push_back({"gemm/f32/m1000n1000k1000",
                        {{"type", std::string("f32")}, {"m", std::int64_t{1000}}, {"ratio", 0.5}},
                        2e9,
                        12e6,
                        0.0,
                        0,
                        {rate, {"of_peak", "%", FigureHeader::Kind::rate, 0.05}},
                        false,
                        ""});
  gemm.cases.push_back({"gemm/bf16/m1000n1000k1000/packed",
                        {{"type", std::string("bf16")}, {"m", std::int64_t{1000}}, {"weights", std::string("packed")}},
                        2e9,
                        6e6,
                        0.0,
                        0,
                        {rate},
                        false,
                        ""});
  gemm.cases.push_back({"gemm/f64/m64n64k64", {{"type", std::string("f64")}}, 524288, 98304, 0.0, 0, {}, false, ""});
  SuiteHeader allreduce{"allreduce", {}};
  for (const std::int64_t size : {std::int64_t{8}, std::int64_t{1} << 20}) {
    const double gigabytes = static_cast<double>(size) * 1e-9;
    allreduce.cases.push_back({"allreduce/f32/sum/" + std::to_string(size) + "B",
                               {{"type", std::string("f32")}, {"message_size", size}},
                               0.0,
                               0.0,
                               0.0,
                               size,
                               {{"latency", "us", FigureHeader::Kind::time, 1e6},
                                {"busbw", "GB/s", FigureHeader::Kind::rate, gigabytes * 4.0 / 3.0}},
                               true,
                               ""});
  }
  allreduce.cases.push_back({"allreduce/f32/sum/1073741824B",
                             {{"type", std::string("f32")}},
                             0.0,
                             0.0,
                             0.0,
                             1 << 30,
                             {},
                             true,
                             "needs 3 GiB, and 2 GiB are free"});
  header.suites = {gemm, allreduce};
  header.telemetry_ticks = 50;
  header.telemetry = {{"power", "W", "power of the GPU", "level", {}},
                      {"throttle", "", "why", "bits", {{1U, "idle"}, {4U, "power_cap"}, {64U, "too_hot"}}},
                      {"ecc_corrected", "", "errors", "counter", {}}};
  header.provenance = {{"command", "rackproof run --suite gemm,allreduce"},
                       {"configuration", "profile = \"quick\"\nseed = 1\n"},
                       {"environment", "{}"},
                       {"labels", R"({"integrator": "acme", "site": "zürich"})"},
                       {"libraries", "[]"},
                       {"topology", ""}};
  return header;
}

/// A sample's time that tells its suite, case, rank and position, within a percent of `middle`.
inline double example_time(std::size_t suite, std::size_t which, int rank, int sample, double middle = 1e-3) {
  return middle * (1.0 + 0.1 * static_cast<double>(suite) + 0.01 * static_cast<double>(which) + 0.001 * rank +
                   1e-4 * ((sample * 7) % 11));
}

/// The last case of the first suite is.
inline bool is_timed_by_device(std::size_t suite, std::size_t which) { return suite == 0 && which == 2; }

/// What ranks [first, first + ranks) saw: rank r has `samples` - r samples where `ragged`.
inline RankBlock example_block(std::size_t suite, std::size_t which, int first, int ranks, int samples,
                               bool ragged = false) {
  RankBlock block;
  block.first_rank = first;
  block.columns = samples;
  for (int r = 0; r < ranks; ++r) {
    const int rank = first + r;
    block.samples.push_back(ragged ? samples - rank : samples);
    block.verify_error.push_back(0.1 * (rank + 1));
    block.digest.push_back(0xfedcba9876543210ULL + static_cast<std::uint64_t>(rank));
    for (int i = 0; i < samples; ++i) {
      block.time.push_back(example_time(suite, which, rank, i));
      if (is_timed_by_device(suite, which)) block.host_time.push_back(block.time.back() + 1e-5);
      block.begin.push_back(100.0 + i + 1e-6 * rank);
      block.flags.push_back(i % 10 == 3 ? schema::flag_late : 0);
      block.switches.push_back(static_cast<std::uint16_t>(i % 7 == 2 ? rank + 1 : 0));
      block.probe.push_back(2e-6F * static_cast<float>(1 + i % 3));
      block.steal.push_back(i % 5 == 4 ? 0.01F : 0.0F);
    }
  }
  return block;
}

inline CaseOutcome example_outcome(std::size_t suite, std::size_t which, int ranks, int samples,
                                   Status status = Status::passed) {
  CaseOutcome outcome;
  outcome.status = status;
  outcome.stop_reason = which == 1 ? StopReason::budget : StopReason::converged;
  outcome.timer = is_timed_by_device(suite, which) ? Timer::device : Timer::host;
  outcome.warmup_steps = 5 + static_cast<int>(which);
  for (int i = 0; i < outcome.warmup_steps; ++i) outcome.warmup_time.push_back(2.0 * example_time(suite, which, 0, i));
  outcome.operations = 1 + static_cast<int>(which % 3);
  outcome.clock_error = 1e-7;
  outcome.clock_error_before = 0.25 * outcome.clock_error;
  outcome.clock_error_after = 0.5 * outcome.clock_error;
  for (int i = 0; i < samples; ++i) outcome.figure_time.push_back(example_time(suite, which, ranks - 1, i));
  if (status == Status::failed || status == Status::error) outcome.message = "naïve sum differs on rank 2";
  return outcome;
}

/// Writes every case that is not skipped; the second of the first suite fails.
inline void write_example_cases(Writer& writer, const RunHeader& header, int samples = 30) {
  const auto ranks = static_cast<int>(header.ranks.size());
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      if (!header.suites[s].cases[c].skip_reason.empty()) continue;
      writer.write_block(s, c, example_block(s, c, 0, ranks, samples));
      writer.finish_case(s, c,
                         example_outcome(s, c, ranks, samples, s == 0 && c == 1 ? Status::failed : Status::passed));
    }
  }
}

/// What ranks [first, first + ranks) read: rank 0 nothing, the others rank x 10 ticks.
inline TelemetryBlock example_telemetry(int first, int ranks) {
  TelemetryBlock block;
  block.first_rank = first;
  block.columns = 10 * (first + ranks - 1);
  block.values.resize(3);
  for (int rank = first; rank < first + ranks; ++rank) {
    block.ticks.push_back(10 * rank);
    block.readings.push_back(rank + 1);
    block.cost.push_back(0.001 * rank);
    for (int tick = 0; tick < block.columns; ++tick) {
      const bool there = tick < block.ticks.back();
      constexpr float unknown = std::numeric_limits<float>::quiet_NaN();
      block.time.push_back(there ? 100.0 + 0.1 * tick : static_cast<double>(unknown));
      block.values[0].push_back(there ? 300.0F + static_cast<float>(tick) : unknown);
      block.values[1].push_back(there ? (tick == 3 ? 68.0F : 1.0F) : 0.0F);
      block.values[2].push_back(there ? static_cast<float>(tick / 5) : unknown);
    }
  }
  return block;
}

/// The finished example.
inline std::filesystem::path write_example(const std::filesystem::path& path,
                                           const RunHeader& header = example_header()) {
  Writer writer(path, header);
  write_example_cases(writer, header);
  if (!header.telemetry.empty()) writer.write_telemetry(example_telemetry(0, static_cast<int>(header.ranks.size())));
  writer.finish();
  return path;
}

inline std::string file_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
}

/// The line of the Error that `work` throws, which must have this exit code; empty (and a failed test) otherwise.
template <typename Work>
std::string error_of(ExitCode wanted, Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.exit_code()), static_cast<int>(wanted)) << error.line();
    EXPECT_EQ(error.line().find('\n'), std::string::npos);
    return error.line();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace rackproof::results::testing
