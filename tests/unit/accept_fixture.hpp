// Racks that are made up, for tests of verdicts: what is planted in them is known.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "common/measure/tournament.hpp"
#include "tests/unit/result_file_fixture.hpp"

namespace rackproof::results::testing {

/// Four nodes with four devices each, two products and an all-reduce; times spread by 1 % from sample to sample and by
/// 1 % from device to device.
struct Rack {
  int nodes = 4;
  int devices_a_node = 4;
  int samples = 40;
  unsigned launch = 1;  ///< seed of the noise, and part of the run's id
  double spread = 0.01;
  std::string first_serial = "SN-";
  std::string first_host = "node-";
  std::string first_device = "cuda:";
  bool fake = false;
  bool with_links = false;  ///< needs the all-reduce
  bool with_all_reduce = true;
  bool all_reduce_first = false;  ///< its suite stands before that of the products; without links
  double peak_share = 0.0;        ///< %, of a product at its usual time; 0: it has no such figure
  /// Factor on the time of a rank in product `which` (0, 1), of the all-reduce, of a pair.
  std::function<double(int rank, int which)> slow = [](int, int) { return 1.0; };
  double slow_job = 1.0;
  std::function<double(int, int)> slow_pair = [](int, int) { return 1.0; };
  std::function<std::uint64_t(int rank)> digest = [](int) { return std::uint64_t{0xabc}; };  ///< of product 0
  std::function<double(int rank)> error = [](int) { return 0.1; };                           ///< of product 0
  Status status = Status::passed;                                                            ///< of product 0
  StopReason stop_reason = StopReason::converged;
  std::string message{};
  std::string configuration = "{}";
  std::string libraries{};  ///< empty: as the example has them
  std::string planted{};    ///< empty: nothing
  std::string machines{};   ///< empty: nothing is known of them

