#include "suites/suite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "common/core/error.hpp"
#include "common/core/units.hpp"
#include "suites/allreduce/buffer_plan.hpp"
#include "suites/allreduce/workload.hpp"

namespace rackproof {
namespace {

using allreduce::AllReduceWorkload;

constexpr std::uint64_t kibi = 1024;
constexpr std::uint64_t mebi = kibi * kibi;
/// Sizes are whole numbers of elements of every type.
constexpr std::uint64_t granularity = 8;
/// Up to here the latency is the figure that matters, above the bandwidth.
constexpr std::uint64_t largest_latency_bound = 64 * kibi;

const std::vector<DataType>& types() {
  static const std::vector<DataType> all{DataType::f32, DataType::f64, DataType::bf16, DataType::i32};
  return all;
}

struct SizeRange {
  std::uint64_t least;
  std::uint64_t most;
};

SizeRange size_range(const Options& options) {
  const auto parse = [&](const char* option) {
    const std::uint64_t bytes = parse_bytes(options.value(option), fmt::format("--{}", option));
    if (bytes < granularity || bytes % granularity != 0) {
      throw usage_error(fmt::format("--{}: '{}' is no multiple of 8B, which holds whole elements of every type", option,
                                    printable(options.value(option))));
    }
    return bytes;
  };
  const SizeRange range{parse("min-message-size"), parse("max-message-size")};
  if (range.least > range.most) {
    throw usage_error(fmt::format("--min-message-size: {} is above --max-message-size {}",
                                  printable(options.value("min-message-size")),
                                  printable(options.value("max-message-size"))));
  }
  return range;
}

/// Every power of two (every: 1) or of four (2) within the range, and both its ends.
std::set<std::uint64_t> sweep(const SizeRange& range, unsigned every) {
  std::set<std::uint64_t> sizes{range.least, range.most};
  for (unsigned exponent = 0; exponent < 63; exponent += every) {
    const std::uint64_t size = std::uint64_t{1} << exponent;
    if (size > range.least && size < range.most) sizes.insert(size);
  }
  return sizes;
}

/// "8B", "1KiB", "64MiB", "100000000B": the largest unit that leaves a whole number.
std::string size_name(std::uint64_t bytes) {
  for (const auto& [unit, factor] : {std::pair{"GiB", mebi * kibi}, std::pair{"MiB", mebi}, std::pair{"KiB", kibi}}) {
    if (bytes % factor == 0) return fmt::format("{}{}", bytes / factor, unit);
  }
  return fmt::format("{}B", bytes);
}

Case make_case(DataType type, std::uint64_t bytes, bool in_place, const Platform& platform) {
  const int ranks = platform.topology.size();
  Case made;
  made.name = fmt::format("allreduce/{}/{}/{}", name(type), size_name(bytes), in_place ? "in-place" : "out-of-place");
  made.collective = true;
  made.parameters = {{"type", std::string(name(type))},
                     {"count", static_cast<std::int64_t>(bytes / size_of(type))},
                     {"in_place", std::int64_t{in_place ? 1 : 0}},
                     {"ranks", std::int64_t{ranks}}};
  made.work.bytes = static_cast<double>(bytes);
  made.work.message_size = static_cast<std::int64_t>(bytes);

  // S / t, and S / t x 2 (n - 1) / n: what a link carries each way in a ring or a tree.
  const double gigabytes = static_cast<double>(bytes) / 1e9;
  const Figure latency{"latency", "us", Figure::Kind::time, 1e6};
  const Figure algbw{"algbw", "GB/s", Figure::Kind::rate, gigabytes};
  const Figure busbw{"busbw", "GB/s", Figure::Kind::rate, gigabytes * 2.0 * (ranks - 1) / ranks};
  if (ranks < 2) {
    made.figures = {latency, algbw};
    made.skip_reason = "needs at least 2 ranks";
    return made;
  }
  made.figures =
      bytes <= largest_latency_bound ? std::vector{latency, algbw, busbw} : std::vector{busbw, algbw, latency};
  const std::uint64_t needed = allreduce::least_memory(bytes, in_place);
  if (platform.memory_available != 0 && needed > platform.memory_available) {
    made.skip_reason =
        fmt::format("needs {} of memory a rank, {} are available", format_bytes(static_cast<double>(needed)),
                    format_bytes(static_cast<double>(platform.memory_available)));
  }
  return made;
}

class AllReduceSuite final : public Suite {
 public:
  [[nodiscard]] std::string name() const override { return "allreduce"; }
  [[nodiscard]] std::string description() const override {
    return "sum over all ranks: latency and bandwidth of one all-reduce at a time, from a common start";
  }
  [[nodiscard]] std::vector<OptionSpec> options() const override {
    return {{"min-message-size", "smallest message of the all-reduce sweep", "8B"},
            {"max-message-size", "largest message of the all-reduce sweep; 1GiB and more are possible", "64MiB"}};
  }

  [[nodiscard]] std::vector<Case> cases(const Options& options, const Platform& platform) const override {
    const SizeRange range = size_range(options);
    const bool everything = options.profile == Profile::accept;
    const std::set<std::uint64_t> sizes = sweep(range, everything ? 1 : 2);
    // The quick choice beside the f32 sweep: one size bound by latency, one in between and the largest.
    std::set<std::uint64_t> selected;
    for (const std::uint64_t size : {kibi, mebi, range.most})
      selected.insert(std::clamp(size, range.least, range.most));

    std::vector<Case> made;
    for (const DataType type : types()) {
      for (const bool in_place : {false, true}) {
        const bool whole_sweep = everything || (type == DataType::f32 && !in_place);
        for (const std::uint64_t size : sizes) {
          const bool chosen = in_place && type != DataType::f32
                                  ? size == *std::next(selected.begin(), selected.size() / 2)
                                  : selected.contains(size);
          if (whole_sweep || chosen) made.push_back(make_case(type, size, in_place, platform));
        }
      }
    }
    return made;
  }

  [[nodiscard]] std::unique_ptr<Workload> make(const Case& which, const Context& context) const override {
    return std::make_unique<AllReduceWorkload>(parse_data_type(which.parameters.text("type"), which.name),
                                               static_cast<std::size_t>(which.parameters.integer("count")),
                                               which.parameters.integer("in_place") != 0, context);
  }
};

}  // namespace

std::unique_ptr<Suite> make_allreduce_suite();
std::unique_ptr<Suite> make_allreduce_suite() { return std::make_unique<AllReduceSuite>(); }

}  // namespace rackproof
