// Writes result files with the real writer, for tests in other languages and for the fuzz target: example_files FOLDER.
//   example.h5        all kinds of cases, parameters and provenance; three ranks on two nodes; telemetry
//   hostile.h5        the same with names and texts that mean something to shells, browsers and spreadsheets
//   second.h5         example.h5 in another launch, 3 % slower
//   fake.h5           made with a fake device
//   pairs.h5          ranks that meet in pairs
//   sweep.h5          all-reduces of two ranks: 2 us and 10 GB/s, with 1 % from size to size
//   broken.h5.part    a run that was killed in its third case
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <utility>

#include "tests/unit/network_fixture.hpp"
#include "tests/unit/result_file_fixture.hpp"
#include "tests/unit/sweep_fixture.hpp"

namespace {

using namespace rackproof::results;
using namespace rackproof::results::testing;

RunHeader hostile_header() {
  RunHeader header = example_header();
  header.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a12";
  header.ranks[0].hostname = "<script>alert(1)</script>";
  header.ranks[1].hostname = "=HYPERLINK(\"http://example.invalid\",\"x\")";
  header.ranks[2].hostname = "$(touch /tmp/rackproof-was-here)`id`;\"quoted\",comma\x1b[31m";
  header.ranks[0].device_name = "+1+1";
  header.ranks[1].device_name = "@SUM(1)";
  header.ranks[2].device_name = "]]> & <b> \\ \" ' \xef\xbf\xbf";
  header.suites[0].cases[0].name = "gemm/<img src=x onerror=alert(1)>";
  header.suites[0].cases[1].name = "gemm/\"}\\n{\"";
  header.provenance["labels"] = R"({"site": "-2+3|cmd", "<b>": "\"\\\n"})";
  return header;
}

/// Two rounds in which rank 0 meets 1 and 2; the rank that is left over has no samples.
void write_pairs(const std::filesystem::path& path) {
  RunHeader header = example_header();
  header.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a15";
  SuiteHeader links{"links", {}, true};
  for (const int round : {0, 1}) {
    links.cases.push_back({fmt::format("links/one-way/1MiB/round{}", round),
                           {{"direction", std::string("one-way")}, {"stage", std::string("round")}},
                           0.0,
                           0.0,
                           0.0,
                           1 << 20,
                           {{"bandwidth", "GB/s", FigureHeader::Kind::rate, 1048576e-9}},
                           false,
                           ""});
  }
  header.suites = {links};
  header.telemetry.clear();
  Writer writer(path, header);
  for (int round = 0; round < 2; ++round) {
    RankBlock block = example_block(0, static_cast<std::size_t>(round), 0, 3, 10);
    const int partner = round + 1;
    block.partner = {partner, partner == 1 ? 0 : -1, partner == 2 ? 0 : -1};
    block.samples[static_cast<std::size_t>(3 - partner)] = 0;
    writer.write_block(0, static_cast<std::size_t>(round), block);
    writer.finish_case(0, static_cast<std::size_t>(round), example_outcome(0, 0, 3, 10));
  }
  writer.finish();
}

void write_broken(const std::filesystem::path& path) {
  RunHeader header = example_header();
  header.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a14";
  Writer writer(path, header);
  for (std::size_t c = 0; c < 2; ++c) {
    writer.write_block(0, c, example_block(0, c, 0, 3, 20, true));
    writer.finish_case(0, c, example_outcome(0, c, 3, 20, c == 0 ? Status::mistrusted : Status::error));
  }
  writer.write_block(0, 2, example_block(0, 2, 0, 2, 20));
  writer.abandon();
}

void write_all(const std::filesystem::path& folder) {
  write_example(folder / "example.h5");
  write_example(folder / "hostile.h5", hostile_header());
  RunHeader second = example_header();
  second.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a13";
  second.date = "2026-03-06T14:03:22Z";
  {
    Writer writer(folder / "second.h5", second);
    for (std::size_t s = 0; s < second.suites.size(); ++s) {
      for (std::size_t c = 0; c < second.suites[s].cases.size(); ++c) {
        if (!second.suites[s].cases[c].skip_reason.empty()) continue;
        RankBlock block = example_block(s, c, 0, 3, 30);
        for (double& time : block.time) time *= 1.03;
        CaseOutcome outcome = example_outcome(s, c, 3, 30);
        for (double& time : outcome.figure_time) time *= 1.03;
        writer.write_block(s, c, block);
        writer.finish_case(s, c, outcome);
      }
    }
    writer.finish();
  }
  RunHeader fake = example_header();
  fake.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a16";
  fake.device_fake = true;
  write_example(folder / "fake.h5", fake);
  write_pairs(folder / "pairs.h5");
  write_sweep(folder / "sweep.h5", {.run_id = "3f0c1d3e-5b1f-4c1e-9d53-0d8f5e2f7a17"},
              rackproof::stats::testing::Machine(1).sweep([](double bytes) { return 2e-6 + bytes / 10e9; }, 0.01));
  write_broken(folder / "broken.h5");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: example_files FOLDER\n");
    return 2;
  }
  try {
    write_all(argv[1]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "example_files: {}\n", error.what());
    return 1;
  }
  return 0;
}
