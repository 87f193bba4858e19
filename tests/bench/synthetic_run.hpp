// Runs that nobody measured: of any number of ranks, with the names, parameters, figures and noise of a real one,
// written by the real writer. For benchmarks of what reads result files, and for tests.
//
// Everything follows from the options, so that equal ones give equal samples. The rack (`rack`) and the launch
// (`launch`) are drawn apart: two files of one rack and two launches are what a comparison is made of.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "results/writer.hpp"

namespace rackproof::results::testing {

struct SyntheticOptions {
  int ranks = 64;
  int ranks_per_node = 8;
  int cases = 20;    ///< of all suites together: 40 % gemm, 30 % allreduce, 20 % links, 10 % tokens; at least 4
  int samples = 30;  ///< of each rank and case
  int room = 0;      ///< RunHeader::max_samples; 0: as many as there are samples
  int ticks = 0;     ///< of telemetry; 0: none
  std::uint64_t rack = 1;
  std::uint64_t launch = 1;
  double noise = 0.01;           ///< standard deviation of the logarithm of a time, from sample to sample
  double device_spread = 0.005;  ///< ... from device to device of the rack
  double launch_spread = 0.003;  ///< ... of all times of a case, from launch to launch
  double slowdown = 0.0;         ///< of the whole rack: 0.03 makes every time 3 % longer
  int slow_rank = -1;            ///< whose own work takes `slow_by` longer; -1: none
  int slow_node = -1;            ///< whose messages take `slow_by` longer
  double slow_by = 0.1;
  std::map<std::string, std::string> labels{};
};

class SyntheticRun {
 public:
  explicit SyntheticRun(const SyntheticOptions& options) : options_(options) {
    std::mt19937_64 random(options.rack * 1000003 + options.launch);
    std::normal_distribution<double> normal;
    for (double& factor : noise_) factor = std::exp(options.noise * normal(random));
    std::mt19937_64 of_rack(options.rack);
    for (int r = 0; r < options.ranks; ++r) devices_.push_back(std::exp(options.device_spread * normal(of_rack)));
    make_header();
    for (const SuiteHeader& suite : header_.suites) {
      for (std::size_t c = 0; c < suite.cases.size(); ++c)
        of_launch_.push_back(std::exp(options.launch_spread * normal(random)));
    }
  }

  [[nodiscard]] const RunHeader& header() const { return header_; }

  /// What ranks [first, first + ranks) saw.
  [[nodiscard]] RankBlock block(std::size_t suite, std::size_t which, int first, int ranks) const {
    RankBlock block;
    block.first_rank = first;
    block.columns = options_.samples;
    const auto count = static_cast<std::size_t>(ranks) * static_cast<std::size_t>(options_.samples);
    block.time.reserve(count);
    block.begin.reserve(count);
    block.probe.reserve(count);
    for (int rank = first; rank < first + ranks; ++rank) {
      block.partner.push_back(header_.suites[suite].pairs ? partner(static_cast<int>(which), rank) : -1);
      const bool takes_part = !header_.suites[suite].pairs || block.partner.back() >= 0;
      block.samples.push_back(takes_part ? options_.samples : 0);
      block.verify_error.push_back(takes_part ? 0.2 + 0.1 * draw(suite, which, rank)
                                              : std::numeric_limits<double>::quiet_NaN());
      block.digest.push_back(header_.suites[suite].name == "gemm" ? hash(7, which, 0) : 0);
      append_samples(block, suite, which, rank);
    }
    block.flags.assign(count, 0);
    block.switches.assign(count, 0);
    block.steal.assign(count, 0.0F);
    for (std::size_t i = hash(suite, which, first) % 997; i < count; i += 997) {
      block.flags[i] = schema::flag_late;
      block.switches[i] = static_cast<std::uint16_t>(1 + i % 3);
    }
    return block;
  }