  [[nodiscard]] int ranks() const { return nodes * devices_a_node; }
  [[nodiscard]] std::size_t product_suite() const { return all_reduce_first ? 1 : 0; }
  [[nodiscard]] std::size_t all_reduce_suite() const { return all_reduce_first ? 0 : 1; }
};

/// 2 TFLOP/s and 1 TFLOP/s a device, 100 GB/s of the job.
inline constexpr double product_time = 1e-3;

inline RunHeader header_of(const Rack& rack) {
  RunHeader header = example_header();
  header.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0000000000" + std::to_string(10 + rack.launch);
  header.device_fake = rack.fake;
  header.max_samples = rack.samples;
  header.telemetry.clear();
  header.telemetry_ticks = 0;
  header.provenance["configuration"] = rack.configuration;
  if (!rack.libraries.empty()) header.provenance["libraries"] = rack.libraries;
  if (!rack.planted.empty()) header.provenance["planted"] = rack.planted;
  if (!rack.machines.empty()) header.provenance["machines"] = rack.machines;
  header.ranks.clear();
  for (int r = 0; r < rack.ranks(); ++r) {
    header.ranks.push_back({rack.first_host + std::to_string(r / rack.devices_a_node),
                            rack.first_device + std::to_string(r % rack.devices_a_node), "Example GPU",
                            rack.first_serial + std::to_string(100 + r), r / rack.devices_a_node,
                            r % rack.devices_a_node});
  }
  SuiteHeader gemm{"gemm", {}};
  for (const char* type : {"bf16", "f32"}) {
    const double amount = (std::string(type) == "bf16" ? 2.0 : 1.0) * product_time;
    gemm.cases.push_back({std::string("gemm/") + type + "/m8n8k8",
                          {{"type", std::string(type)}, {"m", std::int64_t{8}}},
                          1.0,
                          1.0,
                          0.0,
                          0,
                          {{"tflops", "TFLOP/s", FigureHeader::Kind::rate, amount}},
                          false,
                          ""});
    if (rack.peak_share > 0.0) {
      gemm.cases.back().figures.push_back(
          {"peak_share", "%", FigureHeader::Kind::rate, rack.peak_share * product_time});
    }
  }
  SuiteHeader allreduce{"allreduce", {}};
  allreduce.cases.push_back({"allreduce/f32/1GiB/out-of-place",
                             {{"type", std::string("f32")}, {"groups", std::string("world")}},
                             0.0,
                             1.0,
                             0.0,
                             1 << 30,
                             {{"busbw", "GB/s", FigureHeader::Kind::rate, 100.0 * product_time},
                              {"latency", "us", FigureHeader::Kind::time, 1e6}},
                             true,
                             ""});
  header.suites = {gemm};
  if (rack.with_all_reduce) header.suites.insert(header.suites.begin() + (rack.all_reduce_first ? 0 : 1), allreduce);
  if (!rack.with_links) return header;
  SuiteHeader links{"links", {}, true};
  const auto add = [&](const char* stage, int number) {
    CaseHeader one;
    one.name = std::string("links/1MiB/both-ways/") + stage + "-" + std::to_string(number);
    one.parameters = {
        {"direction", std::string("both-ways")}, {"stage", std::string(stage)}, {"number", std::int64_t{number}}};
    one.message_size = 1 << 20;
    one.figures = {{"bandwidth", "GB/s", FigureHeader::Kind::rate, 50.0 * product_time}};
    links.cases.push_back(std::move(one));
  };
  for (int i = 0; i < rack.ranks() - 1; ++i) add("round", i);
  for (int i = 0; i < 3; ++i) add("again", i);
  header.suites.push_back(links);
  return header;
}

inline double noise_factor(const Rack& rack, int stream, int sample, double spread) {
  std::mt19937 random(rack.launch * 1000003U + static_cast<unsigned>(stream) * 1009U + static_cast<unsigned>(sample));
  std::normal_distribution<double> normal;
  random.discard(8);
  return std::exp(spread * normal(random));
}

inline void write_product(Writer& writer, const Rack& rack, std::size_t which) {
  RankBlock block;
  block.columns = rack.samples;
  const bool first = which == 0;
  for (int r = 0; r < rack.ranks(); ++r) {
    block.samples.push_back(rack.samples);
    // A device is as it is, in every launch and case.
    Rack same = rack;
    same.launch = 0;
    const double device = noise_factor(same, 5000 + r, 0, rack.spread);
    block.verify_error.push_back(first ? rack.error(r) : 0.1);
    block.digest.push_back(first ? rack.digest(r) : 7);
    for (int i = 0; i < rack.samples; ++i) {
      const double noise = noise_factor(rack, static_cast<int>(which) * 100 + r, i, rack.spread);
      block.time.push_back(product_time * device * noise * rack.slow(r, static_cast<int>(which)));
      block.begin.push_back(i);
    }
  }
  writer.write_block(rack.product_suite(), which, block);
  CaseOutcome outcome;
  outcome.status = first ? rack.status : Status::passed;
  outcome.stop_reason = rack.stop_reason;
  outcome.message = first ? rack.message : "";
  outcome.figure_time.assign(static_cast<std::size_t>(rack.samples), product_time);
  writer.finish_case(rack.product_suite(), which, outcome);
}

inline void write_all_reduce(Writer& writer, const Rack& rack) {
  RankBlock block;
  block.columns = rack.samples;
  CaseOutcome outcome;
  outcome.status = Status::passed;
  outcome.stop_reason = rack.stop_reason;
  for (int i = 0; i < rack.samples; ++i) {
    outcome.figure_time.push_back(product_time * rack.slow_job * noise_factor(rack, 900, i, rack.spread));
  }
  for (int r = 0; r < rack.ranks(); ++r) {
    block.samples.push_back(rack.samples);
    block.time.insert(block.time.end(), outcome.figure_time.begin(), outcome.figure_time.end());
    for (int i = 0; i < rack.samples; ++i) block.begin.push_back(i);
    block.verify_error.push_back(0.0);
    block.digest.push_back(0);
  }
  writer.write_block(rack.all_reduce_suite(), 0, block);
  writer.finish_case(rack.all_reduce_suite(), 0, outcome);
}

inline void write_meeting(Writer& writer, const Rack& rack, std::size_t which, const Pairing& pairing) {
  RankBlock block;
  block.columns = rack.samples;
  for (int r = 0; r < rack.ranks(); ++r) {
    const int partner = pairing[static_cast<std::size_t>(r)];
    block.partner.push_back(partner);
    block.samples.push_back(partner < 0 ? 0 : rack.samples);
    block.verify_error.push_back(0.0);
    const int pair = partner < 0 ? r : std::min(r, partner);
    const double middle = noise_factor(rack, 2000 + static_cast<int>(which) * 64 + pair, 0, rack.spread);
    for (int i = 0; i < rack.samples; ++i) {
      const double slow = partner < 0 ? 1.0 : rack.slow_pair(r, partner);
      block.time.push_back(product_time * middle * slow * (1.0 + 1e-3 * (i * 5 % 7)));
      block.begin.push_back(i);
    }
  }
  writer.write_block(2, which, block);
  CaseOutcome outcome;
  outcome.status = Status::passed;
  outcome.figure_time.assign(static_cast<std::size_t>(rack.samples), product_time);
  writer.finish_case(2, which, outcome);
}

/// The pair 1, 6 is met again three times.
inline std::filesystem::path write_rack(const std::filesystem::path& path, const Rack& rack) {
  const RunHeader header = header_of(rack);
  Writer writer(path, header);
  write_product(writer, rack, 0);
  write_product(writer, rack, 1);
  if (rack.with_all_reduce) write_all_reduce(writer, rack);
  if (rack.with_links) {
    std::size_t which = 0;
    for (const Pairing& round : round_robin(rack.ranks())) write_meeting(writer, rack, which++, round);
    const std::vector<std::pair<int, int>> wanted{{1, 6}};
    for (unsigned i = 0; i < 3; ++i) write_meeting(writer, rack, which++, round_with(rack.ranks(), wanted, 5U + i));
  }
  writer.finish();
  return path;
}

}  // namespace rackproof::results::testing