  [[nodiscard]] CaseOutcome outcome(std::size_t suite, std::size_t which) const {
    CaseOutcome outcome;
    outcome.status = Status::passed;
    outcome.stop_reason = StopReason::converged;
    outcome.warmup_steps = 20;
    outcome.clock_error = outcome.clock_error_after = 4e-7;
    outcome.clock_error_before = 3e-7;
    outcome.implementation = "synthetic";
    const double middle = middle_of(suite, which) * worst_factor(suite);
    for (int i = 0; i < outcome.warmup_steps; ++i) outcome.warmup_time.push_back(middle * (1.0 + 1.0 / (1.0 + i)));
    for (int i = 0; i < options_.samples; ++i) outcome.figure_time.push_back(middle * noise(suite, which, -1, i));
    return outcome;
  }

  [[nodiscard]] TelemetryBlock telemetry(int first, int ranks) const {
    TelemetryBlock block;
    block.first_rank = first;
    block.columns = options_.ticks;
    block.values.resize(header_.telemetry.size());
    for (int rank = first; rank < first + ranks; ++rank) {
      block.ticks.push_back(options_.ticks);
      block.readings.push_back(1);
      block.cost.push_back(1e-4);
      for (int tick = 0; tick < options_.ticks; ++tick) {
        const double wave = noise(0, static_cast<std::size_t>(tick) % 5, rank, tick);
        block.time.push_back(0.1 * tick);
        block.values[0].push_back(static_cast<float>(650.0 * wave));
        block.values[1].push_back(
            static_cast<float>(std::round(1980.0 / devices_[static_cast<std::size_t>(rank)] / 15.0) * 15.0));
        block.values[2].push_back(static_cast<float>(std::round(62.0 * wave)));
        block.values[3].push_back(tick % 50 == 7 ? 4.0F : 0.0F);
      }
    }
    return block;
  }

  /// The rank that `rank` meets in round `round` of a tournament in which everybody meets everybody (the circle
  /// method); -1 for the one who is left over.
  [[nodiscard]] int partner(int round, int rank) const {
    const int players = options_.ranks % 2 == 0 ? options_.ranks : options_.ranks - 1;
    if (rank >= players || players < 2) return -1;
    const int others = players - 1;
    const int turn = round % others;
    if (rank == others) return turn % 2 == 0 ? turn / 2 : (turn + others) / 2;
    const int other = (turn - rank + others) % others;
    return other == rank ? others : other;
  }

 private:
  [[nodiscard]] std::uint64_t hash(std::uint64_t a, std::uint64_t b, int c) const {
    std::uint64_t x = options_.launch * 0x9E3779B97F4A7C15ULL + a * 0xBF58476D1CE4E5B9ULL + b * 0x94D049BB133111EBULL +
                      static_cast<std::uint64_t>(c) * 0xD6E8FEB86659FD93ULL;
    x ^= x >> 31U;
    x *= 0x9FB21C651E98DF25ULL;
    return x ^ (x >> 28U);
  }
  /// In [0, 1).
  [[nodiscard]] double draw(std::uint64_t a, std::uint64_t b, int c) const {
    return static_cast<double>(hash(a, b, c) >> 11U) * 0x1p-53;
  }
  [[nodiscard]] double noise(std::size_t suite, std::size_t which, int rank, int sample) const {
    return noise_[(hash(suite, which, rank) + static_cast<std::uint64_t>(sample)) % noise_.size()];
  }

  [[nodiscard]] bool is_node_slow(int rank) const {
    return options_.slow_node >= 0 && rank >= 0 && rank / options_.ranks_per_node == options_.slow_node;
  }
  /// What a rank's own work or messages take more than the typical one's.
  [[nodiscard]] double factor_of(std::size_t suite, std::size_t which, int rank) const {
    const SuiteHeader& of = header_.suites[suite];
    if (of.pairs) {
      const bool slow = is_node_slow(rank) || is_node_slow(partner(static_cast<int>(which), rank));
      return slow ? 1.0 + options_.slow_by : 1.0;
    }
    if (of.cases[which].collective) return worst_factor(suite);
    return devices_[static_cast<std::size_t>(rank)] * (rank == options_.slow_rank ? 1.0 + options_.slow_by : 1.0);
  }
  /// Of all ranks together: a collective waits for the slowest.
  [[nodiscard]] double worst_factor(std::size_t suite) const {
    const bool waits = header_.suites[suite].name == "tokens" ? options_.slow_rank >= 0 : options_.slow_node >= 0;
    return waits ? 1.0 + options_.slow_by : 1.0;
  }
  [[nodiscard]] double middle_of(std::size_t suite, std::size_t which) const {
    std::size_t before = 0;
    for (std::size_t s = 0; s < suite; ++s) before += header_.suites[s].cases.size();
    return middles_[before + which] * of_launch_[before + which] * (1.0 + options_.slowdown);
  }

  void append_samples(RankBlock& block, std::size_t suite, std::size_t which, int rank) const {
    const double middle = middle_of(suite, which) * factor_of(suite, which, rank);
    const std::uint64_t start = hash(suite, which, rank);
    const double offset = 2e-7 * draw(suite, which, rank);
    for (int i = 0; i < options_.samples; ++i) {
      const double one = middle * noise_[(start + static_cast<std::uint64_t>(i)) % noise_.size()];
      block.time.push_back(one);
      block.begin.push_back(10.0 * static_cast<double>(which) + 1.1 * middle * i + offset + 1e-3 * one);
      block.probe.push_back(
          static_cast<float>(2e-6 * noise_[(start + 7 + static_cast<std::uint64_t>(i)) % noise_.size()]));
    }
  }

  // ---- the header ----

  void make_header() {
    header_.run_id = fmt::format("{:08x}-0000-4000-8000-{:012x}", options_.rack, options_.launch);
    header_.date = "2026-01-01T00:00:00Z";
    header_.software = "rackproof";
    header_.software_version = "0.1.0";
    header_.max_samples = options_.room > 0 ? options_.room : options_.samples;
    for (int r = 0; r < options_.ranks; ++r) {
      const int node = r / options_.ranks_per_node;
      const int local = r % options_.ranks_per_node;
      header_.ranks.push_back({fmt::format("rack{:02}-node{:02}", node / 18, node % 18),
                               fmt::format("0000:{:02x}:00.0", 0x18 + 8 * local), "NVIDIA H100 80GB HBM3",
                               fmt::format("16530230{:05}", r), node, local,
                               fmt::format("GPU-{:08x}-1f6a-4c7e-9d53-0d8f5e2f7a11", r)});
    }
    const int tokens = std::max(1, options_.cases / 10);
    const int links = std::max(1, options_.cases / 5);
    const int all_reduce = std::max(1, options_.cases * 3 / 10);
    add_gemm(std::max(1, options_.cases - tokens - links - all_reduce));
    add_all_reduce(all_reduce);
    add_links(links);
    add_tokens(tokens);
    if (options_.ticks > 0) {
      header_.telemetry_ticks = options_.ticks;
      header_.telemetry = {{"power", "W", "power of the GPU", "level", {}},
                           {"clock", "MHz", "clock of the multiprocessors", "level", {}},
                           {"temperature", "degC", "temperature of the GPU", "level", {}},
                           {"throttle", "", "why the clock was lowered", "bits", {{1U, "idle"}, {4U, "power_cap"}}}};
    }
    add_provenance();
  }

  void add_gemm(int cases) {
    static constexpr std::array types{"bf16", "f16", "f8e4m3", "i8", "tf32", "f64"};
    static constexpr std::array speeds{700e12, 700e12, 1300e12, 1300e12, 350e12, 55e12};
    SuiteHeader suite{"gemm", {}, false};
    for (int i = 0; i < cases; ++i) {
      const auto type = static_cast<std::size_t>(i) % types.size();
      const std::int64_t n = 512 * (1 + i / static_cast<int>(types.size()));
      const double flop = 2.0 * std::pow(static_cast<double>(n), 3.0);
      const double bytes = 6.0 * static_cast<double>(n * n);
      suite.cases.push_back({fmt::format("gemm/{0}/m{1}n{1}k{1}/packed", types[type], n),
                             {{"type", std::string(types[type])},
                              {"m", n},
                              {"n", n},
                              {"k", n},
                              {"layout", std::string("packed")},
                              {"weights_for_m", n},
                              {"algorithm", std::string("heuristic")}},
                             flop,
                             bytes,
                             0.0,
                             0,
                             {{"tflops", "TFLOP/s", FigureHeader::Kind::rate, flop / 1e12},
                              {"peak_share", "%", FigureHeader::Kind::rate, 100.0 * flop / (1.4 * speeds[type])}},
                             false,
                             ""});
      middles_.push_back(5e-6 + flop / speeds[type]);
    }
    header_.suites.push_back(std::move(suite));
  }

  void add_all_reduce(int cases) {
    static constexpr std::array types{"bf16", "f32"};
    static constexpr std::array modes{"isolated", "streamed"};
    SuiteHeader suite{"allreduce", {}, false};
    for (int i = 0; i < cases; ++i) {
      const char* const type = types[static_cast<std::size_t>(i) % types.size()];
      const char* const mode = modes[static_cast<std::size_t>(i / 2) % modes.size()];
      const std::int64_t bytes = std::int64_t{8} << (i / 4 % 30);
      const int repetition = i / 120;
      const double factor = 2.0 * (options_.ranks - 1) / options_.ranks;
      const FigureHeader latency{"latency", "us", FigureHeader::Kind::time, 1e6};
      const FigureHeader bus{"busbw", "GB/s", FigureHeader::Kind::rate, factor * static_cast<double>(bytes) / 1e9};
      suite.cases.push_back({fmt::format("allreduce/{}/{}B/out-of-place/{}{}", type, bytes, mode,
                                         repetition == 0 ? "" : fmt::format("/repeat:{}", repetition)),
                             {{"type", std::string(type)},
                              {"count", bytes / 2},
                              {"in_place", std::int64_t{0}},
                              {"ranks", std::int64_t{options_.ranks}},
                              {"operation", std::string("all-reduce")},
                              {"mode", std::string(mode)}},
                             0.0,
                             static_cast<double>(bytes),
                             0.0,
                             bytes,
                             bytes <= 65536 ? std::vector{latency, bus} : std::vector{bus, latency},
                             true,
                             ""});
      middles_.push_back(4e-5 + factor * static_cast<double>(bytes) / 300e9);
    }
    header_.suites.push_back(std::move(suite));
  }

  void add_links(int cases) {
    SuiteHeader suite{"links", {}, true};
    constexpr double bytes = 16.0 * 1024 * 1024;
    for (int i = 0; i < cases; ++i) {
      suite.cases.push_back({fmt::format("links/16MiB/both-ways/round-{:03}", i),
                             {{"direction", std::string("both-ways")},
                              {"stage", std::string(schema::stage_round)},
                              {"number", std::int64_t{i}}},
                             0.0,
                             2.0 * bytes,
                             0.0,
                             static_cast<std::int64_t>(bytes),
                             {{"bandwidth", "GB/s", FigureHeader::Kind::rate, bytes / 1e9},
                              {"latency", "us", FigureHeader::Kind::time, 1e6}},
                             false,
                             ""});
      middles_.push_back(5e-6 + bytes / 48e9);
    }
    header_.suites.push_back(std::move(suite));
  }

  void add_tokens(int cases) {
    SuiteHeader suite{"tokens", {}, false};
    for (int i = 0; i < cases; ++i) {
      const bool prefill = i % 2 == 0;
      const std::int64_t batch = std::int64_t{1} << (i / 2 % 10);
      const std::int64_t length = std::int64_t{128} << (i / 20);
      const double tokens =
          options_.ranks / 8.0 * static_cast<double>(batch) * (prefill ? static_cast<double>(length) : 1.0);
      suite.cases.push_back(
          {fmt::format("tokens/llama-8b/bf16/tp8/{}{}b{}", prefill ? "prefill/p" : "decode/c", length, batch),
           {{"model", std::string("llama-8b")},
            {"type", std::string("bf16")},
            {"phase", std::string(prefill ? "prefill" : "decode")},
            {"tp", std::int64_t{8}},
            {"batch", batch},
            {"length", length}},
           16e9 * tokens / options_.ranks,
           16e9 / 8.0,
           tokens,
           0,
           {{prefill ? "prefill" : "decode", "tokens/s", FigureHeader::Kind::rate, tokens},
            {prefill ? "ttft" : "tpot", "ms", FigureHeader::Kind::time, 1e3}},
           true,
           ""});
      middles_.push_back(7e-3 + 16e9 * tokens / options_.ranks / 400e12);
    }
    header_.suites.push_back(std::move(suite));
  }

  /// As large as a real run's: what each node and device says of itself.
  void add_provenance() {
    using json = nlohmann::ordered_json;
    json nodes = json::array();
    json machines = json::array();
    json libraries = json::array();
    json devices = json::array();
    for (int r = 0; r < options_.ranks; ++r) {
      const RankHeader& rank = header_.ranks[static_cast<std::size_t>(r)];
      if (rank.local_rank == 0) {
        nodes.push_back({{"ranks", json::array()}, {"hostname", rank.hostname}});
        machines.push_back({{"hostname", rank.hostname},
                            {"kernel", "6.1.0-18-amd64"},
                            {"cpu",
                             {{"model", "Intel(R) Xeon(R) Platinum 8480C"},
                              {"cores", 112},
                              {"microcode", "0x2b0004b1"},
                              {"governor", "performance"},
                              {"turbo", true}}},
                            {"memory", {{"bytes", 2164663517184}, {"huge_pages", "madvise"}}}});
        libraries.push_back(
            {{"libraries",
              json::array({{{"path", "/usr/lib/libmpi.so.40"}, {"version", "Open MPI v4.1.4"}, {"build_id", "5e1f"}},
                           {{"path", "/usr/lib/libcublasLt.so.13"}, {"version", "13.1.0"}, {"build_id", "77aa"}},
                           {{"path", "/usr/lib/libnccl.so.2"}, {"version", "2.27.3"}, {"build_id", "9c0d"}}})}});
      }
      nodes.back()["ranks"].push_back(r);
      devices.push_back({{"uuid", rank.uuid},
                         {"pci", rank.device_id},
                         {"driver", "580.65.06"},
                         {"vbios", "96.00.A5.00.01"},
                         {"numa_node", rank.local_rank / 4},
                         {"clock_limit_mhz", 1980},
                         {"power_limit_w", 700}});
    }
    header_.provenance = {{"command", "rackproof run --profile accept"},
                          {"configuration", R"({"profile": "accept", "seed": 1})"},
                          {"environment", R"({"NCCL_IB_HCA": "mlx5"})"},
                          {"topology", json{{"nodes", nodes}}.dump(2)},
                          {"machines", machines.dump(2)},
                          {"libraries", libraries.dump(2)},
                          {"devices", devices.dump(2)},
                          {"labels", json(options_.labels).dump(2)}};
  }

  SyntheticOptions options_;
  RunHeader header_;
  std::vector<double> noise_ = std::vector<double>(std::size_t{1} << 20);
  std::vector<double> devices_;    ///< factor of each rank's device
  std::vector<double> middles_;    ///< s, of the cases of all suites
  std::vector<double> of_launch_;  ///< factor of each of them
};

/// Writes all of it.
inline std::filesystem::path write_synthetic(const std::filesystem::path& path, const SyntheticOptions& options) {
  const SyntheticRun run(options);
  const RunHeader& header = run.header();
  Writer writer(path, header);
  const int step = writer.ranks_per_block();
  for (std::size_t s = 0; s < header.suites.size(); ++s) {
    for (std::size_t c = 0; c < header.suites[s].cases.size(); ++c) {
      for (int first = 0; first < options.ranks; first += step) {
        writer.write_block(s, c, run.block(s, c, first, std::min(step, options.ranks - first)));
      }
      writer.finish_case(s, c, run.outcome(s, c));
    }
  }
  for (int first = 0; options.ticks > 0 && first < options.ranks; first += 256) {
    writer.write_telemetry(run.telemetry(first, std::min(256, options.ranks - first)));
  }
  writer.finish();
  return path;
}

}  // namespace rackproof::results::testing
